"""Measured comparisons with peers, on the same work, beside what the machine could do at best."""

from echochamber.bench.measure import Place, Rates, Settings, comparison, in_turns, machine, measure_rates
from echochamber.bench.registry import BENCHES, COMPARISONS, run_bench, table

__all__ = [
    "BENCHES",
    "COMPARISONS",
    "Place",
    "Rates",
    "Settings",
    "comparison",
    "in_turns",
    "machine",
    "measure_rates",
    "run_bench",
    "table",
]

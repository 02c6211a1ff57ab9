"""Measured comparisons with peers on the same work, and with the best the machine could do."""

from echochamber.bench.benches import BENCHES, COMPARISONS, run_bench, table
from echochamber.bench.measure import (
    Machine,
    Rates,
    Settings,
    comparison,
    describe_machine,
    in_turns,
    measure_rates,
)

__all__ = [
    "BENCHES",
    "COMPARISONS",
    "Machine",
    "Rates",
    "Settings",
    "comparison",
    "describe_machine",
    "in_turns",
    "measure_rates",
    "run_bench",
    "table",
]

"""The records of the synthetic runs other than completions, and a count of the completions themselves."""

from __future__ import annotations

from typing import Any

import pyarrow.parquet as pq

from echochamber.report.material import Material
from synthetic import cell_of

ALARM = {
    **cell_of("grpo", "pico", "three", 0).columns, "step": 7,
    "alarm": "the entropy fell to 0.01 nats",
}  # fmt: skip
_SCORES = {"reward": 0.25, "pass_at_n": 0.5, "majority": 0.75}
OPINION = {
    "rows": [
        {
            **cell_of("grpo", "pico", "three", 0, "test").columns, "step": 40,
            "published": {**_SCORES, "share": {"llm-code": 0.625, "text": 0.375}},
            "measured": {**_SCORES, "reward": 0.125, "share": {"llm_code": 0.5, "boxed": 0.5, "none": 0.0}},
        }
    ],
    "hack_floor": {"published": {"empty": 0.0, "prompt": 0.03125}, "measured": {"empty": 0.0, "prompt": 0.0}},
}  # fmt: skip


def probabilities() -> list[dict[str, Any]]:
    """Teacher-forced rows: the opening of tinygsm at 0.25, then at 0.5; prose has no opening."""
    return [
        {
            **cell_of(arm, "pico", "three", 0, "test").columns, "step": step,
            "format": name, "opening": opening, "opening_mass": mass, "reference_logprob": -9.0,
            "reference_logprob_per_token": -0.4567, "reference_share": 0.125, "num_problems": 16,
        }
        for arm, step, mass in (("base", 0, 0.25), ("grpo", 0, 0.25), ("grpo", 40, 0.5))
        for name, opening, mass in (("tinygsm", "def simple", mass), ("boxed", "", None))
    ]  # fmt: skip


def share_of(
    material: Material, arm: str, step: int, *, format: str | None = None, correct_in: str | None = None,
    correct: bool = False, benchmark: str = "test", greedy: bool = False,
) -> float:  # fmt: skip
    """A share counted from the completions one by one, over all seeds.

    Args:
        format: of the completions in this format among all; or
        correct_in: of the correct ones among those in this format; or
        correct: of the correct ones among all.
    """
    rows = [
        row
        for part in sorted((material.run.folder / "completions").iterdir())
        for row in pq.read_table(part).to_pylist()
        if (row["arm"], row["step"], row["benchmark"], row["greedy"]) == (arm, step, benchmark, greedy)
    ]
    if correct_in is not None:
        rows = [row for row in rows if row["format"] == correct_in]
    hits = [row for row in rows if (row["format"] == format if format else row["outcome"] == "correct")]
    assert format or correct or correct_in
    return len(hits) / len(rows)

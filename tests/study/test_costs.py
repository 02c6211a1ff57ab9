"""What a dry run counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from echochamber.study import estimate, open_study


def test_dry_run_counts(tiny_file: Path) -> None:
    result = estimate(open_study(tiny_file))
    assert sum(row["tokens"] for row in result.mixtures) == 6000
    assert result.models[0]["parameters"] == 2 * 300 * 64 + 4 * (4 * 64 * 64 + 3 * 64 * 256)
    pretrain = next(row for row in result.stages if row["stage"].startswith("pretrain"))
    assert pretrain["tokens"] == 6000
    assert pretrain["FLOPs"] == pytest.approx(6000 * result.models[0]["training FLOPs per token"])

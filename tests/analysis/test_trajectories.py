"""Trajectories of a run: their counts, their base models and their order."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from echochamber.analysis import (
    Run,
    format_shares,
    majority_per_problem,
    select,
    trajectories,
)
from echochamber.base import InputError
from synthetic import make_run


def sampled_rows(run: Run) -> list[dict[str, object]]:
    return [row for row in run.rows if not row["greedy"]]


def test_pass_and_majority_per_problem_average_to_the_summary(run: Run) -> None:
    rows = {(r["arm"], r["step"]): r for r in sampled_rows(run)}
    for t in select(trajectories(run)):
        for i, step in enumerate(t.steps):
            row = rows[t.name, step]
            assert t.mean(t.pass_per_problem(i, 8)).estimate == pytest.approx(row["pass_at"]["8"])
            majority, ties = majority_per_problem(run, t, i, 8)
            assert t.mean(majority).estimate == pytest.approx(row["maj_at"]["8"])
            assert 0.0 <= t.mean(ties).estimate <= 1.0


def test_an_arm_without_step_0_starts_from_its_base(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "no-step-0"
    shutil.copytree(run.folder, folder)
    summary = json.loads((folder / "summary.json").read_text())
    summary["rows"] = [r for r in summary["rows"] if r["arm"] == "base" or r["step"] > 0]
    (folder / "summary.json").write_text(json.dumps(summary))
    import pyarrow.parquet as pq

    for part in (folder / "completions").iterdir():
        table = pq.read_table(part)
        if table["arm"][0].as_py() != "base" and table["step"][0].as_py() == 0:
            part.unlink()
    for whole, without in zip(trajectories(run), trajectories(Run(folder)), strict=True):
        assert whole.steps == without.steps
        assert whole.share.estimate == pytest.approx(without.share.estimate)
        for i in (0, -1):
            before, after = (
                majority_per_problem(r, t, i, 1) for r, t in ((run, whole), (Run(folder), without))
            )
            assert np.array_equal(before, after)


def test_unknown_benchmark_lists_the_known(run: Run) -> None:
    with pytest.raises(InputError, match=r"no benchmark 'hard' in this run: expected one of test"):
        format_shares(run, benchmark="hard")


def test_sweep_points_keep_their_own_base(tmp_path: Path) -> None:
    make_run(tmp_path / "swept", arms=("grpo",), num_points=2, num_problems=10)
    text = (tmp_path / "swept" / "summary.json").read_text()
    (tmp_path / "swept" / "summary.json").write_text(text.replace('"sweep": ""', '"sweep": "lr=1"'))
    import pyarrow as pa
    import pyarrow.parquet as pq

    for part in (tmp_path / "swept" / "completions").iterdir():
        table = pq.read_table(part)
        place = table.schema.get_field_index("sweep")
        pq.write_table(table.set_column(place, "sweep", pa.array(["lr=1"] * table.num_rows)), part)
    found = select(trajectories(Run(tmp_path / "swept")))
    assert [(t.name, t.base.name, t.is_base) for t in found] == [
        ("base [lr=1]", "base [lr=1]", True),
        ("grpo [lr=1]", "base [lr=1]", False),
    ]


def test_the_first_benchmark_is_the_study_s_and_not_the_alphabet_s(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "order", arms=("grpo",), benchmarks=("zeta", "alpha"), num_points=2,
                      num_problems=5)  # fmt: skip
    summary = json.loads((folder / "summary.json").read_text())
    summary["rows"].sort(key=lambda row: row["benchmark"])  # as file names would have it
    (folder / "summary.json").write_text(json.dumps(summary))
    run = Run(folder)
    assert run.benchmarks == ["zeta", "alpha"]
    found = trajectories(run)
    assert [t.benchmark for t in found] == ["zeta"] * 4 + ["alpha"] * 4
    assert {t.benchmark for t in select(found)} == {"zeta"}

"""Trajectories of a run: their counts, their base models and their order."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from echochamber.analysis import (
    Run,
    majority_per_problem,
    select,
    trajectories,
)
from echochamber.base import InputError
from synthetic import make_run


def sampled_rows(run: Run) -> list[dict[str, object]]:
    return [row for row in run.rows if not row["greedy"]]


def test_shares_and_accuracies_are_those_of_the_summary(run: Run) -> None:
    rows = {(r["arm"], r["step"]): r for r in sampled_rows(run)}
    seen = 0
    for t in select(trajectories(run)):
        for i, step in enumerate(t.steps):
            row = rows[t.name, step]
            assert t.pass_at_1.at(i).estimate == pytest.approx(row["pass_at"]["1"])
            assert t.share.estimate[i].sum() == pytest.approx(1.0)
            for f, name in enumerate(t.formats):
                share, accuracy = t.share.at((i, f)), t.accuracy_by_format.at((i, f)).estimate
                assert share.estimate == pytest.approx(row["share"][name])
                assert share.low <= share.estimate <= share.high
                told = row["accuracy"][name]
                assert np.isnan(accuracy) if told is None else accuracy == pytest.approx(told)
                seen += 1
    assert seen > 20


def test_seeds_are_pooled_and_counted(seeds_run: Run) -> None:
    rows = [r for r in sampled_rows(seeds_run) if (r["arm"], r["step"]) == ("grpo", 40)]
    (t,) = [t for t in select(trajectories(seeds_run)) if t.name == "grpo"]
    assert t.num_seeds == len(rows) == 3 and t.crossed
    for f, name in enumerate(t.formats):
        pooled = t.share.estimate[t.steps.index(40), f]
        assert pooled == pytest.approx(np.mean([row["share"][name] for row in rows]))


def test_gains_from_base_to_last_step(run: Run) -> None:
    arms = {t.name: t for t in select(trajectories(run)) if not t.is_base}
    assert set(arms) == {"grpo", "ei", "random"}
    gain, nothing = arms["grpo"].gain(), arms["random"].gain().difference
    assert gain.difference.low > 0.2 and gain.p_value < 0.001 and gain.about == "runs"
    assert nothing.low < 0 < nothing.high
    assert arms["grpo"].share_at(-1)["boxed"] < 0.05 < arms["grpo"].share_at(0)["boxed"]


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
        select(trajectories(run), benchmark="hard")


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

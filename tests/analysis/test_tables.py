import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from echochamber.analysis import (
    Run,
    accuracy_by_format,
    base_and_final,
    compare_arms,
    cost,
    format_shares,
    headline,
    learning_curves,
    majority_per_problem,
    percent,
    rl_curves,
    seeds_won,
    select,
    training_shares,
    trajectories,
)
from echochamber.base import EchoError, InputError
from synthetic import cell_of, make_run


def sampled_rows(run: Run) -> list[dict[str, object]]:
    return [row for row in run.rows if not row["greedy"]]


def test_shares_are_those_of_the_summary(run: Run) -> None:
    table = format_shares(run).to_pylist()
    for row in sampled_rows(run):
        own = [r for r in table if (r["arm"], r["step"]) == (row["arm"], row["step"])]
        assert sum(r["estimate"] for r in own) == pytest.approx(1.0)
        for r in own:
            assert r["estimate"] == pytest.approx(row["share"][r["format"]])
            assert r["low"] <= r["estimate"] <= r["high"]


def test_accuracies_are_those_of_the_summary(run: Run) -> None:
    table = accuracy_by_format(run).to_pylist()
    for row in sampled_rows(run):
        own = {r["format"]: r for r in table if (r["arm"], r["step"]) == (row["arm"], row["step"])}
        assert own["all"]["estimate"] == pytest.approx(row["pass_at"]["1"])
        for name, r in own.items():
            if name != "all":
                assert r["estimate"] == pytest.approx(row["accuracy"][name])


def test_pass_and_majority_per_problem_average_to_the_summary(run: Run) -> None:
    rows = {(r["arm"], r["step"]): r for r in sampled_rows(run)}
    for t in select(trajectories(run)):
        for i, step in enumerate(t.steps):
            row = rows[t.name, step]
            assert t.mean(t.pass_per_problem(i, 8)).estimate == pytest.approx(row["pass_at"]["8"])
            majority, ties = majority_per_problem(run, t, i, 8)
            assert t.mean(majority).estimate == pytest.approx(row["maj_at"]["8"])
            assert 0.0 <= t.mean(ties).estimate <= 1.0


def test_seeds_are_pooled_and_counted(seeds_run: Run) -> None:
    rows = [r for r in sampled_rows(seeds_run) if (r["arm"], r["step"]) == ("grpo", 40)]
    table = [r for r in format_shares(seeds_run).to_pylist() if (r["arm"], r["step"]) == ("grpo", 40)]
    for r in table:
        assert r["num_seeds"] == 3
        assert r["estimate"] == pytest.approx(np.mean([row["share"][r["format"]] for row in rows]))
    assert select(trajectories(seeds_run))[0].crossed


def test_base_and_final(run: Run) -> None:
    rows = {row["arm"]: row for row in base_and_final(run).to_pylist()}
    assert set(rows) == {"grpo", "ei", "random"}
    assert rows["grpo"]["difference_low"] > 0.2
    assert rows["grpo"]["p_value"] < 0.001
    assert rows["grpo"]["about"] == "runs"
    assert rows["random"]["difference_low"] < 0 < rows["random"]["difference_high"]
    assert rows["grpo"]["share_after_boxed"] < 0.05 < rows["grpo"]["share_before_boxed"]


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


def test_headline(run: Run) -> None:
    found = {t.name: headline(t) for t in select(trajectories(run)) if not t.is_base}
    grpo = found["grpo"]
    assert "boxed" in {c.name for c in grpo.lost}
    assert grpo.winner is not None and grpo.winner.name == "llm_code" and grpo.took_over
    assert "llm_code took over" in grpo.sentences()[0]
    assert not found["random"].lost and not found["random"].took_over
    assert "inside the noise" in " ".join(found["random"].sentences())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (1.0 - 1e-15, "100 %"),
        (0.995, "99.5 %"),
        (0.9996, "> 99.9 %"),
        (0.0004, "< 0.1 %"),
        (0.0994, "9.9 %"),
        (0.0996, "10 %"),
        (0.39, "39 %"),
        (float("nan"), "–"),
    ],
)
def test_only_all_is_100_percent_and_only_none_is_0(value: float, text: str) -> None:
    assert percent(value) == text.replace(" ", "\u00a0")


def test_one_run_is_spoken_of_as_one_run(run: Run, seeds_run: Run) -> None:
    one, three = (
        next(headline(t) for t in select(trajectories(r)) if t.name == "grpo") for r in (run, seeds_run)
    )
    assert one.sentences()[0].startswith("In this run")
    assert "of 1 runs" not in " ".join(one.sentences())
    assert "In this run" not in " ".join(three.sentences())
    # The winner won in all three seeds: 29 % is the lower end of 3 of 3 by hand, 0.025 ** (1 / 3).
    assert "first in 3 of 3 runs, which leaves 29 to 100 % of trainings" in three.sentences()[0]
    assert three.winner is not None
    others = [seeds_won(three.trajectory, name) for name in three.trajectory.formats]
    assert sum(others) == 3 == seeds_won(three.trajectory, three.winner.name)


def test_verdicts_about_arms_need_seeds(run: Run, seeds_run: Run) -> None:
    for r, about, words in (
        (run, "runs", {"these two runs differ on these problems", "these two runs cannot be told apart"}),
        (seeds_run, "trainings", {"different", "cannot tell"}),
    ):
        pairs = compare_arms([t for t in select(trajectories(r)) if not t.is_base])
        assert {p.about for p in pairs} == {about}
        assert {p.distinction for p in pairs} <= words


def test_arms_against_each_other(run: Run) -> None:
    arms = [t for t in select(trajectories(run)) if not t.is_base]
    pairs = {(c.first.name, c.second.name): c for c in compare_arms(arms)}
    assert set(pairs) == {("grpo", "ei"), ("grpo", "random"), ("ei", "random")}
    assert pairs["grpo", "random"].test.difference.low > 0
    assert not pairs["grpo", "random"].inside_noise
    assert all(c.adjusted_p >= c.test.p_value for c in pairs.values())


def test_cost_leaves_evaluation_out(run: Run, tmp_path: Path) -> None:
    t = next(t for t in select(trajectories(run)) if t.name == "grpo")
    spent = cost(run, t)
    assert spent.samples == tuple(256.0 * step for step in t.steps)
    assert spent.seconds == pytest.approx(tuple(0.9 * step for step in t.steps))
    folder = tmp_path / "timed"
    shutil.copytree(run.folder, folder)
    with (folder / "timing.jsonl").open("a") as stream:
        row = {"stage": "rl", **cell_of("grpo", "pico", "three", 0).columns, "step": 3}
        stream.write(json.dumps({**row, "what": "evaluation", "seconds": 500.0}) + "\n")
    assert cost(Run(folder), t).seconds == spent.seconds


def test_curves(run: Run) -> None:
    sources = set(learning_curves(run)["source"].to_pylist())
    assert sources == {"train", "tinygsm", "llm_code", "boxed", "arithmetic"}
    assert {"reward", "kl", "entropy", "no_signal_fraction"} <= set(rl_curves(run)["metric"].to_pylist())
    by_step: dict[tuple[str, int], float] = {}
    for row in training_shares(run).to_pylist():
        by_step[row["arm"], row["step"]] = by_step.get((row["arm"], row["step"]), 0.0) + row["share"]
    assert all(total == pytest.approx(1.0) for total in by_step.values())


def test_sql_over_completions(run: Run) -> None:
    table = run.query(
        "SELECT count(*) AS n FROM completions WHERE arm = $arm AND NOT greedy", {"arm": "base"}
    )
    assert table["n"].to_pylist() == [60 * 8]


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


def test_records_of_an_older_schema_are_refused_in_one_sentence(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "old", arms=(), num_points=2, num_problems=3)
    summary = json.loads((folder / "summary.json").read_text())
    del summary["schema"]
    (folder / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(InputError, match="records of schema 1.* reads schema 2: run the study again"):
        Run(folder)


def test_a_damaged_line_is_named(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path / "broken")
    (tmp_path / "broken" / "metrics.jsonl").write_text('{"stage": "rl"}\n{"stage":')
    with pytest.raises(EchoError, match=r"metrics\.jsonl:2 is damaged"):
        learning_curves(Run(tmp_path / "broken"))


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

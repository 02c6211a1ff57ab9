"""The study files of the paper: their plans without a connection, and their path on stand-ins."""

from __future__ import annotations

from pathlib import Path

import pytest

from echochamber.corpora import CORPORA, hub, write_stand_ins
from echochamber.study import estimate, open_study, run_study
from echochamber.verify.sandboxed import confinement

STUDIES = Path(__file__).parents[1] / "studies"
PARAMETERS = {"150m": 162_398_208, "1b": 1_139_277_824}


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECHOCHAMBER_HUB_MIRROR", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    hub._repo.cache_clear()


@pytest.mark.parametrize(
    ("name", "size"), [("paper-150m", "150m"), ("paper-1b", "1b"), ("gsm8k-to-math", "1b")]
)
def test_the_plan_of_a_paper_study_needs_no_connection(tmp_path: Path, name: str, size: str) -> None:
    study = open_study(STUDIES / f"{name}.yaml", runs=tmp_path)
    found = estimate(study)
    assert [row["parameters"] for row in found.models] == [PARAMETERS[size]]
    for mixture, config in study.config.mixtures.items():
        rows = {row["source"]: row for row in found.mixtures if row["mixture"] == mixture}
        assert set(rows) == set(config.source_names)
        assert all(row["tokens"] > 0 for row in rows.values())
        assert sum(row["share"] for row in rows.values()) == pytest.approx(1)
    first = found.mixtures[0]
    assert (first["source"], first["tokens"]) == ("tinygsm", CORPORA["tinygsm"].tokens)
    work = [row for row in found.stages if row["FLOPs"]]
    assert {row["stage"].split()[0] for row in work} >= {"pretrain", "evaluate", "ppo"}
    for row in work:
        share = 0.4 if row["stage"].startswith("pretrain") else 0.1
        assert row["H100 hours"] == pytest.approx(row["FLOPs"] / (989e12 * share * 3600))
    assert any("H100 hours left" in line for line in found.notes)
    titles = [row["stage"] for row in found.stages]
    assert len(set(titles)) == len(titles), "two stages that look the same"


@pytest.mark.long
@pytest.mark.skipif(bool(confinement.refusal()), reason="programs cannot be confined here")
def test_the_mini_study_runs_on_stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stand_ins(tmp_path / "hub", documents=800, problems=60)
    monkeypatch.setenv("ECHOCHAMBER_HUB_MIRROR", str(tmp_path / "hub"))
    shorter = ["pretrain.steps=4", "evaluation.num_problems=4", "evaluation.num_samples=2", "arms.ei.steps=2"]
    steps = [f"arms.{arm}.steps=1" for arm in ("ppo", "grpo", "random")]
    study = open_study(STUDIES / "paper-mini.yaml", [*shorter, *steps], runs=tmp_path / "runs")
    rows = run_study(study)
    swept = {("ppo", f"kl_coefficient={kl}") for kl in ("0", "0.001", "0.01")}
    shared = {(arm, "") for arm in ("base", "grpo", "ei", "random")}
    assert {(row["arm"], row["sweep"]) for row in rows} == swept | shared
    assert {row["benchmark"] for row in rows} == {"gsm8k-test", "math-500", "aime"}
    assert {row["mixture"] for row in rows} == {"2xtinygsm", "controlled-even"}
    assert (study.folder / "report.html").is_file()

import html
import json
import re
import shutil
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from echochamber.base import EchoError, InputError
from echochamber.report import render
from synthetic import cell_of, make_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(
        tmp_path_factory.mktemp("runs") / "demo", arms=("grpo", "random"), num_points=4, num_problems=30
    )
    render(run)
    return run


def page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def without_scripts(text: str) -> str:
    return html.unescape(re.sub(r"(?s)<(script|style)\b.*?</\1>", " ", text))


def test_the_page_is_one_file_that_loads_nothing(folder: Path) -> None:
    text = page(folder)
    bare = re.sub(r"(?s)<script>.*?</script>", "", text)
    assert not re.search(r'(?:src|href)="(?!#|data:)', bare)
    assert "http://" not in bare and "https://" not in bare
    assert "default-src 'none'" in text  # the browser itself refuses any request
    assert "plotly.js (basic - minified) v4.1.1" in text


def test_headline_says_what_the_numbers_say(folder: Path) -> None:
    text = without_scripts(page(folder))
    assert "RL amplified llm_code and wiped out" in text
    assert "boxed went from" in text
    # The control changed nothing and the page says so.
    assert "within the noise" in text


def test_nothing_is_claimed_where_nothing_happened(tmp_path: Path) -> None:
    run = make_run(tmp_path / "null", arms=("grpo",), num_points=2, num_problems=20, strength=0.0)
    text = without_scripts(render(run, images=False).read_text(encoding="utf-8"))
    assert "No format was wiped out and none took over" in text
    assert "within the noise" in text


def test_completions_are_escaped(folder: Path) -> None:
    text = re.sub(r"(?s)<script.*?</script>", "", page(folder))
    assert "<llm-code>" not in text
    assert "&lt;llm-code&gt;" in text


def test_panels_are_json_with_shares_that_sum_to_one(folder: Path) -> None:
    panels = re.findall(r'(?s)<script type="application/json">(.*?)</script>', page(folder))
    stacked = [json.loads(p)["data"] for p in panels]
    stacked = [traces for traces in stacked if traces[0].get("stackgroup")]
    assert len(stacked) == 4  # evaluated and training shares of two arms
    for traces in stacked:
        for values in zip(*(trace["y"] for trace in traces), strict=True):
            assert sum(values) == pytest.approx(1.0)


def test_images_and_page_have_equal_bytes_when_drawn_again(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / folder.name
    shutil.copytree(folder, again)
    (again / "report.html").unlink()
    render(again)
    names = sorted(p.name for p in (folder / "figures").iterdir())
    assert {Path(n).suffix for n in names} == {".png", ".svg"}
    assert sorted(p.name for p in (again / "figures").iterdir()) == names
    for name in names:
        assert (again / "figures" / name).read_bytes() == (folder / "figures" / name).read_bytes(), name
    assert (again / "report.html").read_bytes() == (folder / "report.html").read_bytes()


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a finished run: it has no summary\.json"):
        render(tmp_path)


def test_damaged_completions_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "broken", arms=(), num_points=2, num_problems=5)
    part = next((run / "completions").iterdir())
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(EchoError, match="damaged"):
        render(run, images=False)


def test_a_base_model_without_arms_has_a_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "base-only", arms=(), num_points=2, num_problems=5)
    assert "A base model, before any RL" in without_scripts(
        render(run, images=False).read_text(encoding="utf-8")
    )


def test_everything_recorded_has_its_place(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / folder.name
    shutil.copytree(folder, run)
    study = (run / "study.yaml").read_text(encoding="utf-8")
    endpoint = "endpoints:\n- {name: accuracy rises, arm: grpo}\n- {name: too far, arm: dpo}\n"
    (run / "study.yaml").write_text(study.replace("endpoints: []\n", endpoint), encoding="utf-8")
    cell = cell_of("grpo", "pico", "three", 0)
    (run / "alarms.jsonl").write_text(
        json.dumps({**cell.columns, "step": 7, "alarm": "the entropy fell to 0.01"}) + "\n"
    )
    probability = {
        "format": "tinygsm", "opening": "def simple", "opening_mass": 0.31, "reference_logprob": -9.0,
        "reference_logprob_per_token": -0.5, "reference_share": 0.25, "num_problems": 20,
    }  # fmt: skip
    row = json.dumps({**cell.on("test").columns, "step": 0, **probability})
    (run / "format_probabilities.jsonl").write_text(row + "\n")
    text = without_scripts(render(run, images=False).read_text(encoding="utf-8"))
    for expected in (
        "Named before the run", "accuracy rises", "seen in this run", "the run holds no arm 'dpo'",
        "the entropy fell to 0.01", "Before anything is sampled", "def simple", "Statements of Zhao et al.",
        "Who was expected to win", "The arms compared", "within the noise", "pass@8",
    ):  # fmt: skip
        assert expected in text, expected


def test_several_groups_and_benchmarks(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "grid", arms=("grpo",), sizes=("pico", "nano"), benchmarks=("test", "deep"), num_points=2,
        num_problems=10,
    )  # fmt: skip
    text = without_scripts(render(run, images=False).read_text(encoding="utf-8"))
    for expected in ("pico on three, test", "nano on three, deep", "Does it transfer"):
        assert expected in text


def test_large_runs_stay_light(tmp_path: Path) -> None:
    """Only a bounded number of completions and points goes into the page."""
    run = make_run(tmp_path / "large", arms=("grpo",), num_points=2, num_problems=400, total_steps=3000)
    assert render(run, images=False).stat().st_size < 2_000_000


def opening(text: str) -> str:
    """What the first screen says."""
    return html.unescape(
        re.sub(r"(?s)<[^>]*>", "", text[text.index('<header id="finding">') : text.index("</header>")])
    )


def test_the_first_screen_has_greedy_numbers_and_the_controls_twin(folder: Path) -> None:
    text = opening(page(folder))
    assert "decoded greedily, test" in text and "pass@1 at T = 1, test" in text
    assert text.count("Decoded greedily:") == text.count("Shares of the greedy answers:") == 2  # each arm
    assert "random (reward: random) is the twin of grpo" in text


def test_without_greedy_decoding_the_page_says_what_is_unknown(tmp_path: Path) -> None:
    run = make_run(tmp_path / "sampled", arms=("grpo",), num_points=2, num_problems=30)
    for part in (run / "completions").iterdir():
        table = pq.read_table(part)
        pq.write_table(table.filter(pc.invert(table["greedy"])), part)
    summary = json.loads((run / "summary.json").read_text())
    summary["rows"] = [row for row in summary["rows"] if not row["greedy"]]
    (run / "summary.json").write_text(json.dumps(summary))
    assert "how much of this is sharpening at T = 1 is unknown" in opening(page_of(run))


def test_the_headline_is_on_the_study_s_first_benchmark(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "order", arms=("grpo",), benchmarks=("zeta", "alpha"), num_points=2, num_problems=10
    )
    text = page_of(run)
    assert "pass@1 at T = 1, zeta" in opening(text) and "alpha" not in opening(text)
    assert text.index("pico on three, zeta") < text.index("pico on three, alpha")


def test_one_seed_is_about_runs_and_several_about_training_runs(tmp_path: Path) -> None:
    one, several = (
        page_of(make_run(tmp_path / f"{len(seeds)}", arms=("grpo", "random"), seeds=seeds, num_points=2,
                         num_problems=30))
        for seeds in ((0,), (0, 1, 2, 3))
    )  # fmt: skip
    body = one[one.index("<section") :]
    assert "In this run RL amplified" in one and "In this run" not in several
    assert "these two runs differ on these problems" in body
    assert 'class="ruling yes"' not in body and 'class="ruling run"' in body
    assert "95 % intervals cover other problems only, not other training runs" in body
    body = several[several.index("<section") :]
    assert 'class="ruling yes"' in body and 'class="ruling run"' not in body
    assert "95 % intervals cover other problems and other training runs" in body


def page_of(run: Path) -> str:
    return render(run, images=False).read_text(encoding="utf-8")

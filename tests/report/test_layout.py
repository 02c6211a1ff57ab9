"""What a browser shows of a page: nothing that matters is cut off, on a desktop or on a phone."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from browser import measure, needs_browser

from echochamber.report import render
from synthetic import cell_of, make_run

ENDPOINTS = (
    {"name": "RL makes the model better", "arm": "grpo"},
    {
        "name": "paying at random does not raise accuracy by more than the margin that was fixed beforehand",
        "arm": "random", "expect": "no change", "margin": 0.05,
    },
    {"name": "prose is lost", "arm": "grpo", "metric": "share", "format": "boxed", "expect": "decrease",
     "margin": 0.1},
    {"name": "an arm that nobody trained", "arm": "a-rather-long-name-of-an-arm-that-is-not-there"},
)  # fmt: skip

HOSTILE = (
    "</script><script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>",
    "\x00\x1b[2J\x1b]0;title\x07\x08\x7f\x9b31m red",
    "\u202egnp.exe\u2066 right to left \u200b\u200d\ufeff\u2028",
    "</pre></div></details></main><style>* { display: none }</style>",
    "x" * 100_000,
    "{{ 7 * 7 }} {% for i in range(10) %}{{ i }}{% endfor %}",
    "a\u0301" * 400 + "\r\r\n" + "\t" * 300,
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd 12",
)

OUTSIDE = """() => [...document.querySelectorAll("table.endpoints th, table.endpoints td")]
  .filter((cell) => cell.getClientRects().length)
  .filter((cell) => {
    const box = cell.getBoundingClientRect();
    let [left, right] = [0, document.documentElement.clientWidth];
    for (let at = cell.parentElement; at; at = at.parentElement) {
      if (getComputedStyle(at).overflowX === "visible") continue;
      const around = at.getBoundingClientRect();
      [left, right] = [Math.max(left, around.left), Math.min(right, around.right)];
    }
    return box.left < left - 1 || box.right > right + 1 || cell.scrollWidth > cell.clientWidth + 1;
  })
  .map((cell) => cell.textContent)"""
SIDEWAYS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(
        tmp_path_factory.mktemp("runs") / "demo", arms=("grpo", "random"), num_points=2, num_problems=10,
        endpoints=ENDPOINTS,
    )  # fmt: skip
    return render(run, images=False)


@needs_browser
@pytest.mark.parametrize("width", [1200, 390])
def test_every_cell_of_the_endpoints_is_seen(page: Path, width: int, tmp_path: Path) -> None:
    assert measure(page, OUTSIDE, width=width, folder=tmp_path) == []
    rows = "() => document.querySelectorAll('table.endpoints tbody tr').length"
    assert measure(page, rows, width=width, folder=tmp_path) == len(ENDPOINTS)


@needs_browser
@pytest.mark.parametrize("width", [1200, 390])
def test_the_page_does_not_scroll_sideways(page: Path, width: int, tmp_path: Path) -> None:
    assert measure(page, SIDEWAYS, width=width, folder=tmp_path) <= 0


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page whose questions, answers and completions were written by an attacker."""
    run = make_run(
        tmp_path_factory.mktemp("runs") / "hostile", arms=("grpo",), num_points=2, num_problems=len(HOSTILE)
    )
    for part in (run / "completions").iterdir():
        table = pq.read_table(part)
        texts = [HOSTILE[(i + i // 8) % len(HOSTILE)] for i in range(table.num_rows)]
        for name in ("completion", "question", "gold", "answer"):
            place = table.schema.get_field_index(name)
            table = table.set_column(place, table.schema.field(place), pa.array(texts, pa.string()))
        pq.write_table(table, part)
    alarm = {
        **cell_of("grpo", "pico", "three", 0).columns, "step": 1,
        "alarm": "\x1b[2J\ud83d\u202e</li><script>window.pwned = 3",
    }  # fmt: skip
    (run / "alarms.jsonl").write_text(json.dumps(alarm) + "\n")
    return render(run, images=False)


def test_hostile_text_is_shown_and_does_nothing(hostile: Path, page: Path) -> None:
    text = hostile.read_text(encoding="utf-8")
    allowed = set("\n\t")
    invisible = {"\u200b", "\ufeff", "\u2028", "\u2029", *map(chr, range(0x202A, 0x202F)), "\u2066"}
    bare = text.replace(_plotly(), "")
    assert not {
        c for c in bare if (ord(c) < 32 and c not in allowed) or 127 <= ord(c) < 160 or c in invisible
    }
    assert text.count("<script>") == page.read_text(encoding="utf-8").count("<script>")
    assert "<img" not in bare and "<style>* {" not in bare
    assert r"\x1b[2J" in text and r"\u202egnp.exe" in text and "{{ 7 * 7 }}" in text
    assert "98,400 more characters" in text
    assert len(text) < 2_000_000


def _plotly() -> str:
    from echochamber.report.html import asset

    return asset("plotly-basic.min.js")


@needs_browser
@pytest.mark.parametrize("width", [1200, 390])
def test_hostile_text_stays_in_its_box(hostile: Path, width: int, tmp_path: Path) -> None:
    assert measure(hostile, SIDEWAYS, width=width, folder=tmp_path) <= 0
    assert measure(hostile, "() => window.pwned ?? null", width=width, folder=tmp_path) is None
    shown = "() => document.querySelectorAll('.written pre').length"
    assert measure(hostile, shown, width=width, folder=tmp_path) == 2 * len(HOSTILE)

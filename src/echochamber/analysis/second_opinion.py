"""The same completions scored by the rules of the paper's released code, beside our own numbers.

The report shows both columns, "as published" and "as measured". Scoring runs
programs, which a report never does, so the second opinion is computed on request
and written into the run folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from echochamber.analysis.runs import WHERE_CELL, Run, of_cell, showing_lock
from echochamber.analysis.trajectories import Trajectory, majority_per_problem, select, trajectories
from echochamber.base import write_json
from echochamber.evaluation import Cell

FILE_NAME = "second_opinion.json"

_SAMPLES = f"""
    SELECT problem_id, any_value(question) AS question, any_value(gold) AS gold,
           list(completion ORDER BY sample) AS completions
    FROM completions
    WHERE {WHERE_CELL} AND greedy = $greedy AND step = $step AND seed = $seed
    GROUP BY problem_id ORDER BY min((filename, file_row_number))
"""


def second_opinion(run: Run, *, tiers: Sequence[int] = (1,)) -> dict[str, Any]:
    """Score the base model's and every arm's last samples on the first benchmark by the released rules.

    Returns:
        `rows`: one per arm and seed, with `published` and `measured`, each holding `pass_at_n`, `majority`,
        `share` and `accuracy`; `published` also `reward`, the released training reward, which parses the
        question together with the response. `hack_floor`: reward of responses that answer nothing, under both
        sets of rules.
        The published shares leave out samples without an answer, so they sum to less than 1; the published
        vote counts distinct answers and keeps the previous problem's where nothing parses.
    """
    from echochamber.verify.paper_compat import PaperCompat

    rows: list[dict[str, Any]] = []
    floor: dict[str, Any] = {}
    with PaperCompat(tiers=tiers) as published:
        for t in select(trajectories(run)):
            for count in t.counts:
                wanted = {"greedy": t.greedy, "step": t.steps[-1], "seed": count.seed}
                table = run.query(_SAMPLES, of_cell(_measured_as(t)) | wanted).to_pylist()
                questions = [row["question"] for row in table]
                golds = [row["gold"] for row in table]
                samples = [row["completions"] for row in table]
                found = published.metrics(samples, golds)
                rewarded = published.grade(
                    [f"{q}\n\n" for q, some in zip(questions, samples, strict=True) for _ in some],
                    [text for some in samples for text in some],
                    [gold for gold, some in zip(golds, samples, strict=True) for _ in some],
                )
                rows.append(
                    {
                        **replace(t.cell, seed=count.seed).columns,
                        "step": t.steps[-1],
                        "num_samples": t.num_samples,
                        "published": {
                            "pass_at_n": found.pass_at_n,
                            "majority": found.majority,
                            "share": found.share,
                            "accuracy": found.accuracy,
                            "reward": sum(v.reward for v in rewarded) / max(1, len(rewarded)),
                        },
                        "measured": _measured(run, t.with_seeds([count.seed])),
                    }
                )
                if not floor:
                    both = published.hack_floor(questions, golds)
                    floor = {"published": both.published, "measured": both.measured}
    return {"rows": rows, "hack_floor": floor}


def write_second_opinion(run_folder: Path, *, tiers: Sequence[int] = (1,)) -> Path:
    """Write `second_opinion.json` into a run folder; the next report shows it.

    Raises:
        InputError: not a run folder.
    """
    run = Run(Path(run_folder))
    path = run.folder / FILE_NAME
    with showing_lock(run.folder):
        write_json(path, second_opinion(run, tiers=tiers))
    return path


def _measured_as(t: Trajectory) -> Cell:
    """The cell that holds the last step's completions: the base model's if only step 0 was evaluated."""
    return t.base if t.steps[-1] == 0 else t.cell


def _measured(run: Run, t: Trajectory) -> dict[str, Any]:
    k = t.num_samples
    share, accuracy = t.share.estimate[-1], t.accuracy_by_format.estimate[-1]
    return {
        "pass_at_n": t.mean(t.pass_per_problem(-1, k)).estimate,
        "majority": t.mean(majority_per_problem(run, t, -1, k)[0]).estimate,
        "share": {name: float(share[f]) for f, name in enumerate(t.formats)},
        "accuracy": {name: float(accuracy[f]) for f, name in enumerate(t.formats) if share[f] > 0},
        "reward": float(t.pass_at_1.estimate[-1]),
    }

"""A run folder made of invented numbers, laid out as a study writes it; for tests of analysis and report."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from echochamber.evaluation import (
    COMPLETION_SCHEMA,
    SCHEMA,
    Cell,
    EvaluationConfig,
    evaluation_steps,
    summarize,
    with_cell,
)

FORMATS = ("tinygsm", "llm_code", "boxed", "none")
BASE_LOGITS = (1.15, 1.2, 1.3, -1.6)
BASE_SKILL = (0.1, 0.35, -1.0, -9.0)
# How far each arm moves the logits of the formats, and the skill in all of them, by its last step.
MOVES: dict[str, tuple[tuple[float, ...], float]] = {
    "grpo": ((1.0, 4.5, -4.0, -4.0), 2.4),
    "ppo": ((1.5, 4.0, -3.5, -4.0), 2.0),
    "ei": ((0.4, 0.8, -0.9, -2.0), 0.9),
    "random": ((0.05, -0.05, 0.0, 0.0), 0.0),
}
NAMES = ("Tom", "Ana", "Ravi", "Mia", "Leo", "Zoe")
ITEMS = ("apples", "marbles", "stamps", "books")


def _question(rng: np.random.Generator) -> tuple[str, int, int, str]:
    a, b = int(rng.integers(5, 30)), int(rng.integers(2, 20))
    item = str(rng.choice(ITEMS))
    text = f"{rng.choice(NAMES)} has {a} {item} and buys {b} more. How many {item} are there now?"
    return text, a, b, item


def _completion(name: str, a: int, b: int, item: str, answer: int) -> str:
    if name == "tinygsm":
        return (
            f"def simple_math_problem():\n    {item} = {a}\n    bought = {b}\n"
            f"    result = {item} + bought\n    return result"
        )
    if name == "llm_code":
        return (
            f"<llm-code>\n{item} = {a}\ntotal = {item} + {b}\ntotal\n</llm-code>\n"
            f"<llm-code-output>\n{answer}\n</llm-code-output>\nThere are \\boxed{{{answer}}} {item}."
        )
    if name == "boxed":
        return f"At first there are {a} {item}. Then {a} + {b} = {answer}. The answer is \\boxed{{{answer}}}."
    return f"{item} {item} and {item} & <b>{item}</b>"


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


ALGORITHMS = {"ei": "expert_iteration", "random": "grpo"}


def cell_of(arm: str, size: str, mixture: str, seed: int, benchmark: str | None = None) -> Cell:
    """The cell of an arm; `grpo@kl=0` is the arm `grpo` at the point `kl=0` of a sweep."""
    name, _, sweep = arm.partition("@")
    return Cell(name, ALGORITHMS.get(name, name), size, mixture, seed, sweep, benchmark)


def completions(
    arm: str,
    seed: int,
    step: int,
    progress: float,
    *,
    benchmark: str,
    num_problems: int,
    num_samples: int,
    strength: float = 1.0,
) -> pa.Table:
    """Invented completions of one arm at one step: greedy ones, then samples."""
    move, gain = MOVES.get(arm.partition("@")[0], ((0.0,) * 4, 0.0))
    how_far = 1.0 - math.exp(-6.0 * progress)
    shift = np.random.default_rng([seed, len(arm)]).normal(0.0, 0.15, 4)
    probabilities = _softmax(np.array(BASE_LOGITS) + shift + strength * how_far * np.array(move))
    rows: list[dict[str, Any]] = []
    problems = np.random.default_rng([77, len(benchmark)])
    draws = np.random.default_rng([seed, step, len(arm), len(benchmark)])
    drawn = []
    for index in range(num_problems):
        text, a, b, item = _question(problems)
        drawn.append((f"{benchmark}-{index:04d}", text, a, b, item, problems.normal(0.0, 1.0)))
    for greedy, count in ((True, 1), (False, num_samples)):
        for key, text, a, b, item, ease in drawn:
            for sample in range(count):
                f = int(np.argmax(probabilities)) if greedy else int(draws.choice(4, p=probabilities))
                skill = BASE_SKILL[f] + strength * gain * progress**0.4 + ease + (0.8 if greedy else 0.0)
                right = draws.random() < 1.0 / (1.0 + math.exp(-skill))
                answer = a + b if right else a + b + int(draws.integers(1, 4))
                name = FORMATS[f]
                outcome = "no_answer" if name == "none" else "correct" if right else "wrong"
                written = _completion(name, a, b, item, answer)
                rows.append(
                    {
                        "step": step,
                        "problem_id": key,
                        "level": 1,
                        "sample": sample,
                        "greedy": greedy,
                        "temperature": 0.0 if greedy else 1.0,
                        "question": text,
                        "gold": str(a + b),
                        "completion": written,
                        "format": name,
                        "outcome": outcome,
                        "answer": None if name == "none" else str(answer),
                        "reward": float(outcome == "correct"),
                        "logprob": -4.0 - float(draws.random()),
                        "num_tokens": 8 + len(written) // 6,
                        "finish_reason": "stop",
                    }
                )
    return pa.Table.from_pylist(rows, schema=COMPLETION_SCHEMA)


def make_run(
    folder: Path,
    *,
    arms: Sequence[str] = ("grpo", "ppo", "ei", "random"),
    seeds: Sequence[int] = (0,),
    sizes: Sequence[str] = ("pico",),
    mixtures: Sequence[str] = ("three",),
    benchmarks: Sequence[str] = ("test",),
    num_problems: int = 60,
    num_samples: int = 8,
    total_steps: int = 40,
    num_points: int = 15,
    strength: float = 1.0,
    endpoints: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write the folder of a finished run and return it."""
    config = EvaluationConfig(benchmarks=tuple(benchmarks), num_samples=num_samples, num_points=num_points)
    (folder / "completions").mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    metrics: list[dict[str, Any]] = []
    timing: list[dict[str, Any]] = []
    part = 0
    for mixture in mixtures:
        for size in sizes:
            for seed in seeds:
                for arm in ("base", *arms):
                    cell = cell_of(arm, size, mixture, seed)
                    steps = (0,) if arm == "base" else evaluation_steps(total_steps, num_points)
                    for benchmark in benchmarks:
                        for step in steps:
                            source = "base" if step == 0 else arm
                            table = completions(
                                source,
                                seed,
                                step,
                                step / total_steps,
                                benchmark=benchmark,
                                num_problems=num_problems,
                                num_samples=num_samples,
                                strength=strength,
                            )
                            table = with_cell(table, cell.on(benchmark))
                            pq.write_table(table, folder / "completions" / f"part-{part:05d}.parquet")
                            part += 1
                            rows += summarize(table, config)
                    metrics += _pretrain(cell) if arm == "base" else _rl(cell, total_steps, strength)
                    timing += _timing(cell, total_steps)
    study = _study(folder.name, arms, seeds, sizes, mixtures, benchmarks, config, total_steps, endpoints)
    points = [label for label in dict.fromkeys(arm.partition("@")[2] for arm in arms) if label]
    documents = [{"sweep": label, **study} for label in points] or [study]
    text = "---\n".join(yaml.safe_dump(one, sort_keys=False) for one in documents)
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    environment = {
        "python": "3.11.2",
        "torch": "2.13.0",
        "platform": "Linux-6.1-x86_64",
        "device": "cpu",
        "dtype": "float32",
        "num_threads": 2,
        "echochamber": "0.1.0",
        "commit": "0" * 40,
        "host": "example",
    }
    _write(folder / "environment.json", environment)
    _write(folder / "plan.json", [{"stage": "pretrain", "title": "pretrain pico", "key": "ab12", "seed": 0}])
    seconds = {f"pretrain {sizes[0]} on {mixtures[0]}": 132.4, **{f"{arm} {sizes[0]}": 41.0 for arm in arms}}
    questions = {**dict.fromkeys(benchmarks, num_problems), "train": 2000}
    _write(
        folder / "summary.json",
        {"schema": SCHEMA, "study": folder.name, "questions": questions, "rows": rows, "seconds": seconds},
    )
    _lines(folder / "metrics.jsonl", metrics)
    _lines(folder / "timing.jsonl", timing)
    return folder


def _study(
    name: str,
    arms: Sequence[str],
    seeds: Sequence[int],
    sizes: Sequence[str],
    mixtures: Sequence[str],
    benchmarks: Sequence[str],
    config: EvaluationConfig,
    total_steps: int,
    endpoints: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    shares = {"tinygsm": 0.3, "llm_code": 0.3, "boxed": 0.3, "arithmetic": 0.1}
    return {
        "study": name,
        "description": "Three formats in one mixture; which one does RL keep?",
        "seed": list(seeds) if len(seeds) > 1 else seeds[0],
        "tasks": {
            **{b: {"kind": "word_problems", "num_problems": 60} for b in benchmarks},
            "train": {"kind": "word_problems", "num_problems": 2000},
        },
        "sources": {
            **{f: {"kind": "word_problems", "format": f} for f in FORMATS[:3]},
            "arithmetic": {"kind": "arithmetic"},
        },
        "tokenizer": {"vocab_size": 1024},
        "mixtures": {m: {"kind": "controlled", "tokens": 3_000_000, "shares": shares} for m in mixtures},
        "model": {"sizes": list(sizes), "context_length": 160},
        "pretrain": {"batch_size": 16, "sequence_length": 128, "optimizer": {"learning_rate": 0.004}},
        "evaluation": config.model_dump(mode="json"),
        "arms": {
            a: {
                "algorithm": ALGORITHMS.get(a, a),
                "task": "train",
                "steps": total_steps,
                "prompts_per_step": 32,
                "samples_per_prompt": 8,
                "reward": "random" if a == "random" else "correct",
            }
            for a in dict.fromkeys(a.partition("@")[0] for a in arms)
        },
        "endpoints": [dict(endpoint) for endpoint in endpoints],
    }


def _pretrain(cell: Cell) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for step in range(10, 1451, 10):
        loss = 0.9 + 5.5 * math.exp(-step / 180)
        row = {
            "stage": "pretrain",
            **cell.columns,
            "step": step,
            "loss": loss + 0.05 * math.sin(step),
            "learning_rate": 0.004,
            "grad_norm": 1.0,
            "tokens": step * 2048,
        }
        if step % 290 == 0:
            row["heldout"] = {
                name: 0.7 + 0.12 * i + 5.0 * math.exp(-step / 200)
                for i, name in enumerate(("tinygsm", "llm_code", "boxed", "arithmetic"))
            }
        rows.append(row)
    return rows


def _rl(cell: Cell, total_steps: int, strength: float) -> list[dict[str, Any]]:
    move, gain = MOVES[cell.arm]
    rows = []
    for step in range(1, total_steps + 1):
        progress = step / total_steps
        how_far = strength * (1.0 - math.exp(-6.0 * progress))
        share = _softmax(np.array(BASE_LOGITS) + how_far * np.array(move))
        accuracy = [1 / (1 + math.exp(-(skill + strength * gain * progress**0.4))) for skill in BASE_SKILL]
        entropy = -float(np.sum(share * np.log(share)))
        rows.append(
            {
                "stage": "rl",
                **cell.columns,
                "step": step,
                "reward": float(np.dot(share, accuracy)),
                "share": dict(zip(FORMATS, share.tolist(), strict=True)),
                "accuracy": dict(zip(FORMATS, accuracy, strict=True)),
                "kl": 2.0 * how_far * abs(gain),
                "entropy": 0.3 * entropy + 0.02,
                "format_entropy": entropy,
                "grad_norm": 0.5,
                "mean_tokens": 17.0,
                "no_signal_fraction": 0.1 + 0.6 * progress,
                "samples_seen": step * 256,
            }
        )
    return rows


def _timing(cell: Cell, total_steps: int) -> list[dict[str, Any]]:
    if cell.is_base:
        return [{"stage": "pretrain", **cell.columns, "step": 1450, "seconds": 132.4}]
    return [
        {"stage": "rl", **cell.columns, "step": step, "seconds": 0.9} for step in range(1, total_steps + 1)
    ]


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")


def _lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

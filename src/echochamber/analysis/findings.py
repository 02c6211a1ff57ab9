"""The findings of Zhao et al. 2025 (arXiv:2504.07912) as statements that a run can test.

Each function takes what it needs, says in one sentence what it looked at, and
answers `holds`, `does not hold`, `undecided` (inside the noise) or `not
tested` (the run lacks the arms, sizes or mixtures it needs). All numbers are
taken at steps fixed in advance, never at the best of several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from echochamber.analysis.comparison import common_seeds
from echochamber.analysis.forecast import compare_forecast, forecast, rules_of_thumb
from echochamber.analysis.headline import Headline, headline, percent, points
from echochamber.analysis.runs import Run
from echochamber.analysis.statistics import Array, PairedTest, paired_test
from echochamber.analysis.trajectories import Trajectory, majority_per_problem, select, trajectories

Answer = Literal["holds", "does not hold", "undecided", "not tested"]
CONTROLS = ("random", "always_one")


@dataclass(frozen=True)
class Finding:
    """One statement and what this run says about it.

    Attributes:
        statement: the claim.
        answer: what the run says.
        evidence: the numbers behind the answer.
    """

    statement: str
    answer: Answer
    evidence: str


@dataclass(frozen=True)
class Evidence:
    """What findings are tested on: sampled completions of one benchmark.

    Attributes:
        run: the run.
        primary: arms and base models on the study's first benchmark.
        arms: those of them that post-training was paid for correct answers in.
        controls: arms whose reward carries no signal.
        everywhere: the paid arms on all benchmarks.
        configs: the study's config of each arm.
    """

    run: Run
    primary: tuple[Trajectory, ...]
    arms: tuple[Trajectory, ...]
    controls: tuple[Trajectory, ...]
    everywhere: tuple[Trajectory, ...]
    configs: dict[str, dict[str, Any]]

    def algorithm(self, t: Trajectory) -> str:
        """The algorithm of an arm."""
        return str(self.configs.get(t.arm, {}).get("algorithm", t.arm))

    def of(self, *algorithms: str) -> list[Trajectory]:
        """The paid arms of some algorithms."""
        return [t for t in self.arms if self.algorithm(t) in algorithms]


def arm_configs(run: Run) -> dict[str, dict[str, Any]]:
    """The study's config of every arm that the run holds, sweep points told apart by their labels."""
    known = {row["arm"] for row in run.rows}
    found: dict[str, dict[str, Any]] = {}
    for study in run.study:
        label = study.get("sweep") or ""
        for name, config in (study.get("arms") or {}).items():
            swept = f"{name}[{label}]"
            found[swept if swept in known else name] = config
    return found


def unrewarded_arms(run: Run) -> set[str]:
    """Arms whose reward carries no signal about correctness."""
    return {name for name, config in arm_configs(run).items() if config.get("reward") in CONTROLS}


def gather_evidence(run: Run) -> Evidence:
    """Sort a run's arms into those that learn from correctness and controls that cannot."""
    configs = arm_configs(run)
    found = [t for t in trajectories(run) if not t.greedy]
    primary = select(found) if found else []
    control = unrewarded_arms(run)
    arms = [t for t in primary if not t.is_base]
    return Evidence(
        run,
        tuple(primary),
        tuple(t for t in arms if t.arm not in control),
        tuple(t for t in arms if t.arm in control),
        tuple(t for t in found if not t.is_base and t.arm not in control),
        configs,
    )


def findings(run: Run) -> list[Finding]:
    """Every statement, in the order of the paper."""
    e = gather_evidence(run)
    return [
        takeover(e),
        majority_and_coverage(e),
        kl_keeps_minorities(e),
        winner_is_no_simple_rule(e),
        scale_changes_winner(e),
        same_winner_for_grpo_and_ppo(e),
        grpo_is_less_stable(e),
        expert_iteration_lags(e),
        transfers(e),
        tilt_names_winner(e),
        nothing_from_nothing(e),
        no_signal_no_gain(e),
    ]


def _all_of(answers: Sequence[Answer]) -> Answer:
    """One answer for several arms: it holds when all hold, fails when one does."""
    if not answers:
        return "not tested"
    if "does not hold" in answers:
        return "does not hold"
    return "undecided" if "undecided" in answers else "holds"


def _sign(test: PairedTest, direction: int) -> Answer:
    if test.inside_noise:
        return "undecided"
    return "holds" if direction * test.difference.estimate > 0 else "does not hold"


def _name(e: Evidence, t: Trajectory) -> str:
    cells = {(a.size, a.mixture) for a in e.primary}
    return t.arm if len(cells) == 1 else f"{t.arm} ({t.size} on {t.mixture})"


def _difference(test: PairedTest) -> str:
    d = test.difference
    return f"{points(d.estimate)} [{points(d.low, '')}, {points(d.high, '')}]"


def _steps_per_pass(e: Evidence, t: Trajectory) -> int | None:
    """Steps in which an arm sees as many questions as its task has."""
    arm = e.configs.get(t.arm, {})
    tasks = e.run.study[0].get("tasks", {}) if e.run.study else {}
    questions = (tasks.get(arm.get("task")) or {}).get("num_problems")
    per_step = arm.get("prompts_per_step")
    return max(1, round(questions / per_step)) if questions and per_step else None


def takeover(e: Evidence) -> Finding:
    """Finding 1, first half."""
    answers: list[Answer] = []
    parts = []
    for t in e.arms:
        h: Headline = headline(t)
        end = _steps_per_pass(e, t) or t.steps[-1]
        i = max(i for i, step in enumerate(t.steps) if step <= max(end, t.steps[0]))
        if i == 0 or h.winner is None:
            continue
        f = t.formats.index(h.winner.name)
        share, rise = t.share.estimate[i, f], t.pass_at_1.estimate[-1] - t.pass_at_1.estimate[0]
        early = (t.pass_at_1.estimate[i] - t.pass_at_1.estimate[0]) / rise if rise else 0.0
        good = h.took_over and share >= 0.5 and early >= 0.5
        answers.append("undecided" if h.gain.inside_noise else "holds" if good else "does not hold")
        parts.append(
            f"{_name(e, t)}: by step {t.steps[i]} {h.winner.name} holds {percent(float(share))}"
            + ("" if h.gain.inside_noise else f" and {percent(float(early))} of the rise of pass@1 is done")
        )
    return Finding(
        "One format takes over within the first pass over the RL questions, together with most of the rise "
        "of pass@1.",
        _all_of(answers),
        "; ".join(parts),
    )


def majority_and_coverage(e: Evidence) -> Finding:
    """Finding 1, second half, with the middle evaluated step standing for "early"."""
    answers: list[Answer] = []
    parts = []
    for t in e.arms:
        k = t.num_samples
        if k < 2 or len(t.steps) < 3:
            continue
        middle = len(t.steps) // 2
        vote = [majority_per_problem(e.run, t, i, k)[0] for i in (0, -1)]
        rise = paired_test(*vote, crossed=t.crossed)
        first = _between(t, t.pass_per_problem(0, k), t.pass_per_problem(middle, k))
        late = _between(t, t.pass_per_problem(middle, k), t.pass_per_problem(-1, k))
        answers.append(_all_of([_sign(rise, 1), _sign(first, 1), _sign(late, -1)]))
        parts.append(
            f"{_name(e, t)}: maj@{k} {_difference(rise)}, pass@{k} {_difference(first)} to step "
            f"{t.steps[middle]}, {_difference(late)} from there"
        )
    return Finding(
        "The majority vote improves; pass@k for large k rises early and declines late.",
        _all_of(answers),
        "; ".join(parts),
    )


def _between(t: Trajectory, before: Sequence[Array], after: Sequence[Array]) -> PairedTest:
    return paired_test(before, after, crossed=t.crossed)


def kl_keeps_minorities(e: Evidence) -> Finding:
    """Finding 2: arms that differ in their KL coefficient."""
    answers: list[Answer] = []
    parts = []
    cells: dict[tuple[str, str, str], list[tuple[float, Trajectory]]] = {}
    for t in e.arms:
        value = e.configs.get(t.arm, {}).get("kl_coefficient")
        if isinstance(value, int | float):
            cells.setdefault((t.size, t.mixture, e.algorithm(t)), []).append((float(value), t))
    for some in cells.values():
        some.sort(key=lambda pair: pair[0])
        (low, weak), (high, strong) = some[0], some[-1]
        a, b = common_seeds(weak, strong)
        h = headline(weak)
        if low == high or a is None or b is None or h.winner is None:
            continue
        test = paired_test(
            b.share_per_problem(-1, h.winner.name), a.share_per_problem(-1, h.winner.name), crossed=a.crossed
        )
        answers.append(_sign(test, 1))
        parts.append(
            f"{_name(e, weak)} at {low:g} ends with {_difference(test)} more {h.winner.name} than at {high:g}"
        )
    return Finding(
        "A larger KL coefficient keeps more of the minority formats.", _all_of(answers), "; ".join(parts)
    )


def winner_is_no_simple_rule(e: Evidence) -> Finding:
    """Finding 3."""
    parts = []
    broken = {"most frequent": False, "most accurate": False}
    for t in e.arms:
        h = headline(t)
        if not h.took_over or h.winner is None:
            continue
        rules = rules_of_thumb(t)
        for rule, name in rules.items():
            broken[rule] |= name != h.winner.name
        listed = ", ".join(f"{rule} at the base: {name}" for rule, name in rules.items())
        parts.append(f"{_name(e, t)}: winner {h.winner.name}; {listed}")
    answer: Answer = "holds" if all(broken.values()) else "does not hold"
    return Finding(
        "The winner is neither simply the most frequent format nor simply the most accurate one.",
        answer if parts else "not tested",
        "; ".join(parts),
    )


def scale_changes_winner(e: Evidence) -> Finding:
    """Finding 4: the same arm and mixture at several sizes."""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for t in e.arms:
        h = headline(t)
        if h.winner is not None:
            cells.setdefault((t.arm, t.mixture), {})[t.size] = h.winner.name
    several = {key: winners for key, winners in cells.items() if len(winners) > 1}
    flips = [key for key, winners in several.items() if len(set(winners.values())) > 1]
    parts = [
        f"{arm} on {mixture}: " + ", ".join(f"{size} → {name}" for size, name in winners.items())
        for (arm, mixture), winners in several.items()
    ]
    return Finding(
        "The size of the model changes which format wins on the same mixture.",
        "holds" if flips else "does not hold" if several else "not tested",
        "; ".join(parts),
    )


def _pairs(e: Evidence, first: str, second: str) -> list[tuple[Trajectory, Trajectory]]:
    return [
        (a, b)
        for a in e.of(first)
        for b in e.of(second)
        if (a.size, a.mixture) == (b.size, b.mixture) and common_seeds(a, b)[0] is not None
    ]


def same_winner_for_grpo_and_ppo(e: Evidence) -> Finding:
    """Finding 6, first half."""
    answers: list[Answer] = []
    parts = []
    for a, b in _pairs(e, "grpo", "ppo"):
        winners = [h.winner.name if h.winner else "none" for h in (headline(a), headline(b))]
        answers.append("holds" if winners[0] == winners[1] else "does not hold")
        parts.append(f"{_name(e, a)} → {winners[0]}, {_name(e, b)} → {winners[1]}")
    return Finding("GRPO converges to the same format as PPO.", _all_of(answers), "; ".join(parts))


def grpo_is_less_stable(e: Evidence) -> Finding:
    """Finding 6, second half: the largest fall of pass@1 from one evaluation to the next."""
    answers: list[Answer] = []
    parts = []
    for a, b in _pairs(e, "grpo", "ppo"):
        falls = []
        for t in (a, b):
            change = np.diff(t.pass_at_1.estimate)
            i = int(np.argmin(change)) if len(change) else 0
            falls.append(_between(t, t.accuracy_per_problem(i), t.accuracy_per_problem(i + 1)))
        grpo, ppo = (-f.difference.estimate for f in falls)
        real = grpo > 0 and not falls[0].inside_noise
        answers.append("holds" if real and grpo > ppo else "undecided")
        parts.append(f"largest fall {100 * max(grpo, 0.0):.1f} points in {_name(e, a)}, "
                     f"{100 * max(ppo, 0.0):.1f} in {_name(e, b)}")  # fmt: skip
    return Finding("GRPO is less stable than PPO.", _all_of(answers), "; ".join(parts))


def expert_iteration_lags(e: Evidence) -> Finding:
    """Finding 7, against PPO, or GRPO where there is no PPO."""
    answers: list[Answer] = []
    parts = []
    for a, b in _pairs(e, "expert_iteration", "ppo") or _pairs(e, "expert_iteration", "grpo"):
        first, second = common_seeds(a, b)
        if first is None or second is None:
            continue
        test = paired_test(
            second.accuracy_per_problem(-1), first.accuracy_per_problem(-1), crossed=first.crossed
        )
        shifts = [0.5 * float(np.abs(t.share.estimate[-1] - t.share.estimate[0]).sum()) for t in (a, b)]
        gap = shifts[1] - shifts[0]
        milder: Answer = "undecided" if abs(gap) < 0.05 else "holds" if gap > 0 else "does not hold"
        answers.append(_all_of([_sign(test, -1), milder]))
        parts.append(
            f"{_name(e, a)} minus {_name(e, b)}: {_difference(test)}; formats moved by {percent(shifts[0])} "
            f"and {percent(shifts[1])}"
        )
    return Finding(
        "Expert Iteration lags behind, with a milder shift of the formats.",
        _all_of(answers),
        "; ".join(parts),
    )


def transfers(e: Evidence) -> Finding:
    """Finding 8, on every benchmark but the first."""
    first = e.primary[0].benchmark if e.primary else ""
    others = [t for t in e.everywhere if t.benchmark != first]
    tests = [(t, t.gain()) for t in others]
    return Finding(
        "RL on one set of questions raises pass@1 on harder ones as well.",
        _all_of([_sign(test, 1) for _, test in tests]),
        "; ".join(f"{_name(e, t)} on {t.benchmark}: {_difference(test)}" for t, test in tests),
    )


def tilt_names_winner(e: Evidence) -> Finding:
    """Finding 9: the tilt's limit, from the base model's completions alone."""
    compared = [compare_forecast(forecast(t)[0], t) for t in e.arms if headline(t).took_over]
    return Finding(
        "Tilting the base model by exp(r / beta) names the winner in advance.",
        _all_of(["holds" if c.right else "does not hold" for c in compared]),
        "; ".join(f"{c.arm}: expected {c.forecast.winner}, measured {c.winner}" for c in compared),
    )


def nothing_from_nothing(e: Evidence) -> Finding:
    """Finding 10: formats the base model never wrote."""
    answers: list[Answer] = []
    parts = []
    for t in e.arms:
        known = next(r["share"] for r in e.run.rows if r["arm"] == t.arm)
        absent = [n for n in known if n not in ("none", "ambiguous") and (
            n not in t.formats or t.share.estimate[0, t.formats.index(n)] == 0.0)]  # fmt: skip
        for name in absent:
            after = float(t.share.estimate[-1, t.formats.index(name)]) if name in t.formats else 0.0
            answers.append("holds" if after < 0.01 else "does not hold")
            parts.append(f"{_name(e, t)}: {name} 0 % → {percent(after)}")
    return Finding(
        "RL does not bring out a format that the base model never writes.", _all_of(answers), "; ".join(parts)
    )


def no_signal_no_gain(e: Evidence) -> Finding:
    """The control without signal: a rise there would be an artefact of the measurement."""
    tests = [(t, t.gain()) for t in e.controls]
    rose = [test for _, test in tests if not test.inside_noise and test.difference.estimate > 0]
    return Finding(
        "A reward without signal does not raise accuracy.",
        "not tested" if not tests else "does not hold" if rose else "holds",
        "; ".join(f"{_name(e, t)}: {_difference(test)}" for t, test in tests),
    )

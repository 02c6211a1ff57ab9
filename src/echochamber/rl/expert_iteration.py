"""Expert Iteration: sample, keep the rewarded completions, imitate them, repeat.

Each round leaves `rounds/round-NNN.jsonl`: a first line that describes the
samples and how many were kept per format, then one line per completion kept.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from echochamber.base import derive_seed, digest, write_file
from echochamber.base.lazy import torch
from echochamber.rl.config import PAPER_OPTIMIZER, Workload, register_algorithm
from echochamber.rl.rewards import QUESTIONS_AT_ONCE, RewardConfig
from echochamber.rl.rollouts import collect
from echochamber.rl.sft import Pair, SupervisedLearner
from echochamber.rl.step_metrics import completion_row, reward_row
from echochamber.rollout import Completion
from echochamber.train import OptimizerConfig

if TYPE_CHECKING:
    from torch import Tensor

    from echochamber.rl.learner import Context, Learner
    from echochamber.rl.rollouts import Rollouts


class ExpertIterationConfig(RewardConfig):
    """Expert Iteration as in the paper (after Anthony et al. 2017, arXiv:1705.08439).

    64 samples per question at temperature 1 and top_p 0.95; correct ones are kept,
    exact duplicates are dropped, and the base model is tuned on them with learning
    rate 1e-4 and batch size 256; the tuned model generates for the next round.

    Deviation: the length of a round is given in optimizer steps, so that the
    axis of the figures is known before the run; the paper tunes for 2 epochs.
    The resulting number of passes is recorded as `epochs`.

    Attributes:
        steps: supervised optimizer steps of all rounds together.
        rounds: how many times samples are drawn; divides `steps`.
        online: in each round, tune the generator itself, not the model that the arm started from.
        batch_size: completions per optimizer step.
        keep_above: a completion is kept if its reward is greater than this.
        deduplicate: keep only one of several equal answers to a question.
        max_per_question: maximum number kept per question, chosen by a seeded draw; None keeps all.
        questions_per_round: questions asked per round, from a seeded order that continues from round to
            round; None asks all.
    """

    algorithm: Literal["expert_iteration"] = "expert_iteration"
    steps: int = Field(default=4500, ge=1)
    rounds: int = Field(default=3, ge=1)
    online: bool = False
    samples_per_prompt: int = Field(default=64, ge=1)
    temperature: float = Field(default=1.0, ge=1e-6)
    top_p: float = Field(default=0.95, gt=0, le=1)
    optimizer: OptimizerConfig = PAPER_OPTIMIZER.model_copy(update={"learning_rate": 1e-4})
    batch_size: int = Field(default=256, ge=1)
    keep_above: float = 0.5
    deduplicate: bool = True
    max_per_question: int | None = Field(default=None, ge=1)
    questions_per_round: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _rounds_divide(self) -> Self:
        if self.steps % self.rounds:
            raise ValueError(f"rounds {self.rounds} does not divide steps {self.steps}; choose multiples")
        return self

    @property
    def steps_per_round(self) -> int:
        """Supervised steps between two rounds of sampling."""
        return self.steps // self.rounds

    def shared_batches(self) -> dict[str, int]:
        """Each process tunes on its part of a batch."""
        return {"batch_size": self.batch_size}

    def workload(self, num_problems: int) -> Workload:
        """The samples of all rounds, plus one training step on every completion of every batch."""
        asked = self.questions_per_round or num_problems
        return Workload(asked * self.rounds, self.samples_per_prompt, self.steps * self.batch_size)

    def learner(self, context: Context) -> Learner:
        """The Expert Iteration learner."""
        return ExpertIterationLearner(self, context)


@dataclass(frozen=True)
class Round:
    """The data that one round tunes on.

    Attributes:
        summary: counts, shares and rewards of the samples and of the kept completions.
        pairs: prompt and response of each kept completion.
    """

    summary: dict[str, Any]
    pairs: list[Pair]


def choose(
    completions: Sequence[Completion],
    rewards: Sequence[float],
    config: ExpertIterationConfig,
    rng: np.random.Generator,
) -> list[int]:
    """Indices of the completions of one question to imitate, in order."""
    kept, seen = [], set()
    for index, (item, reward) in enumerate(zip(completions, rewards, strict=True)):
        if reward > config.keep_above and not (config.deduplicate and item.text in seen):
            seen.add(item.text)
            kept.append(index)
    if config.max_per_question is not None and len(kept) > config.max_per_question:
        kept = sorted(rng.choice(kept, size=config.max_per_question, replace=False).tolist())
    return kept


class ExpertIterationLearner(SupervisedLearner):
    """Rounds of sampling, each followed by supervised steps."""

    def __init__(self, config: ExpertIterationConfig, context: Context) -> None:
        super().__init__(config, config.batch_size, context)
        self.config = config
        self._start = {name: tensor.clone() for name, tensor in context.policy.state_dict().items()}
        self._round: tuple[int, Round] | None = None

    def step(self, step: int) -> dict[str, Any]:
        """One supervised step, preceded by sampling at the beginning of a round."""
        config = self.config
        number, within = divmod(step, config.steps_per_round)
        current = self.round(number)
        described = {}
        if within == 0:
            described = current.summary
            self.extras["samples_seen"] += current.summary["samples"]
            self.begin()
        row: dict[str, Any] = {"round": number, "samples_seen": self.extras["samples_seen"], **described}
        self.batch_name = f"kept completions of round {number}"
        if not current.pairs:
            return row
        with self.timed("update_seconds"):
            stats = self.tune(
                current.pairs,
                number=within,
                total=config.steps_per_round,
                purpose="expert-iteration",
                index=number,
            )
        return {
            **row,
            "loss": stats.loss,
            "grad_norm": stats.grad_norm,
            "learning_rate": self.optimizers["policy"].param_groups[0]["lr"],
            "epochs": (within + 1) * config.batch_size / len(current.pairs),
        }

    def begin(self) -> None:
        """Set the weights that a round's tuning starts from: those of the arm's start, or the generator's."""
        if not self.config.online:
            self.context.policy.load_state_dict(self._start)
        self.optimizers["policy"].state.clear()

    def round(self, number: int) -> Round:
        """The round's data: from memory, from its file, or sampled now from the current policy.

        An existing file with this run's mark was sampled from the same weights; sampling again after a kill
        would only draw the same completions.
        """
        if self._round is None or self._round[0] != number:
            path = self.context.folder / "rounds" / f"round-{number:03d}.jsonl"
            world = self.context.world
            found = world.on_main(lambda: self.read(path))
            if found is None:
                self.sample(number, path)
                found = world.on_main(lambda: self.read(path))
            assert found is not None
            self._round = (number, found)
        return self._round[1]

    def questions(self, number: int) -> list[int]:
        """Indices of the questions asked in a round."""
        count = len(self.context.problems)
        size = self.config.questions_per_round
        if size is None:
            return list(range(count))
        order = np.random.default_rng(derive_seed(self.context.seed, "round-questions")).permutation(count)
        return [int(order[place % count]) for place in range(number * size, (number + 1) * size)]

    def sample(self, number: int, path: Path) -> None:
        """Draw a round's completions with the current policy and write those that are kept to its file."""
        context, asked = self.context, self.questions(number)
        self.check_weights()
        context.engine.load_weights(context.policy, number)
        rng = np.random.default_rng(derive_seed(context.seed, "keep", number))
        lines: list[str] = []
        completions: list[Completion] = []
        rewards: list[Tensor] = []
        kept: Counter[str] = Counter()
        for first in range(0, len(asked), QUESTIONS_AT_ONCE):
            problems = [context.problems[i] for i in asked[first : first + QUESTIONS_AT_ONCE]]
            rollouts = collect(self, self.config, problems, step=number, first_slot=first)
            completions += rollouts.completions
            rewards.append(rollouts.reward_PG)
            lines += self.keep(rollouts, rng, kept)
        summary = {
            "samples": len(completions),
            "kept": sum(kept.values()),
            "kept_share": {name: count / sum(kept.values()) for name, count in sorted(kept.items())},
            "kept_by_format": dict(sorted(kept.items())),
            **reward_row(torch.cat(rewards)),
            **completion_row(completions),
        }
        head = json.dumps({"run": self._mark(), "summary": summary}, ensure_ascii=False)
        context.world.on_main(lambda: write_file(path, "\n".join([head, *lines]) + "\n"))

    def keep(self, rollouts: Rollouts, rng: np.random.Generator, kept: Counter[str]) -> list[str]:
        """Lines of the file for the completions to imitate; counts their formats in `kept`."""
        lines = []
        for prompt, ids in enumerate(rollouts.prompts):
            first = prompt * rollouts.num_samples
            group = rollouts.completions[first : first + rollouts.num_samples]
            for g in choose(group, rollouts.reward_PG[prompt].tolist(), self.config, rng):
                kept[group[g].verdict.format] += 1
                line = {
                    "key": group[g].problem.key,
                    "format": group[g].verdict.format,
                    "completion": group[g].text,
                    "prompt_ids": ids,
                    "token_ids": group[g].sampled.token_ids.tolist(),
                }
                lines.append(json.dumps(line, ensure_ascii=False))
        return lines

    def _mark(self) -> str:
        return digest([self.config, self.context.seed])

    def read(self, path: Path) -> Round | None:
        """A round's file, if there is one and this run wrote it."""
        if not path.exists():
            return None
        head, *rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
        if head["run"] != self._mark():
            return None
        pairs = [Pair(tuple(row["prompt_ids"]), tuple(row["token_ids"])) for row in rows]
        return Round(head["summary"], pairs)


register_algorithm("expert_iteration", ExpertIterationConfig)

"""Supervised fine-tuning on documents, and the likelihood steps that Expert Iteration shares with it.

Shape suffixes: N response tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from echochamber import train
from echochamber.base import InputError, derive_seed, note
from echochamber.corpora import SourceConfig, open_source
from echochamber.rl.config import PAPER_OPTIMIZER, Documents, RLConfig, Workload, register_algorithm
from echochamber.rl.learner import Learner
from echochamber.rl.microbatches import Microbatch, response_hidden
from echochamber.rl.packing import Sample, plan_microbatches
from echochamber.train import OptimizerConfig, make_optimizer

if TYPE_CHECKING:
    from echochamber.rl.learner import Context
    from echochamber.train import LossSum, StepStats


class SFTConfig(RLConfig):
    """Supervised fine-tuning: likelihood of solutions given questions.

    Learning rate and batch size are those of the paper's supervised steps in Expert Iteration.

    Attributes:
        source: where the documents come from.
        num_documents: documents read from the source; later passes see them again in new orders.
        batch_size: documents per optimizer step.
    """

    algorithm: Literal["sft"] = "sft"
    source: SourceConfig
    num_documents: int = Field(ge=1)
    batch_size: int = Field(default=256, ge=1)
    optimizer: OptimizerConfig = PAPER_OPTIMIZER.model_copy(update={"learning_rate": 1e-4})

    @property
    def documents(self) -> Documents:
        """The first documents of the source."""
        return Documents(self.source, self.num_documents)

    def shared_batches(self) -> dict[str, int]:
        """Each process tunes on its part of a batch."""
        return {"batch_size": self.batch_size}

    def workload(self, num_problems: int) -> Workload:
        """One training step on every document of every batch."""
        return Workload(trained=self.steps * self.batch_size)

    def learner(self, context: Context) -> Learner:
        """The supervised learner."""
        return SFTLearner(self, context)


@dataclass(frozen=True)
class Pair:
    """One document to imitate.

    Attributes:
        prompt: tokens that are only read.
        response: tokens that are learned, including the end of text.
    """

    prompt: tuple[int, ...]
    response: tuple[int, ...]


class SupervisedLearner(Learner):
    """Mean negative log-likelihood of response tokens, minimized batch by batch."""

    def __init__(self, config: RLConfig, batch_size: int, context: Context) -> None:
        super().__init__(context)
        self.tuning, self.batch_size = config, batch_size
        self.optimizers["policy"] = make_optimizer(context.policy, config.optimizer)

    def tune(self, pairs: Sequence[Pair], *, number: int, total: int, purpose: str, index: int) -> StepStats:
        """Update number `number` of `total` on the pairs, which are taken pass after pass in seeded orders.

        Raises:
            NonFiniteError: the loss or gradient is not finite; nothing was updated.
        """
        chosen = self.batch_of(len(pairs), number, purpose, index)
        mine = self.context.world.part(len(chosen))
        plan = self._plan([pairs[i] for i in chosen[mine]])
        return train.optimizer_step(
            self.context.policy,
            self.optimizers["policy"],
            self.tuning.optimizer,
            plan,
            self._loss,
            number=number,
            total=total,
            normalizer=float(sum(len(pairs[i].response) for i in chosen)),
            collective=self.context.collective,
        )

    def batch_of(self, num_pairs: int, number: int, purpose: str, index: int) -> list[int]:
        """Indices of the pairs of one batch."""
        orders: dict[int, np.ndarray[tuple[int], np.dtype[np.int64]]] = {}
        chosen = []
        for place in range(number * self.batch_size, (number + 1) * self.batch_size):
            part = place // num_pairs
            if part not in orders:
                seed = derive_seed(self.context.seed, purpose, index, part)
                orders[part] = np.random.default_rng(seed).permutation(num_pairs)
            chosen.append(int(orders[part][place % num_pairs]))
        return chosen

    def _plan(self, pairs: Sequence[Pair]) -> list[Microbatch]:
        prompts: dict[tuple[int, ...], int] = {}
        samples = [
            Sample(
                prompt=prompts.setdefault(pair.prompt, len(prompts)),
                token_ids=np.asarray(pair.response, dtype=np.int64),
            )
            for pair in pairs
        ]
        return plan_microbatches(
            list(prompts),
            samples,
            range(len(samples)),
            budget_tokens=self.context.microbatch_tokens(self.tuning.microbatch_tokens),
            device=self.context.device,
            width=self.context.policy.config.d_model,
        )

    def _loss(self, micro: Microbatch) -> LossSum:
        policy = self.context.policy
        with self.context.autocast():
            hidden_ND = response_hidden(policy, micro)
            return train.linear_cross_entropy(hidden_ND, policy.head_weight, micro.target_N)


def read_pairs(config: SFTConfig, context: Context) -> tuple[list[Pair], int]:
    """The documents as pairs, and how many were longer than the context.

    A document without a question is learned from its second token on.

    Raises:
        InputError: the source holds fewer documents than asked for, or none fits the context.
    """
    tokenizer, limit = context.tokenizer, context.policy.config.context_length
    pairs: list[Pair] = []
    num_read = 0
    examples = open_source(
        config.source, seed=derive_seed(context.seed, "sft-documents"), reserved=context.reserved
    )
    for example in examples:
        if num_read == config.num_documents:
            break
        num_read += 1
        response = [*tokenizer.encode_solution(example.solution), tokenizer.eos_id]
        prompt = [] if example.question is None else tokenizer.encode_prompt(example.question)
        if not prompt:
            prompt, response = response[:1], response[1:]
        if response and len(prompt) + len(response) <= limit:
            pairs.append(Pair(tuple(prompt), tuple(response)))
    if num_read < config.num_documents:
        raise InputError(
            f"the source holds {num_read} documents, but num_documents is {config.num_documents}; lower it"
        )
    if not pairs:
        raise InputError(f"none of the {num_read} documents fits the model's context of {limit} tokens")
    return pairs, num_read - len(pairs)


class SFTLearner(SupervisedLearner):
    """Supervised steps on a fixed set of documents."""

    def __init__(self, config: SFTConfig, context: Context) -> None:
        super().__init__(config, config.batch_size, context)
        self.config = config
        self.pairs, self.num_left_out = read_pairs(config, context)
        if self.num_left_out:
            note(
                f"{self.num_left_out} of {config.num_documents} documents are longer than the model's "
                f"context of {context.policy.config.context_length} tokens and are not used"
            )

    def step(self, step: int) -> dict[str, Any]:
        """One supervised step."""
        config = self.config
        self.batch_name = (
            f"{config.batch_size} documents of pass {step * config.batch_size // len(self.pairs)}"
        )
        with self.timed("update_seconds"):
            stats = self.tune(self.pairs, number=step, total=config.steps, purpose="sft", index=0)
        return {
            "loss": stats.loss,
            "grad_norm": stats.grad_norm,
            "learning_rate": self.optimizers["policy"].param_groups[0]["lr"],
            "epochs": (step + 1) * config.batch_size / len(self.pairs),
            "documents": len(self.pairs),
            "documents_left_out": self.num_left_out,
            "samples_seen": 0,
        }


register_algorithm("sft", SFTConfig)

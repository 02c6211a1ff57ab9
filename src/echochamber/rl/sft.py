"""Supervised fine-tuning on documents, as an arm of its own or as the start of another."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from echochamber.base import InputError, derive_seed, note
from echochamber.corpora import SourceConfig, open_source
from echochamber.rl.config import PAPER_OPTIMIZER, RLConfig, register_algorithm
from echochamber.rl.learner import Context, Learner
from echochamber.rl.supervised import Pair, SupervisedLearner
from echochamber.train import OptimizerConfig


class SFTConfig(RLConfig):
    """Supervised fine-tuning: likelihood of solutions given questions.

    Learning rate and batch are those of the paper's supervised steps in Expert Iteration.

    Attributes:
        source: where the documents come from.
        num_documents: documents read from the source; they are seen again in new orders while steps last.
        batch_size: documents of one optimiser step.
    """

    algorithm: Literal["sft"] = "sft"
    source: SourceConfig
    num_documents: int = Field(ge=1)
    batch_size: int = Field(default=256, ge=1)
    optimizer: OptimizerConfig = PAPER_OPTIMIZER.model_copy(update={"learning_rate": 1e-4})

    def shared_batches(self) -> dict[str, int]:
        """Each process tunes on its part of a batch."""
        return {"batch_size": self.batch_size}

    def learner(self, context: Context) -> Learner:
        """The supervised learner."""
        return SFTLearner(self, context)


def read_pairs(config: SFTConfig, context: Context) -> tuple[list[Pair], int]:
    """The documents as pairs, and how many were left out for being longer than the context.

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
            f"the source holds {num_read} documents, num_documents asks for {config.num_documents}; lower it"
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
                f"context of {context.policy.config.context_length} tokens and are left out"
            )

    def step(self, step: int) -> dict[str, Any]:
        """One supervised step."""
        config = self.config
        self.batch = f"{config.batch_size} documents of pass {step * config.batch_size // len(self.pairs)}"
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

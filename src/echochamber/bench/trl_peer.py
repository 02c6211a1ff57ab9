"""TRL's GRPOTrainer on the same work, unmodified, at its fastest settings."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from echochamber.base import Problem
from echochamber.bench.measure import Machine, peer_library
from echochamber.bench.rl_work import LEARNING_RATE, RLWork
from echochamber.model import Transformer
from echochamber.verify import Grader

# Completions that go through the model at once in the update. The whole rollout at once is slower: its
# logits, padded to the longest completion, leave the processor's caches.
MICROBATCH = 32


def grpo_trainer(
    work: RLWork,
    model: Transformer,
    grader: Grader,
    machine: Machine,
    folder: Path,
    *,
    num_steps: int,
    on_step_begin: Callable[[], None],
    on_step_end: Callable[[], None],
) -> tuple[Any, str]:
    """A trainer for `num_steps` GRPO steps with the same prompts, samples and optimizer, and its version.

    One generation call per step for all completions, one optimizer step, no KL, no gradient checkpointing,
    nothing saved or reported.

    Args:
        on_step_begin, on_step_end: called around each step: rollout, reward and update.
    """
    trl, transformers = peer_library("trl"), peer_library("transformers")
    datasets = peer_library("datasets")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("trl").setLevel(logging.ERROR)
    model.export(folder / "model", eos_id=work.tokenizer.eos_id, pad_id=work.tokenizer.pad_id)
    work.tokenizer.save(folder / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "model", padding_side="left")
    policy = transformers.AutoModelForCausalLM.from_pretrained(folder / "model", dtype=machine.dtype)
    texts = [problem.question.rstrip() + "\n\n" for problem in work.problems]
    ids = work.tokenizer.encode_prompts([problem.question for problem in work.problems])
    assert [tokenizer(text)["input_ids"] for text in texts] == ids
    problem_of = dict(zip(texts, work.problems, strict=True))

    class Around(transformers.TrainerCallback):  # type: ignore[misc, name-defined]
        def on_step_begin(self, *arguments: Any, **more: Any) -> None:
            on_step_begin()

        def on_step_end(self, *arguments: Any, **more: Any) -> None:
            on_step_end()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        trainer = trl.GRPOTrainer(
            model=policy,
            reward_funcs=_reward(grader, problem_of),
            args=trl.GRPOConfig(**_settings(work, machine, folder, num_steps)),
            train_dataset=datasets.Dataset.from_list([{"prompt": text} for text in texts]),
            processing_class=tokenizer,
            callbacks=[Around()],
        )
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer, str(trl.__version__)


def _settings(work: RLWork, machine: Machine, folder: Path, num_steps: int) -> dict[str, Any]:
    size = len(work.problems) * work.num_samples
    microbatch = min(MICROBATCH, size)
    return {
        "output_dir": str(folder / "trl"),
        "per_device_train_batch_size": microbatch,
        "gradient_accumulation_steps": size // microbatch,
        "num_generations": work.num_samples,
        "max_completion_length": work.max_new_tokens,
        "max_steps": num_steps,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "adam_beta2": 0.95,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "beta": 0.0,
        "temperature": 1.0,
        "loss_type": "grpo",
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": machine.device.type == "cpu",
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "log_level": "error",
    }


def _reward(grader: Grader, problem_of: dict[str, Problem]) -> Callable[..., list[float]]:
    def correct(prompts: Sequence[str], completions: Sequence[str], **more: Any) -> list[float]:
        golds = [problem_of[prompt].gold for prompt in prompts]
        return [verdict.reward for verdict in grader.grade(completions, golds)]

    return correct

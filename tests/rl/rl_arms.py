"""One small arm of every kind of algorithm, for the toy world."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from rl_toy import LETTERS

from echochamber.rl import AlgorithmConfig, RLConfig

COMMON: dict[str, Any] = {
    "steps": 6,
    "checkpoint_every": 2,
    "max_new_tokens": 5,
    "optimizer": {"learning_rate": 1e-2, "weight_decay": 0.0},
}
SAMPLING: dict[str, Any] = {"task": "toy", "samples_per_prompt": 4, "temperature": 1.0}
GRADIENT: dict[str, Any] = {"prompts_per_step": 6, "prompts_per_update": 3}
FAST_CRITIC = {"learning_rate": 1e-2, "weight_decay": 0.0}

ARMS: dict[str, dict[str, Any]] = {
    "grpo": {"algorithm": "grpo", **GRADIENT},
    "grpo, KL in the reward, steered": {
        "algorithm": "grpo", **GRADIENT, "kl_in": "reward", "kl_estimator": "k1", "kl_coefficient": 0.1,
        "kl_target": 0.05, "kl_horizon": 100,
    },
    "dr_grpo": {"algorithm": "dr_grpo", **GRADIENT},
    "dapo": {"algorithm": "dapo", **GRADIENT, "mask_truncated": True},
    "gspo": {"algorithm": "gspo", **GRADIENT, "epochs": 2},
    "rloo": {"algorithm": "rloo", **GRADIENT},
    "reinforce_baseline": {"algorithm": "reinforce_baseline", **GRADIENT},
    "ppo": {"algorithm": "ppo", **GRADIENT, "critic_optimizer": FAST_CRITIC, "critic_warmup_steps": 1},
    "ppo, shared": {"algorithm": "ppo", **GRADIENT, "critic": "shared", "entropy_bonus": 0.01},
    "ppo, top-p": {
        "algorithm": "ppo", **GRADIENT, "top_p": 0.8, "truncated_importance_sampling": 2.0, "epochs": 2,
        "critic_optimizer": FAST_CRITIC,
    },
    "expert_iteration": {"algorithm": "expert_iteration", "rounds": 2, "batch_size": 8, "keep_above": -1},
    "expert_iteration, online": {
        "algorithm": "expert_iteration", "rounds": 3, "batch_size": 8, "online": True,
        "keep_above": -1, "max_per_question": 2, "questions_per_round": 5,
    },
    "sft": {"algorithm": "sft", "num_documents": 20, "batch_size": 8},
}  # fmt: skip


def arm(name: str, tmp_path: Path, **more: Any) -> RLConfig:
    data = {**COMMON, **ARMS[name]}
    if data["algorithm"] == "sft":
        documents = tmp_path / "documents.jsonl"
        if not documents.exists():
            rows = [{"question": LETTERS[i % 8], "solution": "b" * (i % 4 + 1) + "a"} for i in range(30)]
            documents.write_text("".join(json.dumps(row) + "\n" for row in rows))
        data["source"] = {
            "kind": "jsonl", "path": str(documents), "question": "question", "solution": "solution",
        }  # fmt: skip
    else:
        data = {**SAMPLING, **data}
    adapter: TypeAdapter[RLConfig] = TypeAdapter(AlgorithmConfig)
    return adapter.validate_python({**data, **more})


def read(folder: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]

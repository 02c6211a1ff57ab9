"""Every algorithm: runs, records its dynamics, and ends with the same bytes when it was killed on the way."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from rl_toy import LETTERS, ToyGrader, toy_policy, toy_problems, train_toy

from echochamber.base import InputError
from echochamber.rl import ALGORITHMS, AlgorithmConfig, RLConfig
from echochamber.verify import Outcome, Verdict

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


def test_every_registered_algorithm_is_tested() -> None:
    assert {settings["algorithm"] for settings in ARMS.values()} == set(ALGORITHMS)


class Killed(Exception):
    pass


@pytest.mark.parametrize("name", ARMS)
def test_a_killed_run_ends_with_the_same_bytes(name: str, tmp_path: Path) -> None:
    config = arm(name, tmp_path)
    train_toy(config, tmp_path / "whole", steps=range(7))
    for stop in (1, 3, 5):

        def kill(step: int, policy: object, stop: int = stop) -> None:
            if step == stop:
                raise Killed

        with pytest.raises(Killed):
            train_toy(config, tmp_path / "parts", steps=range(7), on_step=kill)
    train_toy(config, tmp_path / "parts", steps=range(7))

    def contents(folder: Path) -> dict[str, bytes]:
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "timing.jsonl"]
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    whole, parts = contents(tmp_path / "whole"), contents(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert [file for file in whole if whole[file] != parts[file]] == []
    rows = read(tmp_path / "whole")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    for row in rows:
        for key in ("loss", "grad_norm"):
            assert math.isfinite(row[key]), key


def test_a_resolved_config_reads_back_equal(tmp_path: Path) -> None:
    adapter: TypeAdapter[RLConfig] = TypeAdapter(AlgorithmConfig)
    for name in ARMS:
        config = arm(name, tmp_path)
        assert adapter.validate_python(config.model_dump(mode="json")) == config


def test_ppo_records_its_critic_and_warms_it_up(tmp_path: Path) -> None:
    start = toy_policy().state_dict()
    policy = toy_policy()
    moved: list[bool] = []

    def look(step: int, current: Any) -> None:
        moved.append(any(not v.equal(start[k]) for k, v in current.state_dict().items()))

    train_toy(arm("ppo", tmp_path), tmp_path, policy=policy, steps=(1, 2), on_step=look)
    assert moved == [False, True]
    rows = read(tmp_path)
    assert all({"value_loss", "explained_variance", "critic_grad_norm"} <= row.keys() for row in rows)


def test_adaptive_kl_moves_the_coefficient(tmp_path: Path) -> None:
    train_toy(arm("grpo, KL in the reward, steered", tmp_path), tmp_path)
    coefficients = [row["kl_coefficient"] for row in read(tmp_path)]
    # KL starts at 0, below its target: the coefficient falls by the bounded step 0.2 x 24 / 100.
    assert coefficients[0] == 0.1
    assert coefficients[1] == pytest.approx(0.1 * (1 - 0.2 * 24 / 100), rel=1e-12)


def test_dynamic_sampling_finds_groups_with_signal(tmp_path: Path) -> None:
    train_toy(arm("dapo", tmp_path, dynamic_sampling=5), tmp_path)
    rows = read(tmp_path)
    drawn = [row["samples_seen"] for row in rows]
    assert drawn[0] > 24 and drawn == sorted(drawn)
    assert all(row["grad_norm"] > 0 for row in rows)


class Unmoved(ToyGrader):
    """Finds every answer equally right."""

    def __init__(self, reward: float) -> None:
        super().__init__()
        self.verdict = Verdict("boxed", Outcome.correct if reward else Outcome.wrong, "a", reward)

    def grade(self, completions: Sequence[str], golds: Sequence[str], **_: Any) -> list[Verdict]:
        return [self.verdict] * len(completions)


@pytest.mark.parametrize("reward", [0.0, 1.0])
def test_dynamic_sampling_looks_at_correctness_and_not_at_what_was_paid(
    tmp_path: Path, reward: float
) -> None:
    """A penalty on length makes the pay of a group differ; all right or all wrong, it is replaced still."""
    config = arm("dapo", tmp_path, dynamic_sampling=2, length_penalty=0.5)
    train_toy(config, tmp_path, grader=Unmoved(reward))
    row = read(tmp_path)[0]
    assert row["no_signal_fraction"] < 1  # the pay does differ
    assert row["samples_seen"] == 3 * 24


def test_expert_iteration_imitates_only_what_was_paid(tmp_path: Path) -> None:
    config = arm("expert_iteration", tmp_path, keep_above=0.5, samples_per_prompt=16)
    train_toy(config, tmp_path)
    for number in (0, 1):
        head, *kept = read(tmp_path, f"rounds/round-{number:03d}.jsonl")
        assert head["summary"]["samples"] == 16 * 12
        assert head["summary"]["kept"] == len(kept) > 0
        assert sum(head["summary"]["kept_share"].values()) == pytest.approx(1)
        assert all(row["completion"].endswith("a") for row in kept)
        assert len({(row["key"], row["completion"]) for row in kept}) == len(kept)
    rows = read(tmp_path)
    assert [row["round"] for row in rows] == [0, 0, 0, 1, 1, 1]
    assert ["share" in row for row in rows] == [True, False, False, True, False, False]
    assert rows[-1]["samples_seen"] == 2 * 16 * 12


def test_expert_iteration_tunes_the_base_model_unless_online(tmp_path: Path) -> None:
    losses = {}
    for name in ("base", "online"):
        config = arm(
            "expert_iteration", tmp_path, steps=40, rounds=2, online=name == "online", keep_above=0.5,
            samples_per_prompt=32,
        )  # fmt: skip
        train_toy(config, tmp_path / name)
        losses[name] = [row["loss"] for row in read(tmp_path / name)]
    assert losses["base"][:20] == losses["online"][:20]
    assert losses["online"][20] < losses["base"][20]


class NothingRight(ToyGrader):
    def grade(self, completions: Any, golds: Any, **more: Any) -> Any:
        return super().grade(completions, ["z"] * len(golds), **more)


def test_a_round_that_keeps_nothing_leaves_the_weights(tmp_path: Path) -> None:
    policy = toy_policy()
    train_toy(
        arm("expert_iteration", tmp_path, keep_above=0.5), tmp_path, policy=policy, grader=NothingRight()
    )
    start = toy_policy().state_dict()
    assert all(value.equal(start[name]) for name, value in policy.state_dict().items())
    assert read(tmp_path)[0]["kept"] == 0
    assert "kept none" in read(tmp_path, "alarms.jsonl")[0]["alarm"]


def test_supervised_tuning_learns_its_documents(tmp_path: Path) -> None:
    train_toy(arm("sft", tmp_path, steps=40), tmp_path, problems=[])
    losses = [row["loss"] for row in read(tmp_path)]
    assert losses[-1] < 0.6 * losses[0]


def test_one_arm_goes_on_from_another(tmp_path: Path) -> None:
    policy = toy_policy()
    train_toy(arm("sft", tmp_path, steps=40), tmp_path / "sft", policy=policy, problems=[])
    train_toy(arm("grpo", tmp_path), tmp_path / "rl", policy=policy, problems=toy_problems())
    first = read(tmp_path / "rl")[0]
    assert first["correct"] > 0.5 and first["kl"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["grpo", "ppo", "ppo, shared", "expert_iteration", "sft"])
def test_updates_in_bfloat16_stay_near_those_in_float32(name: str, tmp_path: Path) -> None:
    """What a GPU does by default, here on the CPU: the first step's numbers within bfloat16's rounding."""
    rows = {}
    more: dict[str, Any] = {"optimizer": {"learning_rate": 1e-5}}
    more |= {} if name == "sft" else {"reward": "random"}
    more |= {"critic_warmup_steps": 0} if name == "ppo" else {}
    if name == "grpo":
        more |= {"keep_reference": "bfloat16", "kl_coefficient": 0.1}
    for precision in ("bfloat16", "float32"):
        folder = tmp_path / precision
        config = arm(name, tmp_path, precision=precision, **more)
        train_toy(config, folder)
        rows[precision] = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
    half, full = rows["bfloat16"], rows["float32"]
    assert half["grad_norm"] == pytest.approx(full["grad_norm"], rel=0.2)
    assert half["grad_norm"] != full["grad_norm"]
    if "entropy" in full:
        assert half["entropy"] == pytest.approx(full["entropy"], rel=0.05)


def test_an_engine_that_hides_what_it_left_is_refused(tmp_path: Path) -> None:
    class Blind:
        records_nuclei = False

    with pytest.raises(InputError, match="top_p 0.8 and top_k 0: this engine does not tell"):
        train_toy(arm("ppo, top-p", tmp_path), tmp_path / "run", engine=Blind())

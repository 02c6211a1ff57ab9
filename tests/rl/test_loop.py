"""The loop around every algorithm: it records, resumes with the same bytes, refuses and stops."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from rl_arms import ARMS, arm, read
from rl_toy import ToyGrader, toy_policy, toy_problems, train_toy

from echochamber.base import InputError
from echochamber.rl import ALGORITHMS, GRPOConfig
from echochamber.train import NonFiniteError


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


def test_a_finished_run_does_nothing_again(tmp_path: Path) -> None:
    config = GRPOConfig(**{**TINY, "steps": 2})
    train_toy(config, tmp_path)
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    grader = ToyGrader()
    train_toy(config, tmp_path, grader=grader)
    assert grader.calls == 0
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before


def test_one_arm_starts_from_another(tmp_path: Path) -> None:
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


def test_an_engine_that_hides_its_nuclei_is_refused(tmp_path: Path) -> None:
    class Blind:
        records_nuclei = False

    with pytest.raises(InputError, match="top_p 0.8 and top_k 0: this engine does not report its nuclei"):
        train_toy(arm("ppo, top-p", tmp_path), tmp_path / "run", engine=Blind())


TINY: dict[str, Any] = {
    "task": "toy", "steps": 6, "prompts_per_step": 4, "prompts_per_update": None, "samples_per_prompt": 4,
    "max_new_tokens": 5, "temperature": 1.0, "checkpoint_every": 1, "reward": "random",
}  # fmt: skip


def test_nan_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    def poison(step: int, policy: Any) -> None:
        if step == 3:
            with torch.no_grad():
                next(policy.parameters()).mul_(float("nan"))

    with pytest.raises(NonFiniteError, match=r"at step 3.*the batch was 4 questions.*step-0000000\d"):
        train_toy(
            GRPOConfig(**{**TINY, "optimizer": {"learning_rate": 1e-3}}), tmp_path, steps=(3,), on_step=poison
        )
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 3
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"max_new_tokens": 30}, "exceeds the model's context of 24"),
        ({"prompts_per_step": 13}, "exceeds the 12 problems"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(
    tmp_path: Path, more: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        train_toy(GRPOConfig(**{**TINY, **more}), tmp_path)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_no_problems_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no problems"):
        train_toy(GRPOConfig(**TINY), tmp_path, problems=[])


def test_the_reference_stays_what_the_run_started_from(tmp_path: Path) -> None:
    """Even after a restart, where the start weights are given again and the checkpoint overwrites them."""
    config = GRPOConfig(**{**TINY, "steps": 3, "optimizer": {"learning_rate": 1e-2, "weight_decay": 0.0}})

    class Stop(Exception):
        pass

    def stop(step: int, policy: Any) -> None:
        if step == 2:
            raise Stop

    with pytest.raises(Stop):
        train_toy(config, tmp_path, steps=(2,), on_step=stop, problems=toy_problems())
    train_toy(config, tmp_path, policy=toy_policy())
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["kl"] == 0.0 and rows[1]["kl"] > 0 and rows[2]["kl"] > 0

"""Trained models of a study as folders for the rest of the world."""

from __future__ import annotations

from pathlib import Path

from echochamber import corpora, model
from echochamber.base import InputError, atomic_folder
from echochamber.base.lazy import torch
from echochamber.study.plan import Measured
from echochamber.study.run import Study

DTYPES = ("float32", "bfloat16", "float16")
# Stages that leave a trained model; evaluations belong to the same cells.
_TRAINED = ("pretrain", "import", "arm")


def find_models(
    study: Study,
    *,
    arm: str,
    size: str | None = None,
    mixture: str | None = None,
    seed: int | None = None,
    sweep: str | None = None,
) -> list[Measured]:
    """The trained models of a study that fit the description, in plan order; at least one.

    Raises:
        InputError: there is none.
    """
    trained = [item for item in study.plan.measured if item.stage.kind in _TRAINED]
    asked = {"arm": arm, "size": size, "mixture": mixture, "seed": seed, "sweep": sweep}
    wanted = {name: value for name, value in asked.items() if value is not None}
    for name, value in wanted.items():
        known = [
            value for value in dict.fromkeys(getattr(item.cell, name) for item in trained) if value != ""
        ]
        if value not in known:
            listed = f"expected one of {', '.join(map(str, known))}" if known else "nothing is swept over"
            raise InputError(f"study '{study.name}' has no {name} '{value}': {listed}")
    # What all points of a sweep share has no label, and is the model of each of them.
    found = [
        item for item in trained if all(getattr(item.cell, name) in (v, "") for name, v in wanted.items())
    ]
    if not found:
        described = ", ".join(f"{name} {value}" for name, value in wanted.items())
        raise InputError(f"study '{study.name}' has no model with {described} together")
    return found


def find_model(
    study: Study,
    *,
    arm: str,
    size: str | None = None,
    mixture: str | None = None,
    seed: int | None = None,
    sweep: str | None = None,
) -> Measured:
    """The one trained model that fits the description.

    Raises:
        InputError: there is none, or several.
    """
    found = find_models(study, arm=arm, size=size, mixture=mixture, seed=seed, sweep=sweep)
    if len(found) > 1:
        each = "; ".join(
            f"--size {i.cell.size} --mixture {i.cell.mixture} --seed {i.cell.seed}"
            + (f" --sweep {i.cell.sweep}" if i.cell.sweep else "")
            for i in found
        )
        raise InputError(f"study '{study.name}' has {len(found)} models of arm '{arm}'; choose one: {each}")
    return found[0]


def load_trained(study: Study, item: Measured) -> tuple[model.Policy, corpora.Tokenizer]:
    """The model of a finished stage with its tokenizer.

    Raises:
        InputError: it is not trained yet, or its files have changed since.
    """
    trained = study.store.require(item.stage)
    home = study.store.require(item.stage.inputs.get("tokenizer", item.stage))
    return model.load_policy(trained / "model"), corpora.Tokenizer.load(home / "tokenizer")


def export_model(
    study: Study,
    target: Path,
    *,
    arm: str,
    size: str | None = None,
    mixture: str | None = None,
    seed: int | None = None,
    sweep: str | None = None,
    dtype: str | None = None,
) -> Measured:
    """Write the one model described as a folder that `transformers` loads; returns which it was.

    Args:
        dtype: of the weights written, one of `DTYPES`; as trained if None.

    Raises:
        InputError: none or several models fit, it is not trained yet, or something is in the way.
    """
    if dtype is not None and dtype not in DTYPES:
        raise InputError(f"unknown dtype '{dtype}': expected one of {', '.join(DTYPES)}")
    found = find_model(study, arm=arm, size=size, mixture=mixture, seed=seed, sweep=sweep)
    with atomic_folder(target) as folder:
        policy, tokenizer = load_trained(study, found)
        if dtype is not None:
            policy = policy.to(getattr(torch, dtype))
        policy.export(folder, eos_id=tokenizer.eos_id, pad_id=tokenizer.pad_id)
        tokenizer.export(folder)
    return found

"""Supervised fine-tuning."""

import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from rl_arms import arm, read
from rl_toy import LETTERS, train_toy

from echochamber.base import InputError
from echochamber.rl import AlgorithmConfig, RLConfig


def test_supervised_tuning_learns_its_documents(tmp_path: Path) -> None:
    train_toy(arm("sft", tmp_path, steps=40), tmp_path, problems=[])
    losses = [row["loss"] for row in read(tmp_path)]
    assert losses[-1] < 0.6 * losses[0]


def test_supervised_documents_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl"
    long, short = {"question": "ab", "solution": "c" * 40}, {"question": "ab", "solution": LETTERS}
    path.write_text("".join(json.dumps(row) + "\n" for row in (long, short)))
    adapter: TypeAdapter[RLConfig] = TypeAdapter(AlgorithmConfig)
    data = {"algorithm": "sft", "steps": 1, "batch_size": 2, "source": {"kind": "jsonl", "path": str(path)}}
    train_toy(adapter.validate_python({**data, "num_documents": 2}), tmp_path / "run", problems=[])
    row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text())
    assert (row["documents"], row["documents_left_out"]) == (1, 1)
    with pytest.raises(InputError, match="holds 2 documents, but num_documents is 3"):
        train_toy(adapter.validate_python({**data, "num_documents": 3}), tmp_path / "more", problems=[])

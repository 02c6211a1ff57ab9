"""Pretraining on a small language: it learns, resumes to the same bytes, and reports what it did."""

import hashlib
import json
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from echochamber.base import EchoError, InputError, Interrupted, stopping
from echochamber.model import ModelConfig, Transformer, build
from echochamber.train import NonFiniteError, OptimizerConfig, PretrainConfig, fit, next_token_loss, pretrain
from echochamber.train.hardware import best_flops
from echochamber.train.next_token import heldout_loss
from echochamber.train.pretrain import SpikeDetector

VOCAB = 13


class CountingCorpus:
    """Rows that count upwards modulo the vocabulary: the next token is always known."""

    num_tokens = 4096
    sources = ("counting", "noise")

    def steps(self, batch_size: int, sequence_length: int) -> int:
        return self.num_tokens // (batch_size * sequence_length)

    def batch(self, step: int, *, batch_size: int, sequence_length: int, seed: int) -> np.ndarray:
        start = np.random.default_rng([seed, step]).integers(VOCAB, size=(batch_size, 1))
        return (start + np.arange(sequence_length + 1)) % VOCAB

    def heldout(self, source: str) -> Iterable[np.ndarray]:
        rows = np.arange(40) % VOCAB
        if source == "noise":
            rows = np.random.default_rng(0).integers(VOCAB, size=40)
        return [rows[:3], rows[:1], rows, rows[2:9]]


def tiny_model(seed: int = 0) -> Transformer:
    config = ModelConfig(
        d_model=16, num_layers=1, num_heads=2, mlp_hidden=32, vocab_size=VOCAB, context_length=16
    )
    return build(config, seed=seed)


def tiny_config(**changes: object) -> PretrainConfig:
    values = {
        "batch_size": 4,
        "sequence_length": 16,
        "steps": 12,
        "optimizer": OptimizerConfig(learning_rate=0.01),
        "evaluate_every": 5,
        "checkpoint_every": 4,
        **changes,
    }
    return PretrainConfig.model_validate(values)


def digest_of(folder: Path) -> dict[str, str]:
    """Digest of everything the resume contract covers."""
    files = [folder / "metrics.jsonl", *sorted((folder / "checkpoints" / "step-00000012").glob("*"))]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_masked_document_reads_as_if_it_were_alone() -> None:
    """Two documents in a row: the second's losses equal those of a row that holds it alone."""
    model, end = tiny_model(), 0
    tokens = torch.tensor([[3, 4, 5, end, 7, 8, 9, 10, 11]])
    mask = pretrain.document_mask(tokens[:, :-1], end)
    assert mask[0, 0, 4].tolist() == [False] * 4 + [True] + [False] * 3
    assert mask[0, 0, 3].tolist() == [True] * 4 + [False] * 4
    weight = torch.tensor([[0.0] * 4 + [1.0] * 4])
    masked = pretrain.next_token_loss(model, tokens, weight, mask).total
    alone = pretrain.next_token_loss(model, tokens[:, 4:]).total
    # Rotary positions are relative: where a document stands in its row does not matter.
    torch.testing.assert_close(masked, alone, rtol=1e-5, atol=1e-5)
    assert abs(pretrain.next_token_loss(model, tokens, weight).total - alone) > 1e-4


def test_document_masking_changes_training_and_needs_an_end(tmp_path: Path) -> None:
    config = tiny_config(document_masking=True, microbatch_size=2)
    masked = fit(tiny_model(), CountingCorpus(), config, tmp_path / "masked", seed=1, eos_id=5)
    plain = fit(tiny_model(), CountingCorpus(), tiny_config(), tmp_path / "plain", seed=1, eos_id=5)
    assert masked.loss != plain.loss
    with pytest.raises(InputError, match="no eos_id"):
        fit(tiny_model(), CountingCorpus(), config, tmp_path / "none", seed=1)


def test_every_step_logs_its_speed(tmp_path: Path) -> None:
    """MFU = tokens/s x (6 N + 6 layers x width x context) / the measured matrix-product rate."""
    model = tiny_model()
    fit(model, CountingCorpus(), tiny_config(), tmp_path, seed=1)
    lines = [json.loads(line) for line in (tmp_path / "timing.jsonl").read_text().splitlines()]
    assert len(lines) == 12
    per_token = 6 * sum(p.numel() for p in model.parameters()) + 6 * 1 * 16 * 16
    peak = best_flops(torch.device("cpu"), bfloat16=False)
    for line in lines:
        assert line["tokens_per_second"] == pytest.approx(64 / line["seconds"])
        assert line["mfu"] == pytest.approx(line["tokens_per_second"] * per_token / peak)


def test_it_learns_and_reports(tmp_path: Path) -> None:
    model = tiny_model()
    result = fit(model, CountingCorpus(), tiny_config(steps=None), tmp_path, seed=1)
    assert result.num_steps == 64
    assert result.num_tokens == 4096
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(65))
    assert [row["step"] for row in rows if "heldout" in row] == [0, *range(5, 65, 5), 64]
    assert rows[0]["heldout"]["counting"] == pytest.approx(math.log(VOCAB), abs=0.05)
    assert rows[-1]["tokens"] == 4096
    assert result.loss == rows[-1]["loss"] < 1.0
    assert result.heldout["counting"] < 1.0 < result.heldout["noise"]
    assert result.seconds > 0
    assert len((tmp_path / "timing.jsonl").read_text().splitlines()) == 64


def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(tiny_model(), CountingCorpus(), tiny_config(), tmp_path / "whole", seed=1)
    parts = tmp_path / "parts"
    for stop_at in (3, 4, 9):
        stop_after(stop_at, monkeypatch)
        with pytest.raises(Interrupted, match=f"SIGTERM: stopped after step {stop_at} of 12"):
            fit(tiny_model(), CountingCorpus(), tiny_config(), parts, seed=1)
        monkeypatch.undo()
    model = tiny_model(seed=5)  # the initial state is replaced
    fit(model, CountingCorpus(), tiny_config(), parts, seed=1)
    assert digest_of(parts) == digest_of(tmp_path / "whole")
    # Once finished, asking again trains nothing and gives the same model.
    again = tiny_model(seed=6)
    before = (parts / "timing.jsonl").read_bytes()
    fit(again, CountingCorpus(), tiny_config(), parts, seed=1)
    assert (parts / "timing.jsonl").read_bytes() == before
    for found, expected in zip(again.parameters(), model.parameters(), strict=True):
        assert torch.equal(found, expected)
    assert sorted(path.name for path in parts.iterdir()) == ["checkpoints", "metrics.jsonl", "timing.jsonl"]


def stop_after(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that SIGTERM arrives while that step is under way."""
    original = pretrain._Trainer.step

    def stepping(self: object, index: int) -> dict[str, object]:
        row = original(self, index)
        if row["step"] == step:
            stopping._State.requested = "SIGTERM"
        return row

    monkeypatch.setattr(pretrain._Trainer, "step", stepping)


def test_microbatches_change_rounding_only(tmp_path: Path) -> None:
    for name, size in (("whole", None), ("split", 3)):
        fit(
            tiny_model().double(),
            CountingCorpus(),
            tiny_config(microbatch_size=size),
            tmp_path / name,
            seed=1,
        )
    whole, split = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("whole", "split")
    )
    for a, b in zip(whole[1:], split[1:], strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-12)
        assert b["grad_norm"] == pytest.approx(a["grad_norm"], rel=1e-10)


def test_another_config_data_or_seed_is_refused(tmp_path: Path) -> None:
    fit(tiny_model(), CountingCorpus(), tiny_config(), tmp_path, seed=1)
    with pytest.raises(EchoError, match="another config"):
        fit(tiny_model(), CountingCorpus(), tiny_config(steps=13), tmp_path, seed=1)
    with pytest.raises(EchoError, match="another data and seed"):
        fit(tiny_model(), CountingCorpus(), tiny_config(), tmp_path, seed=2)
    fit(tiny_model(), CountingCorpus(), tiny_config(checkpoint_every=7), tmp_path, seed=1)


def test_a_non_finite_loss_names_step_batch_and_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = pretrain.optimizer_step
    calls = []

    def poisoned(model: torch.nn.Module, *args: object, **kwargs: object) -> object:
        calls.append(1)
        if len(calls) == 7:
            next(model.parameters()).data[:] = math.nan
        return original(model, *args, **kwargs)

    monkeypatch.setattr(pretrain, "optimizer_step", poisoned)
    with pytest.raises(NonFiniteError) as caught:
        fit(tiny_model(), CountingCorpus(), tiny_config(), tmp_path, seed=1)
    message = str(caught.value)
    assert "at step 6" in message
    assert "batch 6 of seed 1" in message
    assert "step-00000004" in message


def test_heldout_loss_ignores_padding_and_single_tokens() -> None:
    model = tiny_model()
    documents = list(CountingCorpus().heldout("noise"))

    def measured(some: list[np.ndarray], batch_size: int) -> float:
        return heldout_loss(
            lambda rows: next_token_loss(model, *rows),
            some,
            torch.device("cpu"),
            sequence_length=16,
            batch_size=batch_size,
        )

    together = measured(documents, 3)
    each = [(measured([d], 1), min(len(d) - 1, 16)) for d in documents]
    expected = sum(loss * n for loss, n in each if n) / sum(n for _, n in each)
    assert together == pytest.approx(expected, rel=1e-5)
    assert math.isnan(measured([documents[1]], 1))


def test_spikes_are_marked() -> None:
    detector = SpikeDetector({})
    losses = [2.0 + 0.01 * (-1) ** i for i in range(40)]
    assert not any(detector(loss) for loss in losses)
    assert detector(3.0)
    assert not detector(2.0)

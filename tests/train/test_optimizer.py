"""The learning rate's schedule and AdamW, by hand and beside PyTorch's own."""

import pytest
import torch
from torch import nn

from echochamber.train import OptimizerConfig, make_optimizer
from echochamber.train.optimizer import learning_rate_at, set_learning_rate


def tiny_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(11, 8), nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 11)).double()


def test_schedule_by_hand() -> None:
    config = OptimizerConfig(learning_rate=1.0, warmup_steps=4, final_fraction=0.1)
    rates = [learning_rate_at(step, config, 11) for step in range(11)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4] == 1.0
    assert rates[7] == pytest.approx(0.1 + 0.9 * 0.5)
    assert rates[10] == pytest.approx(0.1)
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert learning_rate_at(7, config.model_copy(update={"schedule": "linear"}), 11) == pytest.approx(0.55)
    assert learning_rate_at(9, config.model_copy(update={"schedule": "constant"}), 11) == 1.0
    assert learning_rate_at(0, OptimizerConfig(learning_rate=2.0, warmup_fraction=0.0), 1) == 2.0


def test_warmup_fraction_counts_steps() -> None:
    config = OptimizerConfig(learning_rate=1.0, warmup_fraction=0.5)
    assert [learning_rate_at(step, config, 8) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]


def test_fused_adamw_is_the_plain_update() -> None:
    """Three updates of the optimizer we make equal the textbook's, arXiv:1711.05101 algorithm 2."""
    model = tiny_model()
    config = OptimizerConfig(learning_rate=0.01, weight_decay=0.1)
    optimizer = make_optimizer(model, config)
    parameters = list(model.parameters())
    expected = [p.detach().clone() for p in parameters]
    first, second = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    generator = torch.Generator().manual_seed(1)
    for step in range(1, 4):
        for i, p in enumerate(parameters):
            p.grad = torch.randn(p.shape, generator=generator, dtype=p.dtype)
            first[i] = 0.9 * first[i] + 0.1 * p.grad
            second[i] = 0.95 * second[i] + 0.05 * p.grad**2
            m, v = first[i] / (1 - 0.9**step), second[i] / (1 - 0.95**step)
            expected[i] = expected[i] * (1 - 0.01 * 0.1) - 0.01 * m / (v.sqrt() + 1e-8)
        optimizer.step()
    for p, want in zip(parameters, expected, strict=True):
        torch.testing.assert_close(p.detach(), want, rtol=1e-12, atol=1e-14)


def test_learning_rate_is_set_in_every_group() -> None:
    model = tiny_model()
    optimizer = make_optimizer(model, OptimizerConfig())
    set_learning_rate(optimizer, 0.25)
    assert {group["lr"] for group in optimizer.param_groups} == {0.25}


def test_bad_betas_are_refused() -> None:
    with pytest.raises(ValueError, match=r"two numbers in \[0, 1\)"):
        OptimizerConfig(betas=(0.9, 1.0))

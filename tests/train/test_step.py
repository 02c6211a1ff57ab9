"""The training step: hand-worked numbers, exact accumulation, refusal of non-finite steps."""

import math

import pytest
import torch
from torch import nn

from echochamber.train import (
    LossSum,
    NonFiniteError,
    OptimizerConfig,
    make_optimizer,
    optimizer_step,
)

# Without a warm-up the first step of all has the learning rate of the config.
ONLY = {"number": 0, "total": 1}


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> LossSum:
    return LossSum(nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum"))


def tiny_model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Embedding(11, 8), nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 11)).double()


def weight_of_one(value: float) -> nn.Linear:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, value)
    return model


def test_one_step_by_hand() -> None:
    """Loss (2 w)^2 + (3 w)^2 over normalizer 2 at w = 1: loss 6.5, gradient 13, clipped to 1, SGD 0.1."""
    model = weight_of_one(1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs = [torch.tensor([[2.0]]), torch.tensor([[3.0]])]
    stats = optimizer_step(
        model,
        optimizer,
        OptimizerConfig(learning_rate=0.1, max_grad_norm=1.0),
        inputs,
        lambda x: LossSum((model(x) ** 2).sum(), {"rows": torch.tensor(1.0)}),
        **ONLY,
        normalizer=2.0,
    )
    assert stats.loss == pytest.approx(6.5)
    assert stats.grad_norm == pytest.approx(13.0)
    assert stats.metrics == {"rows": 2.0}
    assert model.weight.item() == pytest.approx(0.9, abs=1e-6)


@pytest.mark.parametrize("sizes", [[6], [1] * 6, [1, 5], [4, 2]])
def test_splitting_a_batch_changes_nothing(sizes: list[int]) -> None:
    tokens = torch.randint(11, (6, 9), generator=torch.Generator().manual_seed(3))
    results = []
    for split in ([6], sizes):
        model = tiny_model()
        optimizer = make_optimizer(model, OptimizerConfig())
        for _ in range(3):
            stats = optimizer_step(
                model,
                optimizer,
                OptimizerConfig(max_grad_norm=0.5),
                tokens.split(split),
                lambda part, model=model: cross_entropy(model(part[:, :-1]), part[:, 1:]),
                **ONLY,
                normalizer=tokens[:, 1:].numel(),
            )
        results.append((stats, torch.cat([p.detach().flatten() for p in model.parameters()])))
    (whole, weights), (parts, split_weights) = results
    assert parts.loss == pytest.approx(whole.loss, rel=1e-12)
    assert parts.grad_norm == pytest.approx(whole.grad_norm, rel=1e-12)
    torch.testing.assert_close(split_weights, weights, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_non_finite_loss_stops_before_the_update(bad: float) -> None:
    model = weight_of_one(1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs = [torch.tensor([[1.0]]), torch.tensor([[bad]])]
    with pytest.raises(NonFiniteError, match="loss of microbatch 1 of 2") as caught:
        optimizer_step(
            model,
            optimizer,
            OptimizerConfig(max_grad_norm=None),
            inputs,
            lambda x: LossSum(model(x).sum()),
            **ONLY,
            normalizer=1.0,
        )
    assert model.weight.item() == 1.0
    located = caught.value.located(step=12, batch="rows 0 to 15", checkpoint="checkpoints/step-00000010")
    message = str(located)
    assert "at step 12" in message and "rows 0 to 15" in message and "checkpoints/step-00000010" in message


def test_a_non_finite_gradient_stops_before_the_update() -> None:
    model = weight_of_one(0.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(NonFiniteError, match="gradient norm"):
        optimizer_step(
            model,
            optimizer,
            OptimizerConfig(),
            [torch.tensor([[1.0]])],
            lambda x: LossSum(model(x).abs().sqrt().sum()),
            **ONLY,
            normalizer=1.0,
        )
    assert model.weight.item() == 0.0


def test_our_own_mistakes_are_refused() -> None:
    model = weight_of_one(1.0)
    optimizer, config = torch.optim.SGD(model.parameters(), lr=0.1), OptimizerConfig()
    with pytest.raises(ValueError, match="normalizer"):
        optimizer_step(model, optimizer, config, [], lambda x: LossSum(x), **ONLY, normalizer=0.0)
    with pytest.raises(ValueError, match="no microbatch"):
        optimizer_step(model, optimizer, config, [], lambda x: LossSum(x), **ONLY, normalizer=1.0)


@pytest.mark.parametrize("number", [0, 1])
def test_an_optimizer_step_takes_rate_and_clip_from_its_config(number: int) -> None:
    config = OptimizerConfig(learning_rate=0.4, warmup_fraction=0.5, max_grad_norm=1e-3)
    model, plain = tiny_model(), tiny_model()
    optimizer = make_optimizer(model, config)
    optimizer_step(
        model, optimizer, config, [1.0], lambda scale: squares(model, scale), number=number, total=4,
        normalizer=1.0,
    )  # fmt: skip
    rate = 0.2 * (number + 1)
    assert optimizer.param_groups[0]["lr"] == rate
    steady = OptimizerConfig(learning_rate=rate, max_grad_norm=1e-3)
    optimizer_step(
        plain, make_optimizer(plain, steady), steady, [1.0], lambda scale: squares(plain, scale), **ONLY,
        normalizer=1.0,
    )  # fmt: skip
    assert all(a.equal(b) for a, b in zip(model.parameters(), plain.parameters(), strict=True))
    assert not next(model.parameters()).equal(next(tiny_model().parameters()))


def squares(model: nn.Module, scale: float) -> LossSum:
    return LossSum(scale * torch.stack([p.square().sum() for p in model.parameters()]).sum())

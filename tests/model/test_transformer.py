"""Parity with OlmoForCausalLM, sizes, initial weights."""

import math

import pytest
import torch
from torch import Tensor

from echochamber.base import InputError
from echochamber.model import (
    SIZES,
    ModelConfig,
    Transformer,
    build,
    flops_per_token,
    hf_config,
    hf_state,
    num_parameters,
    size_config,
)

transformers = pytest.importorskip("transformers")

TINY = ModelConfig(d_model=32, num_layers=2, num_heads=2, mlp_hidden=64, vocab_size=97, context_length=64)


def olmo(model: Transformer, **settings: object) -> torch.nn.Module:
    described = hf_config(model.config, eos_id=0, pad_id=1, bos_id=None) | settings
    peer = transformers.OlmoForCausalLM(transformers.OlmoConfig(**described))
    peer.load_state_dict(hf_state(model.state_dict()), strict=not model.config.tied_embeddings)
    return peer.eval()


@pytest.mark.parametrize("name", ["pico", "nano", "micro", "small"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 17), (2, 128)])
def test_logits_are_those_of_olmo_bit_for_bit(name: str, shape: tuple[int, int]) -> None:
    model = build(size_config(name, vocab_size=1024, context_length=128), seed=1)
    tokens = torch.randint(1024, shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.equal(model(tokens), olmo(model)(tokens).logits)


def test_logits_and_gradients_of_sharp_tied_weights_are_those_of_olmo() -> None:
    config = TINY.model_copy(update={"tied_embeddings": True, "rope_theta": 500.0, "init_std": 0.3})
    model = build(config, seed=3)
    peer = olmo(model)
    tokens = torch.randint(97, (3, 40), generator=torch.Generator().manual_seed(4))
    ours, theirs = model(tokens), peer(tokens).logits
    assert torch.equal(ours, theirs)
    weight = torch.randn(ours.shape, generator=torch.Generator().manual_seed(5))
    (ours * weight).sum().backward()
    (theirs * weight).sum().backward()
    gradients = {n: p.grad for n, p in peer.named_parameters()}
    fused = torch.cat([gradients[f"model.layers.1.self_attn.{n}_proj.weight"] for n in "qkv"])
    assert relative(model.blocks[1].qkv.grad, fused) < 1e-5
    fused = torch.cat([gradients[f"model.layers.0.mlp.{n}_proj.weight"] for n in ("gate", "up")])
    assert relative(model.blocks[0].gate_up.grad, fused) < 1e-5
    assert relative(model.embedding.grad, gradients["model.embed_tokens.weight"]) < 1e-5


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def test_gradients_match_finite_differences() -> None:
    config = ModelConfig(d_model=4, num_layers=1, num_heads=1, mlp_hidden=3, vocab_size=5, context_length=4)
    model = build(config.model_copy(update={"init_std": 0.7}), seed=0).double()
    tokens = torch.tensor([[1, 4, 2]])
    names = [n for n, _ in model.named_parameters()]

    def logits(*weights: Tensor) -> Tensor:
        return torch.func.functional_call(model, dict(zip(names, weights, strict=True)), (tokens,))

    weights = tuple(p.detach().clone().requires_grad_() for p in model.parameters())
    assert torch.autograd.gradcheck(logits, weights)


def test_given_positions_and_mask_reproduce_the_plain_forward_pass() -> None:
    model = build(TINY.model_copy(update={"init_std": 0.2}), seed=6)
    tokens = torch.randint(97, (2, 9), generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        plain = model(tokens)
        positions = torch.arange(9).expand(2, 9)
        assert torch.equal(model(tokens, positions_BT=positions), plain)
        causal = torch.ones(9, 9, dtype=torch.bool).tril()
        assert (model(tokens, mask=causal) - plain).abs().max() < 1e-5
        # Two documents in one row, each with positions from 0 and blind to the other.
        document = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 1])
        mask = causal & (document[:, None] == document[None, :])
        positions = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 4]).expand(2, 9)
        packed = model(tokens, positions_BT=positions, mask=mask)
        assert (packed[:, :4] - plain[:, :4]).abs().max() < 1e-5
        assert (packed[:, 4:] - model(tokens[:, 4:])).abs().max() < 1e-5


def test_right_padding_changes_nothing_before_it() -> None:
    model = build(TINY, seed=8)
    tokens = torch.randint(97, (1, 12), generator=torch.Generator().manual_seed(9))
    padded = torch.cat([tokens, torch.zeros(1, 5, dtype=torch.long)], dim=1)
    with torch.no_grad():
        assert (model(padded)[:, :12] - model(tokens)).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("name", "expected"),
    [("150m", 162_398_208), ("300m", 300_417_024), ("500m", 551_288_832), ("1b", 1_139_277_824)],
)
def test_the_published_models_have_their_published_parameter_counts(name: str, expected: int) -> None:
    config = size_config(name, vocab_size=32_000, context_length=2048)
    assert num_parameters(config) == expected
    with torch.device("meta"):
        model = Transformer(config)
    assert sum(p.numel() for p in model.parameters()) == expected


def test_small_sizes_hold_what_their_names_promise() -> None:
    counts = {n: num_parameters(size_config(n, vocab_size=1024, context_length=256)) for n in list(SIZES)[:4]}
    assert counts == {"pico": 393_216, "nano": 1_310_720, "micro": 6_815_744, "small": 34_603_008}


def test_flops_by_hand() -> None:
    # 6 x (2 x 97 x 32 + 2 x (4 x 32^2 + 3 x 32 x 64)) + 6 x 2 layers x 32 x 10 tokens of context
    assert flops_per_token(TINY, 10) == 6 * (6208 + 2 * 10240) + 3840


def test_unknown_size_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean 'micro'"):
        size_config("mikro", vocab_size=10, context_length=10)


def test_too_long_a_sequence_is_the_users_mistake() -> None:
    with pytest.raises(InputError, match="65 tokens: expected at most 64"):
        build(TINY, seed=0)(torch.zeros(1, 65, dtype=torch.long))


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="expected heads of one even width"):
        ModelConfig(d_model=30, num_layers=1, num_heads=4, mlp_hidden=8, vocab_size=8, context_length=8)


def test_initial_weights_are_a_truncated_normal_of_the_seed() -> None:
    config = size_config("nano", vocab_size=1024, context_length=64)
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    model, again, other = build(config, seed=5), build(config, seed=5), build(config, seed=6)
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert not torch.equal(model.embedding, other.embedding)
    assert weights.abs().max() <= 0.06
    # A normal cut at 3 deviations keeps sqrt(1 - 6 phi(3) / (2 Phi(3) - 1)) = 0.98658 of its deviation.
    phi = math.exp(-4.5) / math.sqrt(2 * math.pi)
    kept = math.sqrt(1 - 6 * phi / math.erf(3 / math.sqrt(2)))
    assert weights.std().item() == pytest.approx(0.02 * kept, rel=5e-3)
    assert abs(weights.mean().item()) < 5e-5

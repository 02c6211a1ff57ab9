"""The critic: a number per token by hand, and no output matrix that nobody asks for."""

import torch

from echochamber.model import ModelConfig, ValueHead, ValueModel, build

CONFIG = ModelConfig(d_model=32, num_layers=2, num_heads=2, mlp_hidden=64, vocab_size=97, context_length=64)


def test_value_head_by_hand() -> None:
    head = ValueHead(2, seed=0)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([2.0, -1.0]))
        head.bias.fill_(0.5)
    assert head(torch.tensor([[[1.0, 3.0], [0.0, 1.0]]])).tolist() == [[-0.5, -0.5]]


def test_value_model_carries_no_output_matrix() -> None:
    model = build(CONFIG, seed=1)
    critic = ValueModel(model, seed=3)
    assert "trunk.unembedding" not in dict(critic.named_parameters())
    tokens = torch.arange(6).view(2, 3)
    assert critic(tokens).shape == (2, 3)
    assert torch.equal(critic(tokens), critic.head(model.hidden(tokens)))

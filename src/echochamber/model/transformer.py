"""The transformer: logits equal to `transformers.OlmoForCausalLM`, bit for bit on CPU in float32.

Queries, keys and values come from one matrix, gate and up of the SwiGLU from another: the products are the
same numbers, computed in fewer and larger calls.

Shapes: B sequences, T tokens, D width, V vocabulary, H heads, W entries per head, M SwiGLU inner width.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from echochamber.base import InputError, derive_seed, write_json
from echochamber.model.config import ModelConfig
from echochamber.model.files import save_state, write_weights
from echochamber.model.functions import rotary_qkv, swiglu
from echochamber.model.huggingface import hf_config, hf_state, require_transformers
from echochamber.model.policy import Policy


def rotary_tables(config: ModelConfig, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Cosines and sines of position x frequency, each (context_length, W/2), float32.

    Frequency i is theta^(-2 i / W). Computed on the CPU and then moved, because cosines differ between
    devices in the last bit.
    """
    width = config.head_width
    exponent = torch.arange(0, width, 2, dtype=torch.float32, device="cpu") / width
    frequency = 1.0 / (config.rope_theta**exponent)
    position = torch.arange(config.context_length, dtype=torch.float32, device="cpu")
    angle = position[:, None] * frequency
    return angle.cos().to(device), angle.sin().to(device)


class Block(nn.Module):
    """Attention and SwiGLU, each behind a LayerNorm without parameters and added to the stream.

    Attributes:
        qkv: (3 D, D): queries, keys, values.
        out: (D, D).
        gate_up: (2 M, D): gate, then up.
        down: (D, M).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, hidden = config.d_model, config.mlp_hidden
        self.num_heads = config.num_heads
        self.norm_shape = (width,)
        self.norm_eps = config.norm_eps
        self.qkv = nn.Parameter(torch.empty(3 * width, width))
        self.out = nn.Parameter(torch.empty(width, width))
        self.gate_up = nn.Parameter(torch.empty(2 * hidden, width))
        self.down = nn.Parameter(torch.empty(width, hidden))

    def forward(self, x_BTD: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        """One block; arguments as in `Transformer.hidden`, `cos` and `sin` already at the positions."""
        batch, length, width = x_BTD.shape
        h_BTD = F.layer_norm(x_BTD, self.norm_shape, None, None, self.norm_eps)
        qkv_BT3HW = F.linear(h_BTD, self.qkv).view(batch, length, 3, self.num_heads, -1)
        q, k, v = rotary_qkv(qkv_BT3HW, cos, sin)
        mixed_BHTW = F.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            attn_mask=mask,
            is_causal=mask is None and length > 1,
        )
        mixed_BTD = mixed_BHTW.transpose(1, 2).reshape(batch, length, width)
        x_BTD = x_BTD + F.linear(mixed_BTD, self.out)
        h_BTD = F.layer_norm(x_BTD, self.norm_shape, None, None, self.norm_eps)
        return x_BTD + F.linear(swiglu(F.linear(h_BTD, self.gate_up)), self.down)


class Transformer(Policy):
    """Tokens to logits.

    The weights of a new instance are uninitialized memory: use `build` or `load_policy`.

    Attributes:
        config: everything that decides its shape.
        embedding: (V, D).
        unembedding: (V, D), or None when the embedding is tied.
    """

    config: ModelConfig
    cos: Tensor
    sin: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        shape = (config.vocab_size, config.d_model)
        self.embedding = nn.Parameter(torch.empty(shape))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.unembedding = None if config.tied_embeddings else nn.Parameter(torch.empty(shape))
        cos, sin = rotary_tables(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    @property
    def head_weight(self) -> Tensor:
        """The output matrix, (V, D)."""
        return self.embedding if self.unembedding is None else self.unembedding

    def hidden(
        self, tokens_BT: Tensor, *, positions_BT: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """See `Policy.hidden`."""
        length = tokens_BT.shape[1]
        if positions_BT is None:
            if length > self.config.context_length:
                raise InputError(
                    f"a sequence of {length} tokens: expected at most {self.config.context_length}, the "
                    "context length of the model. Shorten it or give the model a longer context"
                )
            cos, sin = self.cos[:length], self.sin[:length]
        else:
            cos, sin = self.cos[positions_BT], self.sin[positions_BT]
        cos = torch.cat((cos, cos), dim=-1)[..., None, None, :]
        sin = torch.cat((-sin, sin), dim=-1)[..., None, None, :]
        x_BTD = F.embedding(tokens_BT, self.embedding)
        for block in self.blocks:
            x_BTD = block(x_BTD, cos, sin, mask)
        return F.layer_norm(x_BTD, (self.config.d_model,), None, None, self.config.norm_eps)

    def drop_head(self) -> None:
        """See `Policy.drop_head`."""
        self.unembedding = None

    def write(self, folder: Path) -> None:
        """See `Policy.write`."""
        save_state(self.state_dict(), self.config, folder)

    def export(self, folder: Path, *, eos_id: int, pad_id: int) -> None:
        """See `Policy.export`."""
        made = hf_config(self.config, eos_id=eos_id, pad_id=pad_id, bos_id=None, dtype=self.embedding.dtype)
        write_weights(self.transformers_state(), folder, made)
        write_json(folder / "generation_config.json", {"eos_token_id": eos_id, "pad_token_id": pad_id})

    def to_transformers(self, *, eos_id: int, pad_id: int) -> Any:
        """See `Policy.to_transformers`."""
        transformers = require_transformers()
        config = hf_config(self.config, eos_id=eos_id, pad_id=pad_id, bos_id=None)
        peer = transformers.OlmoForCausalLM(transformers.OlmoConfig(**config)).eval()
        peer.to(device=self.embedding.device, dtype=self.embedding.dtype)
        peer.load_state_dict(self.transformers_state(), strict=not self.config.tied_embeddings)
        return peer

    def transformers_state(self) -> Mapping[str, Tensor]:
        """See `Policy.transformers_state`."""
        return hf_state(self.state_dict())


def build(config: ModelConfig, *, seed: int) -> Transformer:
    """A new model: every weight from a normal with `init_std`, truncated at `init_cutoff` deviations.

    Each matrix has its own random stream, so that weights do not depend on the order of construction.
    """
    model = Transformer(config)
    bound = config.init_cutoff * config.init_std
    for name, parameter in model.named_parameters():
        generator = torch.Generator().manual_seed(derive_seed(seed, f"model.init.{name}"))
        nn.init.trunc_normal_(parameter, std=config.init_std, a=-bound, b=bound, generator=generator)
    return model

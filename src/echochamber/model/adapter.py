"""Any causal language model of `transformers` as one of our policies.

Shapes: B sequences, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from echochamber.base import EchoError, InputError, explained_write
from echochamber.model.describing import Description, describe_foreign
from echochamber.model.huggingface import require_transformers
from echochamber.model.policy import Policy


class HFPolicy(Policy):
    """A causal language model of transformers, trained and sampled like ours.

    It stays in evaluation mode, so any dropout in its config is never applied: updates see the distribution
    that was sampled from. If its layers attend to a sliding window, the context is shortened to the window,
    within which they attend to everything.

    Args:
        inner: the model, with scaled-dot-product attention.

    Raises:
        InputError: between hidden states and logits, or with attention masks, it does something that
            post-training here does not support.
    """

    config: Description

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner.eval()
        name, own = type(inner).__name__, inner.get_output_embeddings()
        if own is None or getattr(own, "bias", None) is not None:
            raise InputError(f"{name}: expected a causal language model with an output matrix and no bias")
        # If set, it would keep the embedding of a token that may well be sampled from being trained.
        inner.get_input_embeddings().padding_idx = None
        count = sum(p.numel() for p in inner.parameters())
        # From the weights, which may have more rows than the tokenizer has tokens.
        described = {**inner.config.to_dict(), "vocab_size": inner.get_input_embeddings().weight.shape[0]}
        self.config = describe_foreign(described, count, name)
        _probe(self)

    @property
    def head_weight(self) -> Tensor:
        """See `Policy.head_weight`."""
        weight: Tensor = self.inner.get_output_embeddings().weight
        return weight

    def hidden(
        self, tokens_BT: Tensor, *, positions_BT: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """See `Policy.hidden`."""
        length = tokens_BT.shape[1]
        if positions_BT is None and length > self.config.context_length:
            raise InputError(
                f"a sequence of {length} tokens: expected at most {self.config.context_length}, the "
                "context length of the model. Shorten it or use a model with a longer context"
            )
        if mask is not None:
            mask = mask.expand(tokens_BT.shape[0], 1, length, length)
        found = self.inner.base_model(
            input_ids=tokens_BT, position_ids=positions_BT, attention_mask=mask, use_cache=False
        )
        hidden_BTD: Tensor = found.last_hidden_state
        return hidden_BTD

    def train(self, mode: bool = True) -> HFPolicy:
        """Does nothing: see the class."""
        return self

    def drop_head(self) -> None:
        """See `Policy.drop_head`."""
        self.inner.set_output_embeddings(None)

    def write(self, folder: Path) -> None:
        """See `Policy.write`; the layout is that of `save_pretrained`."""
        with explained_write(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self.inner.save_pretrained(folder)

    def export(self, folder: Path, *, eos_id: int, pad_id: int) -> None:
        """See `Policy.export`."""
        _plain_generation(self.inner, eos_id, pad_id)
        self.write(folder)

    def to_transformers(self, *, eos_id: int, pad_id: int) -> Any:
        """See `Policy.to_transformers`."""
        peer = copy.deepcopy(self.inner).requires_grad_(False)
        _plain_generation(peer, eos_id, pad_id)
        return peer

    def transformers_state(self) -> Mapping[str, Tensor]:
        """See `Policy.transformers_state`."""
        state: Mapping[str, Tensor] = self.inner.state_dict()
        return state


def _plain_generation(inner: Any, eos_id: int, pad_id: int) -> None:
    """Drop the folder's sampling settings: a repetition penalty would change every probability."""
    made = require_transformers().GenerationConfig(eos_token_id=eos_id, pad_token_id=pad_id)
    inner.generation_config = made


@torch.no_grad()
def _probe(policy: HFPolicy) -> None:
    """Run a few tokens both ways: packed after one prompt and alone, through our head and the model's.

    Raises:
        InputError: the results differ.
    """
    device = next(policy.parameters()).device
    prompt, first, second = [1, 2, 3], [4, 5], [6, 7, 8]
    rows = [torch.tensor([ids], device=device) % policy.config.vocab_size
            for ids in (prompt + first, prompt + second, prompt + first + second)]  # fmt: skip
    segment = torch.tensor([0] * 3 + [1] * 2 + [2] * 3, device=device)
    allowed = torch.tril((segment[:, None] == segment[None, :]) | (segment[None, :] == 0))
    position = torch.tensor([[0, 1, 2, 3, 4, 3, 4, 5]], device=device)
    packed = policy.hidden(rows[2], positions_BT=position, mask=allowed[None, None])
    alone = [policy.hidden(row)[0] for row in rows[:2]]
    name = type(policy.inner).__name__
    if not _close(packed[0], torch.cat([alone[0], alone[1][3:]])):
        raise InputError(
            f"{name}: several completions after one prompt give other values than each alone, so its "
            "attention does not follow the mask and positions it is given; choose a plain transformer"
        )
    if not _close(policy.head(alone[0]), policy.inner(input_ids=rows[0], use_cache=False).logits[0]):
        raise InputError(
            f"{name}: its logits are not hidden states times the output matrix (a bias, scale or cap is "
            "applied), which post-training here assumes; choose another architecture"
        )


def _close(found: Tensor, expected: Tensor) -> bool:
    share = 1e-3 if expected.dtype in (torch.float32, torch.float64) else 0.05
    return bool((found - expected).abs().max() <= share * expected.abs().max())


def load_foreign_model(folder: Path) -> HFPolicy:
    """Read any causal language model that transformers supports, without running code from the folder.

    Raises:
        InputError: transformers is not installed or does not support the architecture, or the model does
            something that post-training here does not support.
        EchoError: weights are missing, unknown or of another shape.
    """
    transformers = require_transformers()
    transformers.utils.logging.disable_progress_bar()
    try:
        inner, info = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype="auto",
            attn_implementation="sdpa",
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (ValueError, ImportError, KeyError) as error:
        raise InputError(f"{folder}: transformers cannot load it: {_first_line(error)}") from error
    except (OSError, RuntimeError) as error:
        raise EchoError(f"{folder}: its weights cannot be read: {_first_line(error)}") from error
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if names := sorted(map(str, info.get(problem) or ())):
            raise EchoError(f"{folder}: {problem.replace('_', ' ')} in its weights: {', '.join(names[:5])}")
    assert isinstance(inner, nn.Module)
    return HFPolicy(inner)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)

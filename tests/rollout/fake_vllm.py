"""The part of vLLM's offline API that the adapter uses, around a model of transformers.

Names, defaults and meanings are those of vLLM 0.32; unknown arguments are refused. Requests are sampled one
by one from generators of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers


@dataclass
class SamplingParams:
    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 16
    seed: int | None = None
    stop_token_ids: list[int] = field(default_factory=list)
    logprobs: int | None = None
    detokenize: bool = True


@dataclass
class Logprob:
    logprob: float


@dataclass
class CompletionOutput:
    token_ids: list[int]
    logprobs: list[dict[int, Logprob]]
    finish_reason: str


@dataclass
class RequestOutput:
    outputs: list[CompletionOutput]


class _Served:
    """The model inside the worker: takes weights under their Hugging Face names, some or all of them."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> set[str]:
        own = self.model.state_dict()
        loaded = set()
        for name, tensor in weights:
            own[name].copy_(tensor)
            loaded.add(name)
        return loaded


class LLM:
    def __init__(
        self,
        model: str,
        *,
        skip_tokenizer_init: bool = False,
        dtype: str = "auto",
        max_model_len: int | None = None,
        gpu_memory_utilization: float = 0.9,
        enable_prefix_caching: bool | None = None,
        logprobs_mode: str = "raw_logprobs",
        seed: int = 0,
        disable_log_stats: bool = True,
    ) -> None:
        assert skip_tokenizer_init, "the folder holds no tokenizer"
        loaded = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype))
        self.served, self.max_model_len, self.logprobs_mode = (
            _Served(loaded.eval()),
            max_model_len,
            logprobs_mode,
        )
        self.resets = 0

    def apply_model(self, func: Callable[[Any], Any]) -> list[Any]:
        return [func(self.served)]

    def reset_prefix_cache(self) -> bool:
        self.resets += 1
        return True

    def generate(
        self,
        prompts: Sequence[dict[str, list[int]]],
        sampling_params: Sequence[SamplingParams],
        *,
        use_tqdm: bool = True,
    ) -> list[RequestOutput]:
        assert len(prompts) == len(sampling_params)
        pairs = zip(prompts, sampling_params, strict=True)
        return [RequestOutput([self._sample(p["prompt_token_ids"], params)]) for p, params in pairs]

    @torch.no_grad()
    def _sample(self, prompt: list[int], params: SamplingParams) -> CompletionOutput:
        assert params.n == 1
        assert len(prompt) + params.max_tokens <= (self.max_model_len or 0)
        generator = torch.Generator()
        if params.seed is not None:
            generator.manual_seed(params.seed)
        ids, entries = list(prompt), []
        while len(entries) < params.max_tokens:
            logits = self.served.model(torch.tensor([ids])).logits[0, -1].float()
            greedy = params.temperature == 0
            processed = logits if greedy else self._truncated(logits / params.temperature, params)
            token = int(
                processed.argmax()
                if greedy
                else torch.multinomial(processed.softmax(-1), 1, generator=generator)
            )
            kept = processed if self.logprobs_mode == "processed_logprobs" else logits
            entries.append({token: Logprob(float(kept.log_softmax(-1)[token]))})
            ids.append(token)
            if token in params.stop_token_ids:
                break
        own = ids[len(prompt) :]
        return CompletionOutput(own, entries, "stop" if own[-1] in params.stop_token_ids else "length")

    @staticmethod
    def _truncated(logits: torch.Tensor, params: SamplingParams) -> torch.Tensor:
        if params.top_k > 0:
            least = logits.topk(min(params.top_k, len(logits))).values[-1]
            logits = logits.masked_fill(logits < least, -torch.inf)
        if params.top_p < 1:
            ordered, index = logits.sort(descending=True)
            share = ordered.softmax(-1)
            dropped = (share.cumsum(-1) - share) >= params.top_p
            logits = logits.masked_fill(dropped.scatter(0, index, dropped), -torch.inf)
        return logits

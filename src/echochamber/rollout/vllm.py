"""Sampling with vLLM in this process: the fastest engine on a GPU, but with its own arithmetic.

Written for vLLM 0.32's offline API (`LLM`, `SamplingParams`, `apply_model`). Its kernels are not the
trainer's, so its log-probabilities differ on the same weights; every step records by how much (`mismatch`),
and `truncated_importance_sampling` corrects for it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from echochamber.base import InputError
from echochamber.model import Policy
from echochamber.rollout.interface import SampledTokens, Sampling, check_prompts
from echochamber.rollout.work import Unit, stream_keys_of

# vLLM reads seeds as signed 64-bit numbers.
_SEED_BITS = 63


def _vllm() -> Any:
    # Run it in this process, where its scheduling is deterministic and its weights are accessible.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    try:
        import vllm
    except ImportError as error:
        raise InputError(
            "the engine 'vllm' needs the package vllm, which is not installed. "
            "Install it with: pip install 'echochamber[vllm]', or use the engine 'native'"
        ) from error
    return vllm


def _load(state: dict[str, Tensor], model: Any) -> None:
    """Runs inside vLLM's worker, which is this process."""
    model.load_weights(state.items())


class VLLMEngine:
    """Samples with an `LLM` of vLLM that holds a copy of the weights.

    Each completion is a request with its own seed, a function of (seed, step, prompt id, sample); the
    prompts' prefill is shared through vLLM's prefix cache. vLLM draws from its own generators, so its samples
    differ from the native engine's with the same seeds. It does not report the nuclei of a truncated
    distribution: `records_nuclei` is False, and policy gradients need `top_p: 1, top_k: 0`.

    Args:
        model: ours, which vLLM reads as an `OlmoForCausalLM`, or another architecture that vLLM supports.
        eos_id: token that ends a completion.
        pad_id: written into the exported config; nothing is padded.
        memory_fraction: share of the GPU's memory that vLLM uses for its weights and cache; the trainer
            needs the rest.

    Raises:
        InputError: vLLM is not installed.
    """

    records_nuclei = False

    def __init__(self, model: Policy, *, eos_id: int, pad_id: int, memory_fraction: float = 0.35) -> None:
        vllm = _vllm()
        self.eos_id, self.context_length = eos_id, model.config.context_length
        self._sampling_params = vllm.SamplingParams
        # Under torchrun every process has its own engine beside its trainer.
        launcher = {"distributed_executor_backend": "external_launcher"} if _under_torchrun() else {}
        weights = model.head_weight
        dtype = torch.bfloat16 if weights.device.type == "cuda" else weights.dtype
        with tempfile.TemporaryDirectory(prefix="echochamber-vllm-") as folder:
            model.export(Path(folder), eos_id=eos_id, pad_id=pad_id)
            self._llm = vllm.LLM(
                model=folder,
                skip_tokenizer_init=True,
                dtype=str(dtype).removeprefix("torch."),
                max_model_len=model.config.context_length,
                gpu_memory_utilization=memory_fraction,
                enable_prefix_caching=True,
                # After temperature and truncation, i.e. of the distribution that the token was drawn from.
                logprobs_mode="processed_logprobs",
                seed=0,
                disable_log_stats=True,
                **launcher,
            )
        self._version = 0

    def load_weights(self, model: Policy, version: int) -> None:
        """Copy these weights into the running engine; cached prefixes of the old weights are dropped."""
        self._llm.apply_model(partial(_load, dict(model.transformers_state())))
        self._llm.reset_prefix_cache()
        self._version = version

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        num_samples: int,
        seed: int,
        step: int,
        prompt_ids: Sequence[int] | None = None,
    ) -> list[list[SampledTokens]]:
        """See `Engine.generate`."""
        prompt_ids = check_prompts(prompts, prompt_ids, sampling, self.context_length)
        units = [Unit(index, 0, num_samples) for index in range(len(prompts))]
        keys = stream_keys_of(units, prompt_ids, seed, step) >> np.uint64(64 - _SEED_BITS)
        requests = [{"prompt_token_ids": list(ids)} for ids in prompts for _ in range(num_samples)]
        params = [
            self._params(sampling, min(sampling.max_new_tokens, self.context_length - len(ids)), int(key))
            for ids, key in zip((ids for ids in prompts for _ in range(num_samples)), keys, strict=True)
        ]
        outputs = self._llm.generate(requests, params, use_tqdm=False)
        done = [self._completion(output.outputs[0]) for output in outputs]
        return [done[i : i + num_samples] for i in range(0, len(done), num_samples)]

    def _params(self, sampling: Sampling, max_tokens: int, seed: int) -> Any:
        return self._sampling_params(
            n=1,
            temperature=sampling.temperature,
            top_p=1.0 if sampling.greedy else sampling.top_p,
            top_k=0 if sampling.greedy else sampling.top_k,
            max_tokens=max_tokens,
            seed=None if sampling.greedy else seed,
            stop_token_ids=[self.eos_id],
            # 0 means only the log-probability of the sampled token.
            logprobs=0,
            detokenize=False,
        )

    def _completion(self, output: Any) -> SampledTokens:
        ids = np.asarray(output.token_ids, dtype=np.int32)
        found = [entry[int(token)].logprob for token, entry in zip(ids, output.logprobs, strict=True)]
        stopped = len(ids) > 0 and int(ids[-1]) == self.eos_id
        return SampledTokens(
            ids, np.asarray(found, dtype=np.float32), "stop" if stopped else "length", self._version
        )


def _under_torchrun() -> bool:
    return torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1

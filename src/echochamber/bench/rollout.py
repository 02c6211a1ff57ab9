"""Sampling: the native engine against `transformers.generate`, on the default study's workload."""

from __future__ import annotations

from typing import Any

import torch

from echochamber.bench.measure import (
    Machine,
    Settings,
    comparison,
    describe_machine,
    in_turns,
    measure_rates,
    peer_library,
    seconds_of,
    target,
)
from echochamber.bench.workload import (
    EOS_ID,
    PAD_ID,
    bench_model,
    prompts,
    sampling_bytes,
    sampling_flops,
    with_mean_length,
)
from echochamber.model import Transformer, hf_config, hf_state
from echochamber.rollout import NativeEngine, SampledTokens, Sampling

NUM_PROMPTS, NUM_SAMPLES, MAX_NEW_TOKENS, MEAN_TOKENS = 32, 8, 80, 16
HEADLINE = "micro"


class _Peer:
    """`transformers.generate` on the same weights, batched and padded on the left.

    Its best setting is chosen by a trial of its attention implementations.
    """

    def __init__(self, model: Transformer, rows: list[list[int]], max_new: int, machine: Machine) -> None:
        transformers = peer_library("transformers")
        transformers.logging.set_verbosity_error()
        config = transformers.OlmoConfig(**hf_config(model.config, eos_id=EOS_ID, pad_id=PAD_ID, bos_id=None))
        self.model = transformers.OlmoForCausalLM(config).to(model.embedding.device, model.embedding.dtype)
        self.model.load_state_dict(hf_state(model.state_dict()), strict=not model.config.tied_embeddings)
        self.model.eval()
        self.version = str(transformers.__version__)
        self.machine, self.max_new = machine, max_new
        longest = max(len(row) for row in rows)
        self.tokens = torch.tensor([[PAD_ID] * (longest - len(row)) + row for row in rows])
        self.mask = (torch.arange(longest) >= torch.tensor([[longest - len(row)] for row in rows])).long()
        self.tokens, self.mask = self.tokens.to(self.model.device), self.mask.to(self.model.device)
        self.attention = ""
        trials = {name: self._trial(name) for name in ("sdpa", "eager")}
        self.attention = min(trials, key=lambda name: trials[name])
        self.model.set_attn_implementation(self.attention)

    def _trial(self, attention: str) -> float:
        """Seconds of the first 16 tokens."""
        self.model.set_attn_implementation(attention)
        whole, self.max_new = self.max_new, min(16, self.max_new)
        self(0)
        seconds = min(seconds_of(lambda: self(0), self.machine) for _ in range(2))
        self.max_new = whole
        return seconds

    def __call__(self, repeat: int) -> int:
        """Sample once; returns the number of tokens up to the eos of each row."""
        torch.manual_seed(repeat)
        with torch.inference_mode():
            output = self.model.generate(
                self.tokens,
                attention_mask=self.mask,
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                num_return_sequences=NUM_SAMPLES,
                max_new_tokens=self.max_new,
                eos_token_id=EOS_ID,
                pad_token_id=PAD_ID,
            )
        ended = (output[:, self.tokens.shape[1] :] == EOS_ID).cumsum(1)
        return int((ended == 0).sum() + (ended[:, -1] > 0).sum())


def bench_rollout(settings: Settings) -> dict[str, Any]:
    """Seconds for 32 prompts x 8 samples of at most 80 tokens, 16 on average, and what limits them.

    The floor is the arithmetic of our own completions (see `workload.sampling_flops`) at the measured
    rate of a matrix product; `bytes_floor_seconds` is reading the weights once per step at the copy rate.
    """
    sizes = settings.sizes or (("pico",) if settings.quick else ("micro", "nano"))
    on_gpu = settings.machine.device.type == "cuda"
    rows = [
        _compare(size, settings, graphs)
        for size in sizes
        for graphs in ((True, False) if on_gpu else (None,))
    ]
    return {"name": "rollout", **rows[0], "machine": describe_machine(settings.machine), "rows": rows}


def _work(settings: Settings) -> tuple[int, Sampling]:
    if settings.quick:
        return 4, Sampling(max_new_tokens=8)
    return NUM_PROMPTS, Sampling(max_new_tokens=MAX_NEW_TOKENS)


def _model(size: str, machine: Machine) -> Transformer:
    return with_mean_length(bench_model(size, machine, context_length=256), MEAN_TOKENS)


def _compare(size: str, settings: Settings, graphs: bool | None) -> dict[str, Any]:
    """`graphs`: with or without CUDA graphs; None where there are none."""
    num_prompts, sampling = _work(settings)
    rows, model = prompts(num_prompts), _model(size, settings.machine)
    engine = NativeEngine(model, eos_id=EOS_ID, pad_id=PAD_ID, static=graphs)
    peer = _Peer(model, rows, sampling.max_new_tokens, settings.machine)
    rates = measure_rates(settings)
    lengths: list[list[list[int]]] = []
    peer_tokens: list[int] = []

    def ours(repeat: int) -> None:
        lengths.append(_lengths(_sample(engine, rows, sampling, repeat)))

    def theirs(repeat: int) -> None:
        peer_tokens.append(peer(repeat))

    our_seconds, peer_seconds = in_turns(ours, theirs, settings, f"rollout {size}")
    timed, peer_timed = lengths[1:], peer_tokens[1:]
    flops = [sampling_flops(model.config, [len(r) for r in rows], each) for each in timed]
    floor = sum(flops) / len(flops) / rates.flops_per_second
    longest = max(n for each in timed for group in each for n in group)
    traffic = sampling_bytes(model.config, longest, model.embedding.element_size())
    result = comparison(
        our_seconds,
        peer_seconds,
        peer=f"transformers.generate ({peer.attention})",
        version=peer.version,
        floor_seconds=floor,
    )
    result["ours"]["tokens_per_second"] = sum(map(_total, timed)) / sum(our_seconds)
    result["peer"]["tokens_per_second"] = sum(peer_timed) / sum(peer_seconds)
    ratio = result["ours"]["tokens_per_second"] / result["peer"]["tokens_per_second"]
    targets = [target(ratio, "times the peer's tokens/s", at_least=6.0)]
    if size == HEADLINE:
        targets.append(target(result["floor_fraction"], "of the arithmetic floor", at_least=0.4))
    return {
        "size": size,
        "case": size if graphs is None else f"{size}, CUDA graphs {'on' if graphs else 'off'}",
        "targets": targets,
        "num_prompts": num_prompts,
        "num_samples": NUM_SAMPLES,
        "mean_tokens": sum(map(_total, timed)) / len(timed) / num_prompts / NUM_SAMPLES,
        **result,
        "ratio_tokens_per_second": ratio,
        "bytes_floor_seconds": traffic / rates.copy_bytes_per_second,
        "gigaflops_per_second": rates.flops_per_second / 1e9,
    }


def _sample(
    engine: NativeEngine, rows: list[list[int]], sampling: Sampling, step: int
) -> list[list[SampledTokens]]:
    return engine.generate(rows, sampling, num_samples=NUM_SAMPLES, seed=0, step=step)


def _lengths(results: list[list[SampledTokens]]) -> list[list[int]]:
    return [[len(completion.token_ids) for completion in group] for group in results]


def _total(lengths: list[list[int]]) -> int:
    return sum(map(sum, lengths))

"""Uniform random numbers as a function of what they are used for, without state or an order of drawing.

The hash is the finalizer of splitmix64 (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
# Multiples of 2^-23 stay below 1 by at least a rounding step, so that u x total < total in float32.
UNIFORM_BITS = 23


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def stream_keys(
    seed: int, step: int, prompt_ids: NDArray[np.int64], samples: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """One key for each (prompt id, sample) pair, of the same shape as the two arrays."""
    key = np.zeros(np.shape(prompt_ids), dtype=np.uint64)
    for part in (seed, step, prompt_ids, samples):
        word = np.asarray(part, dtype=np.int64).astype(np.uint64)
        # Mixing between the words makes (1, 2) and (2, 1) unrelated.
        key = _mix(key + _GAMMA) ^ word
        key = _mix(key + _GAMMA)
    return key


def uniforms(keys: NDArray[np.uint64], start: int, stop: int) -> NDArray[np.float32]:
    """Numbers in [0, 1) for positions `start` to `stop` of each stream, (positions, streams)."""
    position = np.arange(start, stop, dtype=np.uint64)[:, None]
    bits = _mix(keys[None, :] + (position + np.uint64(1)) * _GAMMA)
    return (bits >> np.uint64(64 - UNIFORM_BITS)).astype(np.float32) * np.float32(2.0**-UNIFORM_BITS)

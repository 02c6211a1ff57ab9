"""One interface for sampling completions, and the engines behind it."""

from echochamber.rollout.interface import Completion, Engine, Nucleus, Sampling
from echochamber.rollout.native import NativeEngine
from echochamber.rollout.sampling import nucleus_logprobs

__all__ = ["Completion", "Engine", "NativeEngine", "Nucleus", "Sampling", "nucleus_logprobs"]

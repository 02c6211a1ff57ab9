"""Measure a model: sample on benchmarks, grade and record completions, compute pass@k, maj@k and shares."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Measure a model: sample benchmarks, grade, record every completion, reduce to pass@k, maj@k and shares."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

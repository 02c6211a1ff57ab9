"""Studies: a file becomes a plan of stages, a store keeps what they make, and a run folder shows it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

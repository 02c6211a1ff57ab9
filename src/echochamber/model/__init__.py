"""The OLMo-style transformer: sizes, forward pass, folders on disk, Hugging Face interop, value head."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Where training text and problems come from: sources, tasks, tokenizer, exact mixtures, shards, batches."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

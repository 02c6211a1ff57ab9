"""Training: losses, the one training step, optimizer, schedule, checkpoints and the resumable loop."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

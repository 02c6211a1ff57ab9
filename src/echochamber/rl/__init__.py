"""Post-training: policy-gradient and supervised algorithms, each a config and how it uses rollouts."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

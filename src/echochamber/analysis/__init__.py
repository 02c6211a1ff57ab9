"""From the records of a run to tables, intervals, tests and plain-word findings."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Tables to figures and one HTML page that opens offline."""

from echochamber.report.page import render

__all__ = ["render"]

from .figures import Figure, Panel, Series
from .material import Material
from .page import render
from .section import Fragment, Need, Table, check_drawings, register_figure, register_section

__all__ = [
    "Figure",
    "Fragment",
    "Material",
    "Need",
    "Panel",
    "Series",
    "Table",
    "check_drawings",
    "register_figure",
    "register_section",
    "render",
]

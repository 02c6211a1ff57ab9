from .figures import Figure, Panel, Series
from .material import ArmGroup, Material
from .page import render
from .section import Fragment, Need, Table, register_figure, register_section

__all__ = [
    "ArmGroup",
    "Figure",
    "Fragment",
    "Material",
    "Need",
    "Panel",
    "Series",
    "Table",
    "register_figure",
    "register_section",
    "render",
]

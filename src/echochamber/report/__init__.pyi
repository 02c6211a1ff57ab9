from .figures import Figure, Panel, Series
from .material import Group, Material
from .page import render
from .section import Fragment, Need, Table, register_figure, register_section

__all__ = [
    "Figure",
    "Fragment",
    "Group",
    "Material",
    "Need",
    "Panel",
    "Series",
    "Table",
    "register_figure",
    "register_section",
    "render",
]

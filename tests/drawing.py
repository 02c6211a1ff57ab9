"""The imports of the package as a drawing: rooms and what each needs. `python tests/drawing.py` prints it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import grimp

PACKAGE = "echochamber"


def import_graph() -> dict[str, set[str]]:
    """Every module with the modules of the package that it imports, those for type checkers included."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    return {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


def room_of(module: str) -> str:
    """The room of a module, empty for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def room_arrows(graph: Mapping[str, Iterable[str]]) -> set[tuple[str, str]]:
    """Which room imports which."""
    pairs = {(room_of(module), room_of(other)) for module, others in graph.items() for other in others}
    return {(a, b) for a, b in pairs if a and b and a != b and a != "__main__"}


def _reached(start: str, arrows: set[tuple[str, str]]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        room = waiting.pop()
        further = {b for a, b in arrows if a == room} - found
        found |= further
        waiting += further
    return found


def necessary(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The arrows that say something: those that no path through another room says already."""
    return {
        (a, b)
        for a, b in arrows
        if not any(b in _reached(c, arrows) for c in {d for start, d in arrows if start == a} - {b})
    }


def drawing() -> str:
    """The rooms as a Mermaid flowchart."""
    arrows = necessary(room_arrows(import_graph()))
    lines = [f"    {a} --> {b}" for a, b in sorted(arrows)]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other in a circle."""
    reach: dict[str, set[str]] = {}
    for module in graph:
        found: set[str] = set()
        waiting = [module]
        while waiting:
            further = {other for other in graph.get(waiting.pop(), ()) if other not in found}
            found |= further
            waiting += further
        reach[module] = found
    groups = {
        tuple(sorted({other for other in reach[module] if module in reach.get(other, ())}))
        for module in graph
        if module in reach[module]
    }
    return sorted(list(group) for group in groups)


if __name__ == "__main__":
    print(drawing())

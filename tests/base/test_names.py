"""One word, one thing: no two classes share a name, and no two modules a basename that confuses."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import echochamber

ROOT = Path(echochamber.__file__).parent
# Basenames that say too little to stand in more than one room.
CONFUSING = ("batches", "objectives", "losses", "memory", "dynamics", "rows", "build", "tables", "runs")


def test_no_two_classes_share_a_name() -> None:
    found = defaultdict(list)
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}


def test_no_confusing_basename_stands_in_two_rooms() -> None:
    found = defaultdict(set)
    for path in ROOT.rglob("*.py"):
        if path.stem in CONFUSING:
            found[path.stem].add(path.relative_to(ROOT).parts[0])
    assert {name: rooms for name, rooms in found.items() if len(rooms) > 1} == {}

"""Which programs tier 1 can run: an allowlist of syntax, names, modules and methods.

This is decided before running. Trying tier 1 and falling back would not work: a program's own `except` can
swallow the interpreter's error and continue with a wrong value.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import re
from collections.abc import Callable
from typing import Any

from echochamber.verify.supported import BUILTINS, FIELDS, METHODS, MODULES

# Names, numbers, operators and contexts: they need no check.
_PLAIN_FIELDS = frozenset(
    (
        "arg", "asname", "attr", "conversion", "ctx", "id", "is_async", "kind", "level", "module", "n",
        "name", "op", "ops", "rest", "s", "simple", "tag", "type_comment", "type_ignores",
    )
)  # fmt: skip
_NODES = frozenset(
    (
        ast.Module, ast.FunctionDef, ast.ClassDef, ast.Return, ast.Assign, ast.AugAssign, ast.AnnAssign,
        ast.For, ast.While, ast.If, ast.Raise, ast.Try, ast.ExceptHandler, ast.Assert, ast.Import,
        ast.ImportFrom, ast.Global, ast.Nonlocal, ast.Expr, ast.Pass, ast.Break, ast.Continue, ast.BoolOp,
        ast.NamedExpr, ast.BinOp, ast.UnaryOp, ast.Lambda, ast.IfExp, ast.Dict, ast.Set, ast.ListComp,
        ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Compare, ast.Call, ast.FormattedValue,
        ast.JoinedStr, ast.Constant, ast.Attribute, ast.Subscript, ast.Starred, ast.Name, ast.List,
        ast.Tuple, ast.Slice, ast.Match, ast.match_case, ast.MatchValue, ast.MatchSingleton,
        ast.MatchSequence, ast.MatchStar, ast.MatchAs, ast.MatchOr, ast.comprehension, ast.arguments,
        ast.arg, ast.keyword, ast.alias,
    )
)  # fmt: skip
_CHILD_FIELDS = {
    kind: tuple(field for field in kind._fields if field not in _PLAIN_FIELDS)
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST)
}

_WORD = re.compile(r"[^\W\d]\w*")
_PLAIN_KEYWORDS = frozenset(
    (
        "False", "None", "True", "and", "break", "continue", "def", "elif", "else", "for", "if", "in", "is",
        "not", "or", "pass", "return", "while",
    )
)  # fmt: skip
# Soft keywords begin statements that are checked node by node, as does anything that is not a plain word.
_TELLING_WORDS = (
    frozenset((*keyword.kwlist, *keyword.softkwlist, *dir(builtins))) - _PLAIN_KEYWORDS - BUILTINS - {"_"}
)
# An attribute, a decorator, bytes, a name of Python's own, type parameters, text that is not ASCII.
_TELLING_SIGNS = re.compile(r"\.\s*[^\W\d]|@|[bB][rR]?['\"]|__|\bdef\s+\w+\s*\[|[^\x00-\x7f]")
# With two triple quotes in all, no backslash and the first mark at the beginning of a line, the text
# between them is one literal. A sign of comment with no quote before it in its line begins a comment.
_DOCSTRING = re.compile(r'^([ \t]*)"""[^"]*"""[ \t]*$', re.MULTILINE)
_COMMENT = re.compile(r"""^([^'"#\n]*)#[^\n]*""", re.MULTILINE)


def is_plain(source: str) -> bool:
    """Whether the words of a program that parses suffice to show that tier 1 can run it.

    Never true where `smallest_tier` returns 2, and several times faster; False means nothing.
    """
    if "'''" in source or "\\" in source:
        return False
    if '"""' in source:
        if source.count('"""') != 2:
            return False
        source = _DOCSTRING.sub(r"\1", source)
    if "#" in source:
        source = _COMMENT.sub(r"\1", source)
    return not _TELLING_SIGNS.search(source) and _TELLING_WORDS.isdisjoint(_WORD.findall(source))


def smallest_tier(tree: ast.Module) -> int:
    """1 if the interpreter of tier 1 supports everything the program uses, else 2."""
    nodes, called = _all_nodes(tree)
    if not _NODES.issuperset({type(node) for node in nodes}):
        return 2
    own = _OwnNames(nodes)
    for node in nodes:
        check = _CHECKS.get(type(node))
        if check is not None and not check(own, node):
            return 2
        if isinstance(node, ast.Attribute) and not own.allows_attribute(node, id(node) in called):
            return 2
    return 1


def _all_nodes(tree: ast.Module) -> tuple[list[ast.AST], set[int]]:
    """Every node, and the ids of those that are called; several times faster than `ast.walk`."""
    nodes: list[ast.AST] = [tree]
    called: set[int] = set()
    for node in nodes:
        kind = type(node)
        if kind is ast.Call:
            called.add(id(vars(node)["func"]))
        for field in _CHILD_FIELDS[kind]:
            value = getattr(node, field, None)
            if value.__class__ is list:
                nodes.extend([item for item in value if isinstance(item, ast.AST)])
            elif isinstance(value, ast.AST):
                nodes.append(value)
    return nodes, called


class _OwnNames:
    """What a program defines itself, and whether its nodes stay within that and the lists."""

    def __init__(self, nodes: list[ast.AST]) -> None:
        self.modules: dict[str, str] = {}
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        for node in nodes:
            learn = _LEARN.get(type(node))
            if learn is not None:
                learn(self, node)

    def learn_name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self.names.add(node.id)

    def learn_argument(self, node: ast.arg) -> None:
        self.names.add(node.arg)

    def learn_function(self, node: ast.FunctionDef) -> None:
        self.names.add(node.name)

    def learn_class(self, node: ast.ClassDef) -> None:
        self.names.add(node.name)
        for item in node.body:
            if isinstance(item, ast.FunctionDef):
                self.attributes.add(item.name)
            elif isinstance(item, ast.Assign):
                self.attributes.update(target.id for target in item.targets if isinstance(target, ast.Name))
            elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                self.attributes.add(item.target.id)

    def learn_attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.ctx, ast.Store):
            self.attributes.add(node.attr)

    def learn_capture(self, node: ast.ExceptHandler | ast.MatchAs | ast.MatchStar) -> None:
        if node.name:
            self.names.add(node.name)

    def learn_import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.modules[alias.asname or alias.name.partition(".")[0]] = alias.name

    def learn_import_from(self, node: ast.ImportFrom) -> None:
        self.names.update(alias.asname or alias.name for alias in node.names)

    def allows_name(self, node: ast.Name) -> bool:
        name = node.id
        if name in self.names or name in BUILTINS or name in self.modules:
            return not name.startswith("__") or name == "__name__"
        # A name unknown to Python too fails in both tiers, and sooner in the first.
        return not name.startswith("__") and not hasattr(builtins, name)

    def allows_attribute(self, node: ast.Attribute, is_called: bool) -> bool:
        if node.attr.startswith("_"):
            return False
        if isinstance(node.value, ast.Name) and node.value.id in self.modules:
            return node.attr in MODULES.get(self.modules[node.value.id], frozenset())
        if node.attr in self.attributes or node.attr in FIELDS:
            return True
        # The interpreter has no bound methods as values.
        return is_called and node.attr in METHODS

    def allows_import(self, node: ast.Import) -> bool:
        return all(alias.name in MODULES for alias in node.names)

    def allows_import_from(self, node: ast.ImportFrom) -> bool:
        known = MODULES.get(node.module or "")
        return known is not None and node.level == 0 and all(alias.name in known for alias in node.names)

    def allows_function(self, node: ast.FunctionDef) -> bool:
        if node.name.startswith("__") and node.name != "__init__":
            return False
        return all(_is_cache(decorator) for decorator in node.decorator_list)

    def allows_class(self, node: ast.ClassDef) -> bool:
        return not (node.bases or node.keywords or node.decorator_list)

    def allows_constant(self, node: ast.Constant) -> bool:
        return not isinstance(node.value, bytes)

    def allows_comprehension(self, node: ast.comprehension) -> bool:
        return not node.is_async


def _is_cache(decorator: ast.expr) -> bool:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
    return name in ("cache", "lru_cache")


_LEARN: dict[type[ast.AST], Callable[[_OwnNames, Any], None]] = {
    ast.Name: _OwnNames.learn_name,
    ast.arg: _OwnNames.learn_argument,
    ast.FunctionDef: _OwnNames.learn_function,
    ast.ClassDef: _OwnNames.learn_class,
    ast.Attribute: _OwnNames.learn_attribute,
    ast.ExceptHandler: _OwnNames.learn_capture,
    ast.MatchAs: _OwnNames.learn_capture,
    ast.MatchStar: _OwnNames.learn_capture,
    ast.Import: _OwnNames.learn_import,
    ast.ImportFrom: _OwnNames.learn_import_from,
}

_CHECKS: dict[type[ast.AST], Callable[[_OwnNames, Any], bool]] = {
    ast.Name: _OwnNames.allows_name,
    ast.Import: _OwnNames.allows_import,
    ast.ImportFrom: _OwnNames.allows_import_from,
    ast.FunctionDef: _OwnNames.allows_function,
    ast.ClassDef: _OwnNames.allows_class,
    ast.Constant: _OwnNames.allows_constant,
    ast.comprehension: _OwnNames.allows_comprehension,
}

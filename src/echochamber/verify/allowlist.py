"""Which programs tier 1 can run: an allowlist of syntax, names, modules and methods.

Decided before running. To try tier 1 and fall back would not do: a program's
own `except` can swallow the interpreter's complaint and go on with a wrong value.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from typing import Any

from echochamber.verify.supported import BUILTINS, FIELDS, METHODS, MODULES

_NODES: tuple[type[ast.AST], ...] = (
    ast.Module, ast.FunctionDef, ast.ClassDef, ast.Return, ast.Assign, ast.AugAssign, ast.AnnAssign,
    ast.For, ast.While, ast.If, ast.Raise, ast.Try, ast.ExceptHandler, ast.Assert, ast.Import,
    ast.ImportFrom, ast.Global, ast.Nonlocal, ast.Expr, ast.Pass, ast.Break, ast.Continue,
    ast.BoolOp, ast.NamedExpr, ast.BinOp, ast.UnaryOp, ast.Lambda, ast.IfExp, ast.Dict, ast.Set,
    ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Compare, ast.Call,
    ast.FormattedValue, ast.JoinedStr, ast.Constant, ast.Attribute, ast.Subscript, ast.Starred,
    ast.Name, ast.List, ast.Tuple, ast.Slice, ast.Match, ast.match_case, ast.pattern,
    ast.comprehension, ast.arguments, ast.arg, ast.keyword, ast.alias, ast.operator, ast.unaryop,
    ast.boolop, ast.cmpop, ast.expr_context,
)  # fmt: skip


def smallest_tier(tree: ast.Module) -> int:
    """1 if the interpreter of tier 1 supports everything the program uses, else 2."""
    checker = _Checker(tree)
    return 1 if checker.supported(tree) else 2


class _Checker:
    """Walks a program once to learn its own names, once more to check it."""

    def __init__(self, tree: ast.Module) -> None:
        self.modules: dict[str, str] = {}
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        for node in ast.walk(tree):
            self._learn(node)

    def _learn(self, node: ast.AST) -> None:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            self.names.add(node.id)
        elif isinstance(node, ast.arg):
            self.names.add(node.arg)
        elif isinstance(node, ast.FunctionDef):
            self.names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            self.names.add(node.name)
            self.attributes.update(item.name for item in node.body if isinstance(item, ast.FunctionDef))
            self.attributes.update(
                target.id
                for item in node.body
                if isinstance(item, ast.Assign | ast.AnnAssign)
                for target in (item.targets if isinstance(item, ast.Assign) else [item.target])
                if isinstance(target, ast.Name)
            )
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            self.attributes.add(node.attr)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            self.names.add(node.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                self.modules[alias.asname or alias.name.partition(".")[0]] = alias.name
        elif isinstance(node, ast.ImportFrom):
            self.names.update(alias.asname or alias.name for alias in node.names)

    def supported(self, tree: ast.Module) -> bool:
        """Whether every node is on the lists."""
        called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        return all(self._allows(node, called) for node in ast.walk(tree))

    def _allows(self, node: ast.AST, called: set[int]) -> bool:
        if not isinstance(node, _NODES):
            return False
        check = _CHECKS.get(type(node))
        if check is not None:
            return check(self, node)
        if isinstance(node, ast.Attribute):
            return self._allows_attribute(node, id(node) in called)
        return True

    def _allows_name(self, node: ast.Name) -> bool:
        name = node.id
        if name.startswith("__") and name != "__name__":
            return False
        if name in self.names or name in self.modules or name in BUILTINS:
            return True
        # A name that Python does not know either fails in both tiers, and sooner in the first.
        return not hasattr(builtins, name)

    def _allows_attribute(self, node: ast.Attribute, is_called: bool) -> bool:
        if node.attr.startswith("_"):
            return node.attr == "__init__"
        if isinstance(node.value, ast.Name) and node.value.id in self.modules:
            return node.attr in MODULES.get(self.modules[node.value.id], frozenset())
        if node.attr in self.attributes or node.attr in FIELDS:
            return True
        return is_called and node.attr in METHODS

    def _allows_import(self, node: ast.Import) -> bool:
        return all(alias.name in MODULES for alias in node.names)

    def _allows_import_from(self, node: ast.ImportFrom) -> bool:
        known = MODULES.get(node.module or "")
        return known is not None and node.level == 0 and all(alias.name in known for alias in node.names)

    def _allows_function(self, node: ast.FunctionDef) -> bool:
        if node.name.startswith("__") and node.name != "__init__":
            return False
        return all(_is_cache(decorator) for decorator in node.decorator_list)

    def _allows_class(self, node: ast.ClassDef) -> bool:
        return not (node.bases or node.keywords or node.decorator_list)

    def _allows_constant(self, node: ast.Constant) -> bool:
        return not isinstance(node.value, bytes)

    def _allows_comprehension(self, node: ast.comprehension) -> bool:
        return not node.is_async


def _is_cache(decorator: ast.expr) -> bool:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
    return name in ("cache", "lru_cache")


_CHECKS: dict[type[ast.AST], Callable[[Any, Any], bool]] = {
    ast.Name: _Checker._allows_name,
    ast.Import: _Checker._allows_import,
    ast.ImportFrom: _Checker._allows_import_from,
    ast.FunctionDef: _Checker._allows_function,
    ast.ClassDef: _Checker._allows_class,
    ast.Constant: _Checker._allows_constant,
    ast.comprehension: _Checker._allows_comprehension,
}

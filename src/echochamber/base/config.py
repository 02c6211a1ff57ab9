"""Strict configs: YAML in, frozen pydantic models out, every mistake reported with its place.

The YAML reader follows the 1.2 core schema where PyYAML's 1.1 surprises:
`1e-6` is a number, `no` and `on` are strings, and a key given twice is an error.
Anchors, aliases and the merge key `<<` work as in YAML 1.1.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from echochamber.base.errors import InputError, did_you_mean
from echochamber.base.variants import Variants

Key = tuple[str | int, ...]


class Config(BaseModel):
    """Base of every config: frozen, unknown keys rejected, values never rewritten."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


C = TypeVar("C", bound=Config)


class _Loader(yaml.SafeLoader):
    """SafeLoader with the implicit types of YAML 1.2."""


_Loader.yaml_implicit_resolvers = {}

_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|)$"), ["~", "n", "N", ""]
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9_]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\.[0-9]+|[0-9][0-9_]*\.[0-9_]*|[0-9][0-9_]*(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


def _construct_float(loader: _Loader, node: yaml.ScalarNode) -> float:
    return float(str(loader.construct_scalar(node)).replace("_", ""))


_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)


class Document:
    """A parsed YAML file: plain data and the line of every key."""

    def __init__(self, data: dict[str, Any], places: dict[Key, str]) -> None:
        self.data = data
        self.places = places

    def place(self, key: Key) -> str:
        """Where `key`, or its nearest enclosing key, was written: `file:line`."""
        while key and key not in self.places:
            key = key[:-1]
        return self.places.get(key, "config")


# The most values a file may expand to: a few lines of nested aliases could stand for billions.
_MOST_VALUES = 1_000_000


class _Plain:
    """Turns the nodes of one file into plain data and notes where every key was written."""

    def __init__(self, loader: _Loader, name: str) -> None:
        self.loader, self.name = loader, name
        self.places: dict[Key, str] = {}
        self.num_values = 0
        self.open: list[yaml.Node] = []

    def place(self, node: yaml.Node) -> str:
        """Where a node begins: `file:line`."""
        return f"{self.name}:{node.start_mark.line + 1}"

    def value(self, node: yaml.Node, key: Key) -> Any:
        """The plain data of the node that holds the value of `key`."""
        self.num_values += 1
        if self.num_values > _MOST_VALUES or any(node is other for other in self.open):
            raise InputError(
                f"{self.place(node)}: {dotted(key)}: aliases that contain themselves, or stand for more than "
                f"{_MOST_VALUES:,} values; write the values out"
            )
        self.places.setdefault(key, self.place(node))
        if isinstance(node, yaml.ScalarNode):
            return self.loader.construct_object(node)
        self.open.append(node)
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, (*key, i)) for i, item in enumerate(node.value)]
            return {field: self.value(item, (*key, field)) for field, item in self.fields(node, key).items()}
        finally:
            self.open.pop()

    def fields(self, node: yaml.Node, key: Key) -> dict[str, yaml.Node]:
        """The value nodes of a mapping by key; keys that `<<` merges in come after the mapping's own."""
        own: dict[str, yaml.Node] = {}
        sources: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise InputError(f"{self.place(key_node)}: {dotted(key)}: expected a key that is one word")
            field = str(self.loader.construct_scalar(key_node))
            is_merge = field == "<<" and key_node.style is None
            if field in own or (is_merge and sources):
                raise InputError(
                    f"{self.place(key_node)}: {dotted((*key, field))}: given twice; remove one of the two"
                )
            if is_merge:
                sources = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
            else:
                own[field] = value_node
                self.places.setdefault((*key, field), self.place(key_node))
        merged: dict[str, yaml.Node] = {}
        for source in sources:
            merged = {**self._mergeable(source, key), **merged}
        return {**merged, **own}

    def _mergeable(self, node: yaml.Node, key: Key) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            raise InputError(
                f"{self.place(node)}: {dotted((*key, '<<'))}: only mappings can be merged in, e.g. <<: *name"
            )
        if any(node is other for other in self.open):
            raise InputError(f"{self.place(node)}: {dotted((*key, '<<'))}: the mapping merges itself")
        self.open.append(node)
        try:
            return self.fields(node, key)
        finally:
            self.open.pop()


def dotted(key: Iterable[str | int]) -> str:
    """`("a", 0, "b")` as `a.0.b`."""
    return ".".join(str(part) for part in key)


def parse_yaml(text: str, name: str) -> Document:
    """Parse YAML text; `name` is shown in messages.

    Raises:
        InputError: not YAML, a key given twice, or not a mapping at the top.
    """
    loader = _Loader(text)
    plain = _Plain(loader, name)
    try:
        node = loader.get_single_node()
        if node is None:
            return Document({}, {(): f"{name}:1"})
        data = plain.value(node, ())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{name}:{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{name}: not valid YAML: {error}") from error
    except RecursionError as error:
        raise InputError(f"{name}: nested too deeply; a study needs no more than a few levels") from error
    finally:
        loader.dispose()
    if not isinstance(data, dict):
        raise InputError(f"{name}:1: expected a mapping of keys to values, found {type(data).__name__}")
    return Document(data, plain.places)


def read_yaml(path: Path) -> Document:
    """Read a YAML file.

    Raises:
        InputError: missing, unreadable or not a YAML mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"cannot read {path}: {reason}. Give the path of a YAML file") from error
    return parse_yaml(text, str(path))


def set_value(document: Document, assignment: str) -> None:
    """Apply one `a.b=c` to a document, in place; `c` is read as YAML.

    Raises:
        InputError: no `=`, or the path runs through a value that has no keys.
    """
    path, separator, text = assignment.partition("=")
    if not separator or not path.strip():
        raise InputError(f"--set {assignment}: expected key=value, e.g. --set seed=7")
    place = f"--set {assignment}"
    value = parse_yaml(f"value: {text}" if text.strip() else "value: null", place).data["value"]
    assign(document, path.strip(), value, place)


def assign(document: Document, path: str, value: Any, place: str) -> None:
    """Set the value of a dotted key in a document, in place.

    Args:
        place: where the value comes from, for messages.

    Raises:
        InputError: the path runs through a value that has no keys, or past the end of a list.
    """
    keys = path.split(".")
    target: Any = document.data
    for depth, part in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(target, list):
            if not part.isdecimal() or int(part) >= len(target):
                raise InputError(
                    f"{place}: {dotted(keys[:depth])} has {len(target)} entries; "
                    f"expected an index from 0 to {len(target) - 1}, not '{part}'"
                )
            if last:
                target[int(part)] = value
            else:
                target = target[int(part)]
        elif isinstance(target, dict):
            if last:
                target[part] = value
            else:
                if target.get(part) is None:
                    target[part] = {}
                target = target[part]
        else:
            raise InputError(f"{place}: {dotted(keys[:depth])} is a value and has no key '{part}'")
    key: Key = tuple(int(p) if p.isdecimal() else p for p in keys)
    document.places = {k: v for k, v in document.places.items() if k[: len(key)] != key}
    document.places[key] = place


def _candidates(annotation: Any) -> list[Any]:
    """The types an annotation may contain, with unions and Annotated unwrapped."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        for extra in typing.get_args(annotation)[1:]:
            if isinstance(extra, Variants):
                return extra.members()
        return _candidates(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [c for part in typing.get_args(annotation) for c in _candidates(part)]
    return [annotation]


def _siblings(model: type[BaseModel], loc: Sequence[str | int]) -> set[str]:
    """Field names allowed at the level of the last part of a pydantic error location."""
    current: list[Any] = [model]
    for part in loc[:-1]:
        following: list[Any] = []
        for item in current:
            origin, args = typing.get_origin(item), typing.get_args(item)
            if isinstance(item, type) and issubclass(item, BaseModel):
                field = item.model_fields.get(str(part))
                if field is not None:
                    following += _candidates(field.annotation)
                elif part == item.__name__ or _is_tag(item, part):
                    following.append(item)
            elif (origin and isinstance(part, str) and issubclass(origin, Mapping) and len(args) == 2) or (
                origin and isinstance(part, int) and args
            ):
                following += _candidates(args[-1] if args[-1] is not Ellipsis else args[0])
        current = following or current
    return {
        name
        for item in current
        if isinstance(item, type) and issubclass(item, BaseModel)
        for name in item.model_fields
    }


def _is_tag(model: type[BaseModel], part: str | int) -> bool:
    return any(
        part in typing.get_args(field.annotation)
        for field in model.model_fields.values()
        if typing.get_origin(field.annotation) is typing.Literal
    )


def _data_key(data: Any, loc: Sequence[str | int]) -> Key:
    """A pydantic location without the union tags that the file does not contain."""
    key: list[str | int] = []
    for i, part in enumerate(loc):
        if isinstance(data, dict) and (part in data or i == len(loc) - 1):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        elif i != len(loc) - 1:
            continue  # a union tag
        else:
            continue
        key.append(part)
    return tuple(key)


def _sentence(error: ErrorDetails, model: type[BaseModel], document: Document) -> str:
    key = _data_key(document.data, error["loc"])
    if error["type"] == "extra_forbidden":
        name = str(error["loc"][-1])
        known = _siblings(model, error["loc"])
        hint = did_you_mean(name, known) or f" Expected one of {', '.join(sorted(known))}."
        return f"{document.place(key)}: {dotted(key)}: unknown key.{hint}"
    if error["type"] == "missing":
        return f"{document.place(key[:-1])}: {dotted(key)}: missing; this key is required"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if error["msg"].startswith("Input should be "):
        message = f"expected {message}"
    if error["type"] != "value_error" or not isinstance(error["input"], dict):
        message = f"{error['input']!r}: {message}"
    return f"{document.place(key)}: {dotted(key)}: {message}".replace(": : ", ": ")


def validate(document: Document, model: type[C]) -> C:
    """Build a config from a parsed document.

    Raises:
        InputError: with file, line and key of every mistake.
    """
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        details = error.errors()
        # A wrong tag or key in a union is reported once per member; keep one line per place.
        lines = dict.fromkeys(_sentence(item, model, document) for item in details)
        raise InputError("\n".join(lines)) from error

"""Strict configs: YAML in, frozen pydantic models out, every mistake with its place.

The YAML reader follows the 1.2 core schema where PyYAML's 1.1 surprises:
`1e-6` is a number, `no` and `on` are strings, and a key given twice is an error.
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


def _to_plain(node: yaml.Node, key: Key, name: str, places: dict[Key, str], loader: _Loader) -> Any:
    places.setdefault(key, f"{name}:{node.start_mark.line + 1}")
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            field = str(loader.construct_scalar(key_node))
            place = f"{name}:{key_node.start_mark.line + 1}"
            if field in result:
                raise InputError(f"{place}: {dotted((*key, field))}: given twice; remove one of the two")
            places[(*key, field)] = place
            result[field] = _to_plain(value_node, (*key, field), name, places, loader)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_to_plain(item, (*key, i), name, places, loader) for i, item in enumerate(node.value)]
    return loader.construct_object(node)


def dotted(key: Iterable[str | int]) -> str:
    """`("a", 0, "b")` as `a.0.b`."""
    return ".".join(str(part) for part in key)


def parse_yaml(text: str, name: str) -> Document:
    """Parse YAML text; `name` is shown in messages.

    Raises:
        InputError: not YAML, a key given twice, or not a mapping at the top.
    """
    loader = _Loader(text)
    places: dict[Key, str] = {}
    try:
        node = loader.get_single_node()
        if node is None:
            return Document({}, {(): f"{name}:1"})
        data = _to_plain(node, (), name, places, loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{name}:{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{name}: not valid YAML: {error}") from error
    finally:
        loader.dispose()
    if not isinstance(data, dict):
        raise InputError(f"{name}:1: expected a mapping of keys to values, found {type(data).__name__}")
    return Document(data, places)


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
    value = parse_yaml(f"value: {text}" if text.strip() else "value: null", f"--set {assignment}").data[
        "value"
    ]
    keys = path.strip().split(".")
    target: Any = document.data
    for depth, part in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(target, list):
            if not part.isdigit() or int(part) >= len(target):
                raise InputError(
                    f"--set {assignment}: {dotted(keys[:depth])} has {len(target)} entries; "
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
            raise InputError(f"--set {assignment}: {dotted(keys[:depth])} is a value and has no key '{part}'")
    key: Key = tuple(int(p) if p.isdigit() else p for p in keys)
    document.places = {k: v for k, v in document.places.items() if k[: len(key)] != key}
    document.places[key] = f"--set {assignment}"


def _candidates(annotation: Any) -> list[Any]:
    """The types an annotation may hold, unions and Annotated unwrapped."""
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
    """Field names allowed beside the last part of a pydantic error location."""
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
        # A wrong tag or key in a union is reported once per member; keep one line a place.
        lines = dict.fromkeys(_sentence(item, model, document) for item in details)
        raise InputError("\n".join(lines)) from error


def load_config(path: Path, model: type[C], overrides: Sequence[str] = ()) -> C:
    """Read a YAML file, apply `a.b=c` overrides, validate.

    Raises:
        InputError: with `file:line: key: ...` for each mistake.
    """
    document = read_yaml(path)
    for assignment in overrides:
        set_value(document, assignment)
    return validate(document, model)

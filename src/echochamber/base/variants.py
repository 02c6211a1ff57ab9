"""Configs of several kinds in one field, chosen by a tag, open to the user's own kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from echochamber.base.errors import InputError
from echochamber.base.registry import Registry


class Variants:
    """Annotation of a field whose config class is looked up by a tag when the file is read.

    `SourceConfig = Annotated[BaseSource, Variants(registry, tag="kind")]`: a
    pydantic union would fix its members when the module is imported, before
    the user's own modules have registered theirs.

    Args:
        registry: tag value to config class; every class has the tag as a `Literal` field.
        tag: name of the field that chooses.
    """

    def __init__(self, registry: Registry[type[Any]], tag: str) -> None:
        self.registry, self.tag = registry, tag

    def members(self) -> list[type[Any]]:
        """The classes registered so far."""
        return [self.registry.get(name) for name in self.registry]

    def _validate(self, value: Any) -> Any:
        if isinstance(value, tuple(self.members())):
            return value
        if not isinstance(value, Mapping):
            raise PydanticCustomError(
                "variant", "expected a mapping with the key '{tag}', found {found}",
                {"tag": self.tag, "found": type(value).__name__},
            )  # fmt: skip
        if self.tag not in value:
            raise PydanticCustomError(
                "variant", "missing the key '{tag}': expected one of {known}",
                {"tag": self.tag, "known": ", ".join(self.registry)},
            )  # fmt: skip
        name = value[self.tag]
        try:
            member = self.registry.get(str(name))
        except InputError as error:
            raise ValueError(f"{self.tag}: {error}") from error
        try:
            return member.model_validate(dict(value))
        except ValidationError as error:
            # The class's tag becomes part of the location, as in pydantic's own tagged unions.
            details = [
                InitErrorDetails(
                    type=_kind(item),
                    loc=(str(name), *item["loc"]),
                    input=item["input"],
                    ctx=item.get("ctx", {}),
                )
                for item in error.errors()
            ]
            raise ValidationError.from_exception_data(error.title, details) from error

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value, info: value.model_dump(mode=info.mode), info_arg=True
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [handler(member.__pydantic_core_schema__) for member in self.members()]}


def tag_of(cls: type[Any], base: type[Any], tag: str, kind: str) -> str:
    """The name that a config class gives itself: the default of its tag.

    Args:
        cls: a class that is to be registered, perhaps the user's own.
        base: what it must derive from.
        kind: what it is called in messages, e.g. `"source kind"`.

    Raises:
        InputError: it does not derive from `base`, does not define all of it, or gives itself no name.
    """
    if not (isinstance(cls, type) and issubclass(cls, base)):
        named = cls.__name__ if isinstance(cls, type) else repr(cls)
        raise InputError(f"the {kind} {named} is no config; expected a class derived from {base.__name__}")
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        raise InputError(f"the {kind} {cls.__name__} does not define {', '.join(missing)}; write it")
    field = cls.model_fields.get(tag)
    if field is None or not isinstance(field.default, str):
        raise InputError(
            f"the {kind} {cls.__name__} does not say its name; write {tag}: Literal['name'] = 'name' in it"
        )
    return field.default


def _kind(item: Any) -> Any:
    """The type of an error in the form that allows raising it again."""
    if item["type"] in ("value_error", "variant"):
        return PydanticCustomError(
            "value_error", "{message}", {"message": item["msg"].removeprefix("Value error, ")}
        )
    return item["type"]

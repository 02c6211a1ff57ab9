"""A field whose config class is chosen by a tag."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from echochamber.base import Config, InputError, Registry, Variants, digest, parse_yaml, validate


class _Part(Config):
    pass


class _Even(_Part):
    kind: Literal["even"] = "even"
    share: float = Field(default=0, ge=0, le=1)


class _Odd(_Part):
    kind: Literal["odd"] = "odd"
    path: str


_PARTS: Registry[type[_Part]] = Registry("part")
_PARTS.register("even", _Even)


class _Top(Config):
    parts: dict[str, Annotated[_Part, Variants(_PARTS, "kind")]]


_PARTS.register("odd", _Odd)  # after the union was written down, as a user's module does


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{kind: even, shrae: 1}", "parts.x.shrae: unknown key. Did you mean 'share'?"),
        ("{kind: even, share: 3}", "parts.x.share: 3: expected less than or equal to 1"),
        ("{kind: ood}", "unknown part 'ood': expected one of even, odd. Did you mean 'odd'?"),
        ("{share: 1}", "missing the key 'kind': expected one of even, odd"),
        ("{kind: odd}", "parts.x.path: missing; this key is required"),
        ("7", "expected a mapping with the key 'kind', found int"),
    ],
)
def test_mistakes_are_named_with_their_place(text: str, expected: str) -> None:
    with pytest.raises(InputError, match="f:2") as caught:
        validate(parse_yaml(f"parts:\n  x: {text}", "f"), _Top)
    assert expected in str(caught.value)


def test_the_chosen_class_is_kept_whole() -> None:
    top = validate(parse_yaml("parts: {x: {kind: odd, path: p}, y: {kind: even}}", "f"), _Top)
    assert top.parts == {"x": _Odd(path="p"), "y": _Even()}
    assert top.model_dump(mode="json")["parts"]["x"] == {"kind": "odd", "path": "p"}
    assert digest(top) != digest(_Top(parts={"x": _Odd(path="q"), "y": _Even()}))
    assert len(_Top.model_json_schema()["properties"]["parts"]["additionalProperties"]["anyOf"]) == 2

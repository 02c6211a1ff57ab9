"""A field whose config class is chosen by a tag."""

from abc import abstractmethod
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from echochamber.base import Config, InputError, Registry, Variants, digest, parse_yaml, tag_of, validate


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


class _Abstract(_Part):
    kind: Literal["abstract"] = "abstract"

    @abstractmethod
    def draw(self) -> None: ...


class _Nameless(_Part):
    pass


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (_Abstract, "the part _Abstract does not define draw; write it"),
        (_Nameless, "the part _Nameless does not say its name; write kind: Literal"),
        (Config, "the part Config is no config; expected a class derived from _Part"),
        (_Even(), "expected a class derived from _Part"),
    ],
)
def test_a_class_that_cannot_be_a_variant_is_refused(cls: Any, message: str) -> None:
    assert tag_of(_Even, _Part, "kind", "part") == "even"
    with pytest.raises(InputError, match=message):
        tag_of(cls, _Part, "kind", "part")

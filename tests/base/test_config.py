"""The config loader: what the user meant, or a sentence with its place."""

from pathlib import Path

import pytest

from echochamber.base import Config, InputError, parse_yaml, read_yaml, set_value, validate


class Inner(Config):
    learning_rate: float = 1e-3
    steps: int = 1


class Outer(Config):
    name: str
    flag: bool = False
    inner: Inner = Inner()
    arms: dict[str, Inner] = {}
    sizes: tuple[str, ...] = ()


def load(tmp_path: Path, text: str, *overrides: str) -> Outer:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    document = read_yaml(path)
    for assignment in overrides:
        set_value(document, assignment)
    return validate(document, Outer)


def test_numbers_and_words_read_as_yaml_1_2() -> None:
    text = (
        "a: 1e-6\nb: no\nc: 1_000\nd: 0.5\ne: on\nf: 1.\ng: -3e4\nh: ~\ni: 12:30\nj: 010\nk: true\nl: 1.5e3"
    )
    data = parse_yaml(text, "x").data
    assert data == {
        "a": 1e-6, "b": "no", "c": 1000, "d": 0.5, "e": "on", "f": 1.0, "g": -3e4, "h": None, "i": "12:30",
        "j": "010", "k": True, "l": 1500.0,
    }  # fmt: skip


def test_loads_with_overrides(tmp_path: Path) -> None:
    config = load(
        tmp_path, "name: a\ninner:\n  steps: 3\n", "inner.learning_rate=1e-6", "arms.x.steps=7", "flag=no"
    )
    assert config.inner == Inner(learning_rate=1e-6, steps=3)
    assert config.arms["x"].steps == 7
    assert config.flag is False


def test_override_of_a_list_entry(tmp_path: Path) -> None:
    assert load(tmp_path, "name: a\nsizes: [pico]\n", "sizes.0=nano").sizes == ("nano",)
    with pytest.raises(InputError, match="expected an index from 0 to 0"):
        load(tmp_path, "name: a\nsizes: [pico]\n", "sizes.3=nano")


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        (
            "name: a\ninner:\n  stepz: 3\n",
            (),
            r"study.yaml:3: inner.stepz: unknown key. Did you mean 'steps'",
        ),
        (
            "name: a\narms:\n  g:\n    learning_rat: 3\n",
            (),
            r"study.yaml:4: arms.g.learning_rat: .*learning_rate",
        ),
        ("flag: true\n", (), r"study.yaml:1: name: missing"),
        ("name: a\ninner:\n  steps: 1.5\n", (), r"study.yaml:3: inner.steps: 1.5: expected a valid integer"),
        ("name: a\n", ("inner.steps=x",), r"--set inner.steps=x: inner.steps: 'x': expected a valid integer"),
        (
            "name: a\n",
            ("inner.stps=1",),
            r"--set inner.stps=1: inner.stps: unknown key. Did you mean 'steps'",
        ),
        ("name: a\nname: b\n", (), r"study.yaml:2: name: given twice"),
        ("name: [a\n", (), r"study.yaml:2: not valid YAML"),
        ("- a\n", (), r"expected a mapping"),
        ("name: a\n", ("name",), r"expected key=value"),
        ("name: a\n", ("name.b=1",), r"name is a value and has no key 'b'"),
        ("name: a\ninner:\n  learning_rate: .nan\n", (), r"inner.learning_rate"),
    ],
)
def test_mistakes_name_their_place(
    tmp_path: Path, text: str, overrides: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load(tmp_path, text, *overrides)


def test_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*nowhere.yaml: No such file"):
        read_yaml(tmp_path / "nowhere.yaml")


def test_merge_keys_fill_in_what_a_mapping_does_not_say() -> None:
    text = (
        "base: &base {kind: x, size: 1, deep: {a: 1}}\nmore: &more {size: 2, extra: 3}\n"
        "one:\n  size: 9\n  <<: *base\ntwo: {<<: [*more, *base], kind: y}\n"
        "three: {<<: {<<: *base, size: 5}}\n"
        "four: {'<<': plain}\n"
    )
    document = parse_yaml(text, "f")
    assert document.data["one"] == {"kind": "x", "size": 9, "deep": {"a": 1}}
    assert document.data["two"] == {"size": 2, "extra": 3, "kind": "y", "deep": {"a": 1}}
    assert document.data["three"] == {"kind": "x", "size": 5, "deep": {"a": 1}}
    assert document.data["four"] == {"<<": "plain"}
    # A copy each, and each key's place is where it was written.
    assert document.data["one"]["deep"] is not document.data["base"]["deep"]
    assert (document.place(("one", "size")), document.place(("one", "kind"))) == ("f:4", "f:1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a {x: 1}\nb: {<<: *a, <<: *a}", r"f:2: b.<<: given twice"),
        ("b: {<<: 3}", r"f:1: b.<<: only mappings can be merged in"),
        ("a: &a {<<: *a}", r"merges itself|found undefined alias"),
        ("a: &a {b: *a}", r"f:1: .*aliases that contain themselves"),
        ("b: {? [x, y] : 3}", r"f:1: b: expected a key that is one word"),
        ("a: &a {x: 1, x: 2}\nb: {<<: *a}", r"f:1: a.x: given twice"),
        ("[" * 3000, r"nested too deeply"),
    ],
)
def test_aliases_that_lead_nowhere_are_sentences(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_yaml(text, "f")


def test_a_few_aliases_cannot_stand_for_billions() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(InputError, match="more than 1,000,000 values"):
        parse_yaml("\n".join(lines), "f")

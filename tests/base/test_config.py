"""The config loader: what the user meant, or a sentence with its place."""

from pathlib import Path

import pytest

from echochamber.base import Config, InputError, load_config, parse_yaml


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
    return load_config(path, Outer, overrides)


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
        load_config(tmp_path / "nowhere.yaml", Outer)

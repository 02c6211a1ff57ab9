# ruff: noqa: E501 - payloads read best side by side
"""Whatever a sandbox sends or a journal holds becomes a result, a verdict, and a line that can be stored."""

import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echochamber.verify import ExecutionLimits, Grader, Outcome, Rules, get_rules
from echochamber.verify.channel import STATUSES, answer_of, checked, message_of, result_of
from echochamber.verify.journal import Journal
from echochamber.verify.outcomes import Execution

# 250 examples of 60 payloads each: more than 10,000, in a few seconds.
PAYLOADS, EXAMPLES = 60, 180

texts = st.text(st.characters(exclude_categories=()), max_size=12) | st.sampled_from(
    [
        "18", "-0", "007", "1e999", "1e-999999999999999999999", "1E+999999", "9" * 4096, "9" * 60_000, "0" * 4096,
        "nan", "-inf", "NaN", "sNaN", "NaN1", "Infinity", "1/0", "0/0", "18/1", "1/" + "9" * 4094, "1_000", " 18",
        "١٨", "18\n", "\ud83d", "7\ud83d", "\x00", "\x1b[2J", "True", "false", "\\frac{1}{0}", "1" + "e9" * 1000,
        "(" * 4000, "ok", "int", "[1, 2]", "{", "0x12", "18.000", "1e5", ".5", "5.", "--5", "+5",
    ]
)  # fmt: skip
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
kinds = st.sampled_from(["int", "float", "decimal", "ratio", "bool", "none", "str", "latex", "other"])
honest = st.fixed_dictionaries({"status": st.just("ok"), "kind": kinds, "value": texts, "output": texts})


@st.composite
def nearly_honest(draw: st.DrawFn) -> Any:
    """An honest message with one field exchanged, gone or added."""
    message = draw(honest)
    name = draw(st.sampled_from(["status", "kind", "value", "output", "extra"]))
    if draw(st.booleans()):
        message[name] = draw(anything)
    else:
        message.pop(name, None)
    return message


payloads = honest | nearly_honest() | anything


def framed(body: bytes) -> bytes:
    return struct.pack("<I", len(body)) + body


answers = st.one_of(
    st.binary(max_size=80),
    st.binary(max_size=80).map(framed),
    payloads.map(lambda message: framed(json.dumps(message).encode())),
    payloads.map(lambda message: framed(json.dumps(message).encode())[:-1]),
    payloads.map(lambda message: framed(json.dumps(message).encode("utf-16"))),
    st.sampled_from([b"", framed(b"[" * 60_000), framed(b"9" * 60_000), framed(b"{}") * 2, b"\xff\xff\xff\xff{}"]),
)  # fmt: skip


class Puppet:
    """A pool whose programs give what it is told."""

    def __init__(self) -> None:
        self.results: list[Execution] = []

    def run(self, sources: Iterable[str], expected: int) -> list[Execution]:
        return [self.results[index] for index, _ in enumerate(sources)]

    def close(self) -> None:
        pass


class MathAlone:
    """The rules for mathematical answers without the processes that ask a computer algebra system."""

    name = "math"

    def __init__(self) -> None:
        self._rules: Rules = get_rules("math")
        self.check_gold, self.value_equals = self._rules.check_gold, self._rules.value_equals

    def text_equals(self, answers: Sequence[str], golds: Sequence[str]) -> list[bool]:
        from echochamber.verify.rules import _decided

        return [bool(_decided(answer, gold)) for answer, gold in zip(answers, golds, strict=True)]


@pytest.fixture
def puppet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Grader, Puppet]]:
    rules = MathAlone()
    monkeypatch.setattr(
        "echochamber.verify.grader.get_rules",
        lambda name: rules if name == "math" else get_rules(name),
    )
    with Grader() as grader:
        grader._interpreters = Puppet()  # type: ignore[assignment]
        yield grader, grader._interpreters  # type: ignore[misc]


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(
    messages=st.lists(payloads, min_size=PAYLOADS // 2, max_size=PAYLOADS // 2),
    raw=st.lists(answers, min_size=PAYLOADS // 2, max_size=PAYLOADS // 2),
)
def test_any_payload_becomes_a_verdict_that_can_be_stored(
    puppet: tuple[Grader, Puppet], messages: list[Any], raw: list[bytes]
) -> None:
    grader, pool = puppet
    pool.results = [*map(result_of, messages), *map(answer_of, raw)]
    for result in pool.results:
        # What the journal holds of a result is read as that result.
        line = json.dumps({"key": "k", **asdict(result)}).encode()
        assert checked(message_of(line)) == result
    programs = [f"def f():\n    return {number}" for number in range(len(pool.results))]
    for rules, gold in (("gsm8k", "18"), ("math", "\\frac{1}{2}"), ("aime", "7")):
        grader._journal._known.clear()
        verdicts = grader.grade(programs, [gold] * len(programs), rules=rules)
        json.dumps([asdict(verdict) for verdict in verdicts], ensure_ascii=False).encode()
        pa.array([verdict.answer for verdict in verdicts], pa.string())
        assert all(verdict.outcome in Outcome and verdict.reward in (0.0, 1.0) for verdict in verdicts)


class Hash:
    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    "message",
    [
        None, 18, "ok", ["ok"], {}, {"status": ["ok"]}, {"status": {}}, {"status": Hash()}, {"status": "correct"},
        {"status": "ok"}, {"status": "ok", "kind": "int", "value": 18, "output": ""},
        {"status": "ok", "kind": [], "value": "18", "output": ""},
        {"status": "ok", "kind": "gold", "value": "18", "output": ""},
        {"status": "ok", "kind": "int", "value": "9" * 60_000, "output": ""},
        {"status": "ok", "kind": "int", "value": "18", "output": None},
    ],
)  # fmt: skip
def test_what_is_no_result_is_a_program_that_failed(message: Any) -> None:
    assert result_of(message) == Execution("runtime_error")


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        ("int", "-18", "int"), ("int", "eighteen", "other"), ("int", "1_8", "other"), ("int", "١٨", "other"),
        ("float", "1e+16", "float"), ("float", "1e9999", "other"), ("float", "0x1p3", "other"),
        ("decimal", "0E-7", "decimal"), ("decimal", "1E+99999999", "other"), ("decimal", "NaN", "decimal"),
        ("ratio", "-1/3", "ratio"), ("ratio", "1/0", "other"), ("ratio", "1/00", "other"), ("bool", "yes", "other"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_written_as_its_kind_is_no_number(kind: str, value: str, read: str) -> None:
    assert result_of({"status": "ok", "kind": kind, "value": value, "output": ""}).kind == read


def test_a_program_cannot_claim_an_outcome_that_is_the_graders_to_give() -> None:
    for status in STATUSES:
        claimed = answer_of(framed(json.dumps({"status": status}).encode()))
        assert claimed.status == (status if status in ("memory", "syntax_error") else "runtime_error")


HOSTILE_LINES = (
    b"broken", b"", b"null", b"[]", b'"18"', b"{}", b'{"key": ["a"], "status": "ok"}', b'{"key": "a"}', b"\xff\xfe\x00",
    b'{"key": "a", "status": ["ok"], "kind": "int", "value": "1", "output": ""}', b"[" * 100_000, b"9" * 100_000,
    b'{"key": "a", "status": "ok", "kind": "int", "value": ' + b"9" * 60_000 + b', "output": ""}', b'{"key": 1}\x00',
    b'{"key": "a", "status": "correct", "kind": "int", "value": "1", "output": ""}', b"\xef\xbb\xbf{}",
)  # fmt: skip


def test_no_line_of_a_journal_stops_a_restart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, path = "def f():\n    return 18", tmp_path / "verdicts.jsonl"
    with Grader(journal=path) as grader:
        first = grader.grade([program], ["18"])
        key = next(iter(grader._journal._known)).encode()
    good = path.read_bytes()
    path.write_bytes(b"\n".join(HOSTILE_LINES).replace(b'"a"', b'"' + key + b'"') + b"\n")
    with Grader(journal=path) as grader:
        assert grader.grade([program], ["18"]) == first
    assert path.read_bytes().endswith(good)
    said = capsys.readouterr().err
    assert said.count("hold no result of a program") == 1
    with Grader(journal=path) as grader:
        grader._interpreters = None
        assert grader._journal.get(key.decode()) is not None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.binary(max_size=60) | payloads.map(lambda p: json.dumps(p).encode()), max_size=8))
def test_any_journal_is_read(tmp_path: Path, lines: list[bytes]) -> None:
    path = tmp_path / "verdicts.jsonl"
    path.write_bytes(b"\n".join(lines))
    journal = Journal(path, ExecutionLimits())
    assert all(isinstance(result, Execution) for result in journal._known.values())

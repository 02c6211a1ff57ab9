"""What is shown to the user: where it goes, who hears it instead, and that nothing goes around it."""

from __future__ import annotations

import ast
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import echochamber
from echochamber.base import listening, messages, mute_messages, note, progress, say, say_error, warn


@pytest.fixture
def muted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(messages._Process, "muted", False)
    mute_messages()
    return


def test_results_and_notes_go_to_stdout_warnings_and_errors_to_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say("one line\nand another")
    note("a note")
    warn("a warning")
    say_error("an error")
    captured = capsys.readouterr()
    assert captured.out == "one line\nand another\nnote: a note\n"
    assert captured.err == "warning: a warning\nerror: an error\n"


@pytest.mark.parametrize("show", [say, note, warn, say_error])
def test_what_a_model_wrote_cannot_steer_the_terminal(show, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    heard: list[str] = []
    show("a\x1b[2Jb\u202ec")
    with listening(heard.append):
        show("a\x1b[2Jb\u202ec")
    captured = capsys.readouterr()
    assert (captured.out + captured.err).endswith("a\\x1b[2Jb\\u202ec\n")
    assert heard[0].endswith("a\\x1b[2Jb\\u202ec")


def test_a_listener_hears_everything_in_order_and_the_terminal_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    heard: list[str] = []
    with listening(heard.append):
        say("1\n2")
        note("3")
        warn("4")
        say_error("5")
    assert heard == ["1\n2", "note: 3", "warning: 4", "error: 5"]
    assert capsys.readouterr() == ("", "")
    say("shown again")
    assert capsys.readouterr().out == "shown again\n"


def test_listeners_nest_and_end_with_their_block_even_by_an_error() -> None:
    outer: list[str] = []
    inner: list[str] = []
    with listening(outer.append):
        with pytest.raises(KeyError), listening(inner.append):
            say("inside")
            raise KeyError
        say("outside")
    assert (inner, outer) == (["inside"], ["outside"])


def test_each_thread_has_its_own_listeners_and_helpers_use_anybodys() -> None:
    heard: dict[str, list[str]] = {"a": [], "b": []}
    both = threading.Barrier(2)

    def listen(name: str) -> None:
        with listening(heard[name].append):
            both.wait()
            for number in range(100):
                say(f"{name}{number}")
            both.wait()

    threads = [threading.Thread(target=listen, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == {name: [f"{name}{number}" for number in range(100)] for name in "ab"}
    with listening(heard["a"].append):
        helper = threading.Thread(target=say, args=("of a helper thread",))
        helper.start()
        helper.join()
    assert heard["a"][-1] == "of a helper thread"


def test_a_muted_process_shows_only_errors(muted: None, capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[str] = []
    for show in (say, note, warn):
        show("nothing")
        with listening(heard.append):
            show("nothing")
    say_error("the reason why the job ends")
    assert heard == []
    assert capsys.readouterr() == ("", "error: the reason why the job ends\n")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_stand_above_a_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress("work", 2) as bar:
        bar.update(1)
        say("a line that appears meanwhile")
        bar.update(2)
    lines = [line for line in terminal.getvalue().splitlines() if "a line that appears meanwhile" in line]
    assert len(lines) == 1
    # Only the codes that clear the bar's old line stand beside it.
    assert "work" not in lines[0]
    assert terminal.getvalue().index("a line that appears meanwhile") < terminal.getvalue().rindex("work")


def test_whoever_listens_hears_progress_as_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", _Terminal())
    heard: list[str] = []
    with listening(heard.append), progress("work", 2) as bar:
        bar.update(2)
    assert len(heard) == 1
    assert heard[0].startswith("work: 2/2")


# Tables need rich's own console; `bench.busy` speaks to its helper process by pipes.
_OTHER_WAYS = {"base/messages.py", "cli/terminal.py", "bench/busy.py"}


def test_nothing_else_in_the_package_writes_to_the_terminal() -> None:
    root = Path(echochamber.__file__).parent
    found = []
    for path in sorted(root.rglob("*.py")):
        if str(path.relative_to(root)) in _OTHER_WAYS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if name in ("print", "warnings.warn", "sys.stdout.write", "sys.stderr.write") or name.endswith(
                (".echo", ".secho")
            ):
                found.append(f"{path.relative_to(root)}:{node.lineno}: {name}")  # type: ignore[attr-defined]
    assert found == []

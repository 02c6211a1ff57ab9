"""Signals become requests that loops poll."""

import os
import signal
import threading
from pathlib import Path

import pytest

from echochamber.base import Interrupted, stop_requested, stop_signals


def test_one_signal_asks_and_two_stop() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_signals():
        assert stop_requested() == ""
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop_requested() == "SIGTERM"
        with stop_signals():
            assert stop_requested() == "SIGTERM"
        with pytest.raises(Interrupted, match="second SIGINT"):
            os.kill(os.getpid(), signal.SIGINT)
    assert stop_requested() == ""
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_file_and_further_signals_ask_too(tmp_path: Path) -> None:
    flag = tmp_path / "stop"
    with stop_signals(flag=flag):
        assert stop_requested() == ""
        flag.touch()
        assert stop_requested() == "a request to stop"
    assert stop_requested() == ""
    with stop_signals(also=(signal.SIGUSR2,)):
        os.kill(os.getpid(), signal.SIGUSR2)
        assert stop_requested() == "SIGUSR2"


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    seen = []

    def work() -> None:
        with stop_signals():
            seen.append(stop_requested())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [""]

"""The grader's side of the comparer: pairs in, equal or not out, even if a pair crashes the library."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from echochamber.verify.confined import ForkServers
from echochamber.verify.sandboxed import confinement
from echochamber.verify.sandboxed.comparer import DIFFERENT, EQUAL

# A pair takes up to 30 ms; one such as 10^{10^{10}} would take unlimited time or memory.
PAIR_SECONDS = 2.0
_CHUNK = 16
_MEMORY_MIB = 512


class Comparer:
    """Compares mathematical answers in confined processes of its own.

    Where confinement cannot be installed it runs in plain processes: it parses
    text with a library of ours and never runs a program.
    """

    def __init__(self, size: int | None = None) -> None:
        self._servers = ForkServers(
            "comparer",
            size or min(4, os.cpu_count() or 1),
            memory_mib=_MEMORY_MIB,
            seconds=PAIR_SECONDS * _CHUNK,
            confined=not confinement.refusal(),
        )
        self._known: dict[str, bytes] = {}

    def equal(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """Whether each (gold, answer) pair is equal by algebra; a pair that ends its process is not.

        Raises:
            EchoError: the comparer's processes cannot be started.
        """
        return [byte == EQUAL for byte in self.ask("equal", pairs)]

    def ask(self, rule: str, questions: Sequence[tuple[str, str | tuple[str, ...]]]) -> list[bytes]:
        """The answers of a rule of `sandboxed.comparer`: `1`, `0`, or `?` where nothing could be parsed.

        A question that takes more than `PAIR_SECONDS`, or all memory, is answered `0`.

        Raises:
            EchoError: the comparer's processes cannot be started.
        """
        keys = [json.dumps([rule, question]) for question in questions]
        left: list[tuple[str, object]] = [
            (key, question)
            for key, question in dict(zip(keys, questions, strict=True)).items()
            if key not in self._known
        ]
        while left:
            left = self._round(rule, left)
        return [self._known[key] for key in keys]

    def _round(self, rule: str, left: Sequence[tuple[str, object]]) -> list[tuple[str, object]]:
        """Ask everything once; returns the questions that came after one that ended its process."""
        chunks = [left[start : start + _CHUNK] for start in range(0, len(left), _CHUNK)]
        answers = [b""] * len(chunks)

        def finish(index: int, answer: bytes, overran: bool) -> None:
            answers[index] = answer

        jobs: list[tuple[dict[str, object], float]] = []
        for chunk in chunks:
            questions = [question for _, question in chunk]
            request = {"rule": rule, "questions": questions, "seconds": PAIR_SECONDS}
            jobs.append((request, PAIR_SECONDS * (len(chunk) + 1)))
        self._servers.run(jobs, finish)
        again: list[tuple[str, object]] = []
        for chunk, answer in zip(chunks, answers, strict=True):
            for (key, _), byte in zip(chunk, answer, strict=False):
                self._known[key] = bytes((byte,))
            if len(answer) < len(chunk):
                self._known[chunk[len(answer)][0]] = DIFFERENT
                again += chunk[len(answer) + 1 :]
        return again

    def close(self) -> None:
        """End the processes."""
        self._servers.close()

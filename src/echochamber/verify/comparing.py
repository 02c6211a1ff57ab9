"""The grader's side of the comparer: pairs in, equal or not out, whatever a pair does to the library."""

from __future__ import annotations

import os
from collections.abc import Sequence

from echochamber.verify.confined import ForkServers
from echochamber.verify.sandboxed import confinement
from echochamber.verify.sandboxed.comparer import EQUAL

# One pair costs up to 30 ms; one such as 10^{10^{10}} seconds or memory without end.
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
        self._known: dict[tuple[str, str], bool] = {}

    def equal(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """Whether each (gold, answer) is equal by math-verify; a pair that ends its process is not.

        Raises:
            EchoError: the comparer's processes cannot be started.
        """
        left = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        while left:
            chunks = [left[start : start + _CHUNK] for start in range(0, len(left), _CHUNK)]
            answers: list[bytes] = [b""] * len(chunks)

            def finish(index: int, answer: bytes, overran: bool, answers: list[bytes] = answers) -> None:
                answers[index] = answer

            jobs = [
                ({"pairs": chunk, "seconds": PAIR_SECONDS}, PAIR_SECONDS * (len(chunk) + 1))
                for chunk in chunks
            ]
            self._servers.run(jobs, finish)
            left = []
            for chunk, answer in zip(chunks, answers, strict=True):
                for pair, byte in zip(chunk, answer, strict=False):
                    self._known[pair] = bytes((byte,)) == EQUAL
                if len(answer) < len(chunk):
                    self._known[chunk[len(answer)]] = False
                    left += chunk[len(answer) + 1 :]
        return [self._known[pair] for pair in pairs]

    def close(self) -> None:
        """End the processes."""
        self._servers.close()

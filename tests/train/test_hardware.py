"""What the training loop asks of the machine."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator is told")
def test_freed_memory_is_used_again_instead_of_fetched_from_the_kernel() -> None:
    script = """
import resource, sys, torch
from echochamber.train import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def work():
    for _ in range(10):
        torch.ones(2**24)  # 64 MiB
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = {
        mode: int(
            subprocess.run([sys.executable, "-c", script, mode], capture_output=True, check=True).stdout
        )
        for mode in ("plain", "keep")
    }
    assert faults["keep"] < faults["plain"] / 10

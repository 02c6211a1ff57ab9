"""The processors a process was given."""

import os
import subprocess
import sys

import pytest

from echochamber.base import machine_cpus


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_the_processors_are_those_at_the_start() -> None:
    script = (
        "import os\nfrom echochamber.base import machine_cpus\nbefore = os.sched_getaffinity(0)\n"
        "os.sched_setaffinity(0, {min(before)})\nassert machine_cpus() == before\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    assert machine_cpus()

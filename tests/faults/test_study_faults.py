"""A study with GRPO, PPO and Expert Iteration, killed many times: the same files as undisturbed.

`tests/faults/soak.py` does the same for as long as you like.
"""

import os
import random
from pathlib import Path

import pytest
from forkserver import ForkServer
from study_chains import WORK, injected_chain, random_chain, study_digests

EVERYTHING = bool(os.environ.get("ECHOCHAMBER_SOAK"))


@pytest.mark.long
def test_a_study_killed_at_many_points_and_times(tmp_path: Path) -> None:
    moments = random.Random(3)
    with ForkServer() as server:
        whole = server.run(WORK, folder=tmp_path / "whole")
        assert whole.status == 0, whole.said
        expected = study_digests(tmp_path / "whole")
        chain = injected_chain(
            server, tmp_path / "injected", expected, moments, most_points=120 if EVERYTHING else 200
        )
        assert not chain.problems, chain
        assert len(chain.kills) >= 3
        if EVERYTHING:
            timed = random_chain(server, tmp_path / "timed", expected, moments, kills=10, longest=5.0)
            assert not timed.problems, timed

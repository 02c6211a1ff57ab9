"""The processes of a job, as one process alone sees them."""

import subprocess
import sys

import pytest
import torch

from echochamber.base import InputError
from echochamber.train import World


def test_a_process_alone_needs_no_torch_until_it_computes() -> None:
    code = (
        "import sys\nfrom echochamber.train import another_ended, ends_first, start_world\n"
        "world = start_world()\n"
        "assert world.is_main and ends_first() and not another_ended()\n"
        "assert world.on_main(lambda: 3) == 3 and world.gather(2) == [2] and not world.any(False)\n"
        "assert 'torch' not in sys.modules\nprint(world.device.type)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_batch_is_divided_evenly() -> None:
    assert World(1, 4).rows(8, "batch") == slice(2, 4)
    with pytest.raises(InputError, match="batch 9 is not divisible by the 4 processes"):
        World(1, 4).rows(9, "batch")


def test_uneven_parts_cover_everything() -> None:
    parts = [World(rank, 3).part(7) for rank in range(3)]
    assert [len(range(7)[part]) for part in parts] == [3, 2, 2]
    assert [item for part in parts for item in range(7)[part]] == list(range(7))

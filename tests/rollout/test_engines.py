"""Engines by name."""

import subprocess
import sys

import pytest
from contract import TOKENIZER, sharp_model

from echochamber.base import InputError
from echochamber.rollout import AUTO, NativeEngine, make_engine


def test_engines_by_name() -> None:
    for name in ("native", AUTO):
        assert isinstance(make_engine(name, sharp_model(), TOKENIZER), NativeEngine)
    with pytest.raises(InputError, match="unknown rollout engine 'nativ'.*Did you mean 'native'"):
        make_engine("nativ", sharp_model(), TOKENIZER)


def test_asking_and_the_names_of_engines_need_no_pytorch() -> None:
    program = (
        "import sys\n"
        "from echochamber.rollout import ENGINES, Completion, Sampling, check_fit, grade, sample\n"
        "assert list(ENGINES) == ['native', 'hf', 'vllm']\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

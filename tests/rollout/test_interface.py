"""What every engine refuses: prompts that do not fit, and settings without meaning."""

import pytest
from contract import EOS, PAD, sharp_model

from echochamber.base import InputError
from echochamber.rollout import NativeEngine, Sampling, check_fit


def test_prompts_that_leave_too_little_room_are_refused_in_one_sentence() -> None:
    prompts = [[1] * 20, [1] * 70, []]
    assert check_fit(prompts, max_new_tokens=58, context_length=128) == 70
    with pytest.raises(InputError) as refused:
        check_fit(prompts, max_new_tokens=59, context_length=128, what="task 'train'")
    assert str(refused.value) == (
        "the longest prompt of task 'train' has 70 tokens; with max_new_tokens 59 it exceeds the model's "
        "context of 128. Lower max_new_tokens to at most 58, or use a model with a context_length of at "
        "least 129"
    )
    with pytest.raises(InputError, match="has 70 tokens.*Ask shorter questions, or use a model with"):
        check_fit(prompts, max_new_tokens=59, context_length=70)
    assert check_fit([], max_new_tokens=59, context_length=70) == 0


def test_where_the_context_may_end_a_completion_one_token_must_fit() -> None:
    assert check_fit([[1] * 69], max_new_tokens=59, context_length=70, whole=False) == 69
    with pytest.raises(InputError, match="the longest prompt has 70 tokens"):
        check_fit([[1] * 70], max_new_tokens=59, context_length=70, whole=False)


def test_bad_prompts_are_the_users_mistake() -> None:
    engine = NativeEngine(sharp_model(), eos_id=EOS, pad_id=PAD)
    with pytest.raises(InputError, match="longest prompt has 64 tokens.*context of 64. Ask shorter"):
        engine.generate([[1], [1] * 64], Sampling(), num_samples=1, seed=0, step=0)
    with pytest.raises(InputError, match="prompt 0 is empty"):
        engine.generate([[]], Sampling(), num_samples=1, seed=0, step=0)
    assert engine.generate([], Sampling(), num_samples=3, seed=0, step=0) == []


def test_settings_are_checked() -> None:
    for bad in ({"temperature": -1}, {"top_p": 0}, {"top_p": 1.1}, {"top_k": -1}, {"max_new_tokens": 0}):
        with pytest.raises(ValueError, match="Input should be"):
            Sampling(**bad)

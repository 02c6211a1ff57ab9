import math
from collections.abc import Sequence

import pytest
import torch
from test_evaluate import Letters

from echochamber.evaluation import format_probabilities
from echochamber.model import build, size_config

QUESTIONS = ["What is 3 + 4?", "How much is 10 - 2, in all?"]
REFERENCES = {
    "tinygsm": ["def simple():\n    return 7", "def simple():\n    return 8"],
    "boxed": ["It is \\boxed{7}", "So, \\boxed{8}"],
}


class Tokenizer(Letters):
    def encode_solution(self, text: str) -> list[int]:
        return [ord(c) for c in text]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))


def by_hand(model: torch.nn.Module, question: str, solution: str) -> list[float]:
    """One token at a time, one sequence at a time."""
    prompt = Tokenizer().encode_prompts([question])[0]
    ids = [ord(c) for c in solution] + [0]
    found = []
    with torch.no_grad():
        for i, token in enumerate(ids):
            logits = model(torch.tensor([prompt + ids[:i]]))[0, -1].double()
            found.append(float(torch.log_softmax(logits, -1)[token]))
    return found


def test_equals_one_token_at_a_time() -> None:
    model = build(size_config("pico", vocab_size=128, context_length=96), seed=0)
    found = {
        p.format: p for p in format_probabilities(model, Tokenizer(), QUESTIONS, REFERENCES, batch_size=1)
    }
    rows = {
        n: [by_hand(model, q, s) for q, s in zip(QUESTIONS, REFERENCES[n], strict=True)] for n in REFERENCES
    }
    totals = {name: [sum(row) for row in some] for name, some in rows.items()}
    for name, one in found.items():
        assert one.reference_logprob == pytest.approx(sum(totals[name]) / 2, abs=1e-3)
        tokens = sum(len(row) for row in rows[name])
        assert one.reference_logprob_per_token == pytest.approx(sum(totals[name]) / tokens, abs=1e-5)
    assert found["tinygsm"].opening == "def simp"
    mass = sum(math.exp(sum(row[:8])) for row in rows["tinygsm"]) / 2
    assert found["tinygsm"].opening_mass == pytest.approx(mass, rel=1e-3)
    assert found["boxed"].opening == ""
    assert found["boxed"].opening_mass is None
    assert sum(one.reference_share for one in found.values()) == pytest.approx(1.0)
    share = [math.exp(totals["boxed"][i]) / sum(math.exp(totals[n][i]) for n in totals) for i in range(2)]
    assert found["boxed"].reference_share == pytest.approx(sum(share) / 2, rel=1e-3)


def test_batches_and_padding_change_nothing() -> None:
    model = build(size_config("pico", vocab_size=128, context_length=96), seed=0)
    one = format_probabilities(model, Tokenizer(), QUESTIONS, REFERENCES, batch_size=1)
    both = format_probabilities(model, Tokenizer(), QUESTIONS, REFERENCES, batch_size=2)
    for a, b in zip(one, both, strict=True):
        assert a.reference_logprob == pytest.approx(b.reference_logprob, abs=1e-3)


def test_every_question_needs_a_reference() -> None:
    model = build(size_config("pico", vocab_size=128, context_length=96), seed=0)
    with pytest.raises(ValueError, match="one reference solution"):
        format_probabilities(model, Tokenizer(), QUESTIONS, {"boxed": ["7"]})

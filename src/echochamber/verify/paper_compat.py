"""A second opinion: completions scored as the paper's released code scored them.

Reproduces what `openrlhf/utils/math_verifier.py` and `inference/metrics.py` of
rosieyzh/openrlhf-pretrain (arXiv 2504.07912) do, mistakes included, so that a
report can show "as published" beside "as measured". It is the only place that
looks at a prompt: the released reward parses prompt and response together.
Nothing is ever trained on it.

Two deviations. Programs run in our sandbox instead of the training process, so
one that attacks the verifier fails here. A program that the allowed tiers cannot run counts as failed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from echochamber.base import InputError
from echochamber.formats.code import ParseError, parse_python
from echochamber.verify.allowlist import smallest_tier
from echochamber.verify.comparing import Comparer
from echochamber.verify.grader import Grader
from echochamber.verify.outcomes import ExecutionLimits
from echochamber.verify.programs import Prepared
from echochamber.verify.sandboxed.comparer import EQUAL, UNPARSED

TEXT, LLM_CODE, TINYGSM = "text", "llm-code", "tinygsm-code"
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_ENTRY = "simple_math_problem"
# A single word anywhere in the text decides: "deficit" makes it code.
_MARKERS = ((LLM_CODE, "<llm-code>"), (TINYGSM, "def"))


@dataclass(frozen=True, slots=True)
class PublishedVerdict:
    """What the released code says about one completion.

    Attributes:
        response_type: `text`, `llm-code` or `tinygsm-code`.
        reward: 1.0 or 0.0.
        parsed: whether any answer was found; a completion without one left the published counts.
        compared: the text searched for an answer: a program's value, or prompt and response.
    """

    response_type: str
    reward: float
    parsed: bool
    compared: str


@dataclass(frozen=True, slots=True)
class PublishedMetrics:
    """The results of the released evaluation for n samples of each problem.

    Attributes:
        pass_at_n: fraction of problems with a rewarded sample.
        majority: fraction of problems the published vote calls right.
        share: samples by response type over all samples; sums to less than 1 where some did not parse.
        accuracy: mean reward of the samples counted, by response type.
    """

    pass_at_n: float
    majority: float
    share: dict[str, float]
    accuracy: dict[str, float]


@dataclass(frozen=True, slots=True)
class HackFloor:
    """Mean reward of responses that contain no answer, under both scorings.

    Attributes:
        published, measured: by kind of response: `empty`, `prompt` (the question again), `repetition`
            (the question's last number, twenty times).
    """

    published: dict[str, float]
    measured: dict[str, float]


class PaperCompat:
    """Scores completions by the released rules; owns the sandbox processes.

    Args:
        tiers: sandboxes that programs may use; without tier 2 those that need it count as failed.
        limits: of a program; by default those of the released reward.
    """

    def __init__(self, *, tiers: Sequence[int] = (1,), limits: ExecutionLimits | None = None) -> None:
        self._grader = Grader(tiers=tiers, limits=limits or ExecutionLimits(seconds=3.0))
        self._comparer = Comparer()

    def grade(
        self, prompts: Sequence[str], responses: Sequence[str], golds: Sequence[str]
    ) -> list[PublishedVerdict]:
        """Score responses as the released reward does.

        Args:
            prompts: the text before each response; empty strings for the released evaluation,
                which looked at responses alone.
            golds: as the released code had them: for GSM8K the whole solution, `... #### 72`. The number
                alone is nearly the same: one of the 1,319 test questions differs.

        Raises:
            InputError: the lengths differ.
        """
        if not len(prompts) == len(responses) == len(golds):
            raise InputError(
                f"{len(prompts)} prompts, {len(responses)} responses, {len(golds)} golds: give one each"
            )
        texts = [
            (prompt + response).replace("</s>", "")
            for prompt, response in zip(prompts, responses, strict=True)
        ]
        found = self._answers(texts)
        answers = self._comparer.ask(
            "published_equal",
            [(gold, compared) for gold, (_, compared) in zip(golds, found, strict=True)],
        )
        return [
            PublishedVerdict(response_type, float(byte == EQUAL), byte != UNPARSED, compared)
            for byte, (response_type, compared) in zip(answers, found, strict=True)
        ]

    def metrics(self, responses: Sequence[Sequence[str]], golds: Sequence[str]) -> PublishedMetrics:
        """Pass, majority and counts over the samples of each problem, as released.

        A problem of which no sample parses keeps the vote of the problem before it.
        """
        flat = [response for samples in responses for response in samples]
        flat_golds = [gold for samples, gold in zip(responses, golds, strict=True) for _ in samples]
        verdicts = iter(self.grade([""] * len(flat), flat, flat_golds))
        by_problem = [[next(verdicts) for _ in samples] for samples in responses]
        votes = self._comparer.ask(
            "published_majority",
            [
                (gold, tuple(verdict.compared for verdict in samples))
                for samples, gold in zip(by_problem, golds, strict=True)
            ],
        )
        majority, previous = 0.0, 0.0
        for vote in votes:
            previous = previous if vote == UNPARSED else float(vote == EQUAL)
            majority += previous
        counted = [verdict for samples in by_problem for verdict in samples if verdict.parsed]
        counts = Counter(verdict.response_type for verdict in counted)
        paid = Counter(verdict.response_type for verdict in counted if verdict.reward)
        return PublishedMetrics(
            pass_at_n=sum(any(v.reward for v in samples) for samples in by_problem) / max(1, len(by_problem)),
            majority=majority / max(1, len(by_problem)),
            share={name: counts[name] / max(1, len(flat)) for name in (TEXT, LLM_CODE, TINYGSM)},
            accuracy={name: paid[name] / counts[name] for name in counts},
        )

    def hack_floor(self, questions: Sequence[str], golds: Sequence[str]) -> HackFloor:
        """Reward for giving no answer: by the released scoring of prompt + response, and by ours."""
        prompts = [question + "\n\n" for question in questions]
        responses = {
            "empty": [""] * len(questions),
            "prompt": list(questions),
            "repetition": [" ".join(_NUMBER.findall(question)[-1:] * 20) for question in questions],
        }
        published, measured = {}, {}
        for kind, texts in responses.items():
            verdicts = self.grade(prompts, texts, golds)
            published[kind] = sum(verdict.reward for verdict in verdicts) / max(1, len(texts))
            ours = self._grader.grade(texts, golds)
            measured[kind] = sum(verdict.reward for verdict in ours) / max(1, len(texts))
        return HackFloor(published, measured)

    def _answers(self, texts: Sequence[str]) -> list[tuple[str, str]]:
        """(response type, text searched for the answer) of each text."""
        tagged = [_prepared(_tagged_source(text)) if "<llm-code>" in text else None for text in texts]
        functions = [_prepared(_function_source(text)) if "def" in text else None for text in texts]
        values = self._grader.run_prepared([program for program in (*tagged, *functions) if program])
        found = []
        for text, *programs in zip(texts, tagged, functions, strict=True):
            response_type, compared = TEXT, text
            for name, marker, program in zip(
                (LLM_CODE, TINYGSM), ("<llm-code>", "def"), programs, strict=True
            ):
                if marker not in text:
                    continue
                response_type = name
                value = values.get(program) if program else None
                if value is not None:
                    compared = value
                    break
            found.append((response_type, compared))
        return found

    def close(self) -> None:
        """End the processes."""
        self._grader.close()
        self._comparer.close()

    def __enter__(self) -> PaperCompat:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _function_source(text: str) -> str:
    """The text from its last definition onward, and a call of the only name that is ever called."""
    return f"def{text.split(chr(10) + 'def')[-1]}\nstr({_ENTRY}())"


def _tagged_source(text: str) -> str:
    """The first tagged block, its last line evaluated once more."""
    inside, closing, _ = text.partition("<llm-code>")[2].partition("</llm-code>")
    if not closing:
        return ""
    code = inside.strip()
    last = code.rpartition("\n")[2]
    return f"{code}\nstr({last}\n)"


def _prepared(source: str) -> Prepared | None:
    """A program of the released rules; None if it has a syntax error."""
    if not source:
        return None
    try:
        tree = parse_python(source)
    except ParseError:
        return None
    return Prepared(source, smallest_tier(tree))

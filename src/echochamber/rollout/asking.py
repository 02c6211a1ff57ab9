"""From problems to graded completions: encode, generate, decode, grade.

Training, evaluation and the command `sample` all ask a model here, in two steps: `sample` runs the engine,
and `grade` runs the programs in completions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from echochamber.base import Problem
from echochamber.rollout.interface import Engine, SampledTokens, Sampling

if TYPE_CHECKING:
    from echochamber.corpora import Tokenizer
    from echochamber.verify import Grader, Verdict


@dataclass(frozen=True, slots=True)
class Group:
    """What an engine sampled after one prompt.

    Attributes:
        problem: the problem whose question was asked.
        prompt: token ids of the question.
        sampled: the continuations, in the order of their sample numbers.
    """

    problem: Problem
    prompt: list[int]
    sampled: Sequence[SampledTokens]


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer of a model, from sampling to record; everything a reward may look at.

    Attributes:
        problem: what was asked, with its gold answer.
        prompt: token ids of the question.
        sample: its number within its group, the completions of one prompt.
        sampled: the tokens with their log-probabilities, how they ended, and the weights they came from.
        text: the response alone, decoded.
        verdict: its format, the answer that was extracted, and whether it is right or why not.
        draw: a uniform number in [0, 1) for rewards that are random: in training a function of (seed, step,
            prompt, sample) only, 0 elsewhere.
    """

    problem: Problem
    prompt: list[int]
    sample: int
    sampled: SampledTokens
    text: str
    verdict: Verdict
    draw: float = 0.0

    @property
    def num_tokens(self) -> int:
        """Length of the response, including its end-of-text token."""
        return len(self.sampled.token_ids)

    @property
    def truncated(self) -> bool:
        """Whether the limit on new tokens or the context ended it."""
        return self.sampled.finish_reason == "length"


def sample(
    problems: Sequence[Problem],
    engine: Engine,
    tokenizer: Tokenizer,
    sampling: Sampling,
    *,
    num_samples: int,
    seed: int,
    step: int = 0,
    first_prompt_id: int = 0,
) -> list[Group]:
    """`num_samples` continuations of every question, not yet decoded.

    Args:
        seed, step: determine the random numbers, see `Engine.generate`.
        first_prompt_id: number of the first problem in the random stream; the others follow it.

    Raises:
        InputError: a prompt leaves no room for a token in the context.
    """
    prompts = tokenizer.encode_prompts([problem.question for problem in problems])
    continuations = engine.generate(
        prompts,
        sampling,
        num_samples=num_samples,
        seed=seed,
        step=step,
        prompt_ids=range(first_prompt_id, first_prompt_id + len(prompts)),
    )
    return [
        Group(problem, list(prompt), sampled)
        for problem, prompt, sampled in zip(problems, prompts, continuations, strict=True)
    ]


def grade(
    groups: Sequence[Group], tokenizer: Tokenizer, grader: Grader, *, draws: Sequence[float] | None = None
) -> list[Completion]:
    """Decode and grade what was sampled, each by the rules of its problem; group by group, in order.

    Args:
        draws: `Completion.draw` of each completion, in the same order.
    """
    rows = [(group, index, tokens) for group in groups for index, tokens in enumerate(group.sampled)]
    texts = tokenizer.decode_batch([tokens.token_ids.tolist() for _, _, tokens in rows])
    verdicts: dict[int, Verdict] = {}
    for rules in dict.fromkeys(group.problem.rules for group in groups):
        places = [place for place, (group, _, _) in enumerate(rows) if group.problem.rules == rules]
        found = grader.grade(
            [texts[place] for place in places],
            [rows[place][0].problem.gold for place in places],
            rules=rules,
            truncated=[rows[place][2].finish_reason == "length" for place in places],
        )
        verdicts.update(zip(places, found, strict=True))
    return [
        Completion(
            problem=group.problem,
            prompt=group.prompt,
            sample=index,
            sampled=tokens,
            text=texts[place],
            verdict=verdicts[place],
            draw=0.0 if draws is None else float(draws[place]),
        )
        for place, (group, index, tokens) in enumerate(rows)
    ]

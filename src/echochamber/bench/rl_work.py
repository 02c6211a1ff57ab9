"""The default study's RL step without its training: real questions and grader, chosen completion length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from echochamber.base import Problem
from echochamber.bench.measure import Machine
from echochamber.bench.workload import EOS_ID, bench_model, with_mean_length
from echochamber.corpora import (
    SourceConfig,
    TaskConfig,
    Tokenizer,
    TokenizerConfig,
    reserve_problems,
    train_tokenizer,
)
from echochamber.model import Policy, Transformer
from echochamber.rl import Context, GroupLearner, GRPOConfig, PolicyGradientLearner
from echochamber.rollout import Engine, NativeEngine
from echochamber.train import OptimizerConfig
from echochamber.verify import Grader, Verdict

NUM_PROMPTS, NUM_SAMPLES, MAX_NEW_TOKENS, MEAN_TOKENS = 32, 8, 80, 16
VOCABULARY, CONTEXT = 1024, 256
LEARNING_RATE = 1e-6
FORMATS = ("tinygsm", "llm_code", "boxed")


class SolutionGrader(Grader):
    """A grader that grades generated solutions instead of an untrained model's text.

    Random tokens contain no program, so grading them would cost nothing. Instead each completion is graded as
    one of `solutions`, never the same twice, as if the policy had answered well.
    """

    def __init__(self, solutions: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._solutions, self._used = solutions, 0

    def grade(
        self,
        completions: Sequence[str],
        golds: Sequence[str],
        *,
        rules: str = "gsm8k",
        truncated: Sequence[bool] | None = None,
    ) -> list[Verdict]:
        """Verdicts on the next solutions, one per completion."""
        first, self._used = self._used, self._used + len(completions)
        chosen = [self._solutions[i % len(self._solutions)] for i in range(first, self._used)]
        return super().grade([text for text, _ in chosen], [gold for _, gold in chosen], rules=rules)


class _Counting:
    """An engine that records the lengths of its completions, prompt by prompt in the order of `prompts`."""

    def __init__(self, engine: Engine, prompts: list[list[int]], lengths: list[list[list[int]]]) -> None:
        self._engine, self._prompts, self._lengths = engine, prompts, lengths
        self._found: dict[tuple[int, ...], list[int]] = {}

    def generate(self, prompts: Sequence[Sequence[int]], *arguments: Any, **more: Any) -> Any:
        groups = self._engine.generate(prompts, *arguments, **more)
        for prompt, group in zip(prompts, groups, strict=True):
            self._found[tuple(prompt)] = [len(completion.token_ids) for completion in group]
        # An evaluation asks its problems in several batches.
        if all(tuple(prompt) in self._found for prompt in self._prompts):
            self._lengths.append([self._found[tuple(prompt)] for prompt in self._prompts])
            self._found = {}
        return groups

    def load_weights(self, model: Policy, version: int) -> None:
        self._engine.load_weights(model, version)


@dataclass
class RLWork:
    """What both sides of a comparison receive.

    Attributes:
        problems: all of them are asked in every step.
        solutions: (completion, gold) pairs for a `SolutionGrader`.
    """

    tokenizer: Tokenizer
    problems: list[Problem]
    solutions: list[tuple[str, str]]
    num_samples: int
    max_new_tokens: int

    @classmethod
    def make(cls, *, num_graded: int, quick: bool, num_problems: int | None = None) -> RLWork:
        """The default study's kind of questions; `num_graded` completions can be graded without repeats.

        `num_problems` None is the number of the default study's step.
        """
        num_problems = num_problems or (4 if quick else NUM_PROMPTS)
        per_problem = len(FORMATS)
        num_solved = -(-num_graded // per_problem)
        problems = {"kind": "word_problems", "num_problems": num_problems, "largest": 12,
                    "levels": [1] + [2] * 9}  # fmt: skip
        solved = {
            "kind": "word_problems",
            "num_problems": num_solved,
            "largest": 99,
            "largest_result": 10_000,
        }
        tasks = {"asked": problems, "solved": solved}
        sources = {name: {"kind": "word_problems", "format": name, "largest": 12} for name in FORMATS}
        task_type: TypeAdapter[dict[str, TaskConfig]] = TypeAdapter(dict[str, TaskConfig])
        source_type: TypeAdapter[dict[str, SourceConfig]] = TypeAdapter(dict[str, SourceConfig])
        drawn = reserve_problems(task_type.validate_python(tasks), seed=0)
        documents = 300 if quick else 2000
        tokenizer = train_tokenizer(
            TokenizerConfig(vocab_size=VOCABULARY, sample_documents=documents),
            source_type.validate_python(sources),
            seed=0,
        )
        # Every other answer is wrong, so that groups have something to learn from.
        solutions = [
            (problem.references[name], str(int(problem.gold) + index % 2))
            for index, problem in enumerate(drawn["solved"])
            for name in FORMATS
        ]
        return cls(tokenizer, drawn["asked"], solutions, NUM_SAMPLES, 8 if quick else MAX_NEW_TOKENS)

    def model(self, size: str, machine: Machine, *, context: int | None = None) -> Transformer:
        """Untrained weights whose completions have 16 tokens on average; the same at every call."""
        model = bench_model(
            size, machine, context_length=context or CONTEXT, vocabulary=self.tokenizer.vocab_size
        )
        assert self.tokenizer.eos_id == EOS_ID
        return with_mean_length(model, MEAN_TOKENS)

    def prompts(self) -> list[list[int]]:
        """Token ids of the questions."""
        return self.tokenizer.encode_prompts([problem.question for problem in self.problems])

    def engine(self, model: Transformer) -> NativeEngine:
        """The default engine with these weights."""
        return NativeEngine(model, eos_id=self.tokenizer.eos_id, pad_id=self.tokenizer.pad_id)

    def learner(
        self, model: Transformer, grader: Grader, folder: Path, lengths: list[list[list[int]]]
    ) -> PolicyGradientLearner:
        """Our side, ready to step; appends the tokens of every completion of each step to `lengths`."""
        engine = _Counting(self.engine(model), self.prompts(), lengths)
        context = Context(
            policy=model, tokenizer=self.tokenizer, problems=self.problems, grader=grader, engine=engine,
            folder=folder, seed=0,
        )  # fmt: skip
        return GroupLearner(self.config(), context)

    def config(self) -> GRPOConfig:
        """One GRPO step of all prompts with one optimizer step, no KL."""
        return GRPOConfig(
            task="bench",
            steps=10_000,
            prompts_per_step=len(self.problems),
            prompts_per_update=None,
            samples_per_prompt=self.num_samples,
            temperature=1.0,
            max_new_tokens=self.max_new_tokens,
            kl_coefficient=0.0,
            reference="none",
            measure_kl=False,
            optimizer=OptimizerConfig(
                learning_rate=LEARNING_RATE, weight_decay=0.0, schedule="constant", warmup_steps=0
            ),
        )

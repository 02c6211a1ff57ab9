"""What each kind of stage does: a function of (config, input folders, output folder).

Stage functions take plain data, so that the same call runs in this process,
in a Ray task or in a Slurm job. Each may be called again in a folder that an
interrupted run left behind and must then end with the same bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from echochamber import corpora, evaluation, model, rl, rollout, train, verify
from echochamber.base import Problem, derive_seed, note, write_file, write_json
from echochamber.base.lazy import torch
from echochamber.study.config import VerifyConfig
from echochamber.study.importing import read_model, write_model

TABLES = "completions"
PROBABILITIES = "format_probabilities"
# Problems whose reference solutions are teacher-forced at each evaluation.
_REFERENCE_PROBLEMS = 64


@dataclass(frozen=True)
class StageContext:
    """What a stage function is given.

    Attributes:
        config: plain data that affects the results.
        inputs: finished folders of the stages it depends on.
        folder: where to write; may hold what an interrupted run left.
        seed: root of the stage's randomness.
        settings: settings that do not influence its results.
    """

    config: Mapping[str, Any]
    inputs: Mapping[str, Path]
    folder: Path
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StageKind:
    """A stage function with the version of its results."""

    version: int
    run: Callable[[StageContext], None]


def _sources(config: Mapping[str, Any]) -> dict[str, corpora.SourceConfig]:
    adapter: TypeAdapter[dict[str, corpora.SourceConfig]] = TypeAdapter(dict[str, corpora.SourceConfig])
    return adapter.validate_python(config)


def _tasks(config: Mapping[str, Any]) -> dict[str, corpora.TaskConfig]:
    adapter: TypeAdapter[dict[str, corpora.TaskConfig]] = TypeAdapter(dict[str, corpora.TaskConfig])
    return adapter.validate_python(config)


def _sets(folder: Path, names: Sequence[str]) -> dict[str, list[Problem]]:
    return {name: corpora.read_problems(folder / f"{name}.jsonl") for name in names}


def _reserved(folder: Path, benchmarks: Sequence[str]) -> corpora.Reserved:
    """The identities that training documents may not have, from the problem sets in a folder."""
    names = sorted(path.stem for path in folder.glob("*.jsonl"))
    training = _sets(folder, [name for name in names if name not in benchmarks])
    return corpora.Reserved.of(
        itertools.chain(*_sets(folder, benchmarks).values()), itertools.chain(*training.values())
    )


def run_questions(context: StageContext) -> None:
    """Draw the questions of every problem set, no two alike in text or structure, evaluation sets first.

    Gold answers are checked but not kept: training on documents depends on the questions that they must not
    contain, not on the answers.
    """
    benchmarks = context.config["benchmarks"]
    tasks = _tasks(context.settings["tasks"])
    drawn = corpora.reserve_problems(tasks, seed=derive_seed(context.seed, "problems"))
    index = corpora.OverlapIndex(
        {name: drawn[name] for name in benchmarks}, limit=context.settings["max_leaked_share"]
    )
    described = {}
    for name, problems in drawn.items():
        hits = index.empty_hits()
        if name not in benchmarks:
            asked = (corpora.text_example(p.question, "", None, p.structure) for p in problems)
            index.scan(asked, hits, generated=False)
            index.refuse_leaks(f"the task '{name}'", hits)
        described[name] = {
            "problems": len(problems),
            "left_out": dict(problems.left_out),
            "overlap": {} if name in benchmarks else index.report(hits),
        }
        for reason, count in problems.left_out.items():
            note(f"task '{name}': {count} rows left out: {reason}")
        questions = [replace(problem, gold="", references={}) for problem in problems]
        corpora.write_problems(context.folder / f"{name}.jsonl", questions)
    write_json(context.folder / "sets.json", described)


def run_problems(context: StageContext) -> None:
    """Draw every problem set with its gold answers and reference solutions."""
    tasks = _tasks(context.config["tasks"])
    for name, problems in corpora.reserve_problems(tasks, seed=derive_seed(context.seed, "problems")).items():
        corpora.write_problems(context.folder / f"{name}.jsonl", problems)


def run_documents(context: StageContext) -> None:
    """Compare the documents of an arm with the evaluation sets, before anything is trained."""
    source = TypeAdapter(corpora.SourceConfig).validate_python(context.config["source"])
    benchmarks = context.config["benchmarks"]
    reserved = _reserved(context.inputs["questions"], benchmarks)
    index = corpora.OverlapIndex(
        _sets(context.inputs["questions"], benchmarks), limit=context.settings["max_leaked_share"]
    )
    hits, read, left_out = index.empty_hits(), 0, 0
    for example in corpora.open_source(source, seed=context.seed):
        if read == context.config["num_documents"]:
            break
        index.scan([example], hits, generated=False)
        kept = corpora.permitted(source, example, reserved)
        read, left_out = read + kept, left_out + (not kept)
    what = f"the source 'arms.{context.config['arm']}.source'"
    index.refuse_leaks(what, hits)
    if left_out:
        note(f"{what}: {left_out} documents left out: problems of an evaluation set")
    write_json(
        context.folder / "overlap.json",
        {"documents": read, "left_out": left_out, "overlap": index.report(hits)},
    )


def run_tokenizer(context: StageContext) -> None:
    """Train (or load) the tokenizer."""
    tokenizer = corpora.train_tokenizer(
        TypeAdapter(corpora.TokenizerConfig).validate_python(context.config["tokenizer"]),
        _sources(context.config["sources"]),
        seed=derive_seed(context.seed, "sources"),
        reserved=_reserved(context.inputs["questions"], context.config["benchmarks"]),
    )
    tokenizer.save(context.folder / "tokenizer")


def run_check(context: StageContext) -> None:
    """Refuse prompts that leave no room for their completions, before anything is trained."""
    tokenizer = corpora.Tokenizer.load(context.inputs["tokenizer"] / "tokenizer")
    context_length = context.config["context_length"]
    if context_length is None:
        context_length = model.describe(context.inputs["tokenizer"] / "model").context_length
    longest = {}
    for name, new_tokens in context.config["new_tokens"].items():
        problems = corpora.read_problems(context.inputs["questions"] / f"{name}.jsonl")
        longest[name] = rollout.check_fit(
            tokenizer.encode_prompts([problem.question for problem in problems]),
            max_new_tokens=new_tokens,
            context_length=context_length,
            what=f"task '{name}'",
        )
    write_json(context.folder / "longest_prompt_tokens.json", longest)


def run_mixture(context: StageContext) -> None:
    """Tokenize the mixture into shards."""
    corpora.build_mixture(
        TypeAdapter(corpora.MixtureConfig).validate_python(context.config["mixture"]),
        _sources(context.config["sources"]),
        corpora.Tokenizer.load(context.inputs["tokenizer"] / "tokenizer"),
        context.folder / "data",
        seed=derive_seed(context.seed, "sources"),
        reserved=_reserved(context.inputs["questions"], context.config["benchmarks"]),
        evaluations=_sets(context.inputs["questions"], context.config["benchmarks"]),
        max_leaked_share=context.settings["max_leaked_share"],
    )


def run_pretrain(context: StageContext) -> None:
    """Train one model from scratch on one mixture."""
    tokenizer = corpora.Tokenizer.load(context.inputs["tokenizer"] / "tokenizer")
    model_config = model.size_config(
        context.config["size"],
        vocab_size=tokenizer.vocab_size,
        context_length=context.config["context_length"],
    )
    policy = model.build(model_config, seed=derive_seed(context.seed, "init"))
    train.fit(
        policy,
        corpora.TokenData(context.inputs["mixture"] / "data"),
        train.PretrainConfig.model_validate({**context.config["pretrain"], **context.settings}),
        context.folder,
        seed=derive_seed(context.seed, "pretrain"),
        eos_id=tokenizer.eos_id,
    )
    train.start_world().on_main(lambda: policy.write(context.folder / "model"))


def run_import(context: StageContext) -> None:
    """Import a model made elsewhere, with its tokenizer."""
    dtype = getattr(torch, context.config["dtype"])
    policy, tokenizer = read_model(Path(context.config["path"]))
    write_model(policy.to(dtype), tokenizer, context.folder)


def _start(context: StageContext, step: int | None) -> model.Policy:
    """The model that a stage starts from: the final one of its start stage, or the one after `step` steps."""
    folder = context.inputs["start"]
    place = folder / "model" if step is None else train.snapshot_folder(folder, step)
    return model.load_policy(place).to(train.start_world().device)


class Measurement:
    """Evaluates a policy at a step, once, and writes its completions as Parquet."""

    def __init__(self, context: StageContext, tokenizer: corpora.Tokenizer, grader: verify.Grader) -> None:
        self.config = evaluation.EvaluationConfig.model_validate(context.config["evaluation"])
        self.context, self.tokenizer, self.grader = context, tokenizer, grader

    def __call__(self, step: int, policy: model.Policy) -> None:
        for benchmark in self.config.benchmarks:
            target = self.context.folder / TABLES / f"{benchmark}-{step:08d}.parquet"
            if target.exists():
                continue
            engine = rollout.make_engine(self.context.config["engine"], policy, self.tokenizer)
            problems = corpora.read_problems(self.context.inputs["problems"] / f"{benchmark}.jsonl")
            batches = evaluation.evaluate(
                engine,
                problems,
                self.tokenizer,
                self.grader,
                self.config,
                benchmark=benchmark,
                step=step,
                seed=derive_seed(self.context.config["root_seed"], "evaluate"),
            )
            self._teacher_force(benchmark, step, policy, problems)
            evaluation.write_completions(target, batches)

    def _fits(self, problem: Problem, context_length: int) -> bool:
        """Whether the question fits the context together with any of its references and an end token."""
        room = context_length - len(self.tokenizer.encode_prompt(problem.question)) - 1
        return all(len(ids) <= room for ids in self.tokenizer.encode_texts(list(problem.references.values())))

    def _teacher_force(
        self, benchmark: str, step: int, policy: model.Policy, problems: Sequence[Problem]
    ) -> None:
        """Record the probability of each format before anything is sampled, for problems with references."""
        names = sorted({name for problem in problems for name in problem.references})
        candidates = (p for p in problems if len(p.references) == len(names) > 0)
        fitting = (p for p in candidates if self._fits(p, policy.config.context_length))
        chosen = list(itertools.islice(fitting, _REFERENCE_PROBLEMS))
        if not chosen:
            return
        found = evaluation.format_probabilities(
            policy,
            self.tokenizer,
            [problem.question for problem in chosen],
            {name: [problem.references[name] for problem in chosen] for name in names},
        )
        rows = [{"step": step, **item.row()} for item in found]
        write_json(self.context.folder / PROBABILITIES / f"{benchmark}-{step:08d}.json", rows)


def _grader(context: StageContext) -> verify.Grader:
    """The study's grader, with its journal of executed programs beside the stage."""
    rank = train.start_world().rank
    # One writer per journal; each of several processes replays what it ran itself.
    journal = "verdicts.jsonl" if rank == 0 else f"verdicts-{rank}.jsonl"
    settings = VerifyConfig.model_validate(context.config["verify"])
    return settings.grader(context.folder / journal)


def run_evaluate(context: StageContext) -> None:
    """Measure the base model."""
    tokenizer = corpora.Tokenizer.load(context.inputs["tokenizer"] / "tokenizer")
    policy = _start(context, context.config["start_step"])
    with _grader(context) as grader:
        Measurement(context, tokenizer, grader)(0, policy)


def run_arm(context: StageContext) -> None:
    """Post-train one arm and measure it at log-spaced steps."""
    tokenizer = corpora.Tokenizer.load(context.inputs["tokenizer"] / "tokenizer")
    adapter: TypeAdapter[rl.AlgorithmConfig] = TypeAdapter(rl.AlgorithmConfig)
    config = adapter.validate_python({**context.config["arm"], **context.settings})
    world = train.start_world()
    policy = _start(context, config.start_step)
    problems = (
        corpora.read_problems(context.inputs["problems"] / f"{config.task}.jsonl") if config.task else []
    )
    with _grader(context) as grader:
        measure = Measurement(context, tokenizer, grader)

        def on_step(step: int, current: model.Policy) -> None:
            if step > 0 or "evaluate" not in context.inputs:
                measure(step, current)

        if "evaluate" in context.inputs and world.is_main:
            # Step 0 is the base model, which was already measured with the same seed.
            for kind in (TABLES, PROBABILITIES):
                (context.folder / kind).mkdir(exist_ok=True)
                for path in sorted((context.inputs["evaluate"] / kind).glob("*-*")):
                    write_file(context.folder / kind / path.name, path.read_bytes())
        rl.post_train(
            config,
            policy=policy,
            tokenizer=tokenizer,
            problems=problems,
            grader=grader,
            folder=context.folder,
            seed=derive_seed(context.seed, "post-train"),
            evaluation_steps=evaluation.evaluation_steps(config.total_steps, measure.config.num_points),
            on_step=on_step,
            reserved=_reserved(context.inputs["problems"], measure.config.benchmarks),
            engine=rollout.make_engine(context.config["engine"], policy, tokenizer),
        )


STAGES: dict[str, StageKind] = {
    "questions": StageKind(2, run_questions),
    "problems": StageKind(3, run_problems),
    "documents": StageKind(1, run_documents),
    "tokenizer": StageKind(2, run_tokenizer),
    "check": StageKind(1, run_check),
    "mixture": StageKind(2, run_mixture),
    "pretrain": StageKind(1, run_pretrain),
    "import": StageKind(1, run_import),
    "evaluate": StageKind(3, run_evaluate),
    "arm": StageKind(4, run_arm),
}


def measured_paths(folder: Path, benchmarks: Sequence[str]) -> list[tuple[str, Path]]:
    """The files of a finished stage's measurements with their benchmarks, in the study's order, by step.

    Args:
        folder: `TABLES` or `PROBABILITIES` of the stage.
    """
    place = {name: i for i, name in enumerate(benchmarks)}
    found = [
        (path.stem.rpartition("-")[0], path)
        for path in folder.glob("*-*")
        if path.suffix in (".parquet", ".json")
    ]
    return sorted(found, key=lambda item: (place.get(item[0], len(place)), item[1].name))

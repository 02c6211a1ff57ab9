"""From a study file to stages: what must be made, in which order, and what is shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from echochamber.base import Config, InputError, derive_seed, digest_file
from echochamber.corpora import (
    BaseSource,
    BaseTask,
    check_grammars,
    examine_task,
    refuse_evaluation_files,
)
from echochamber.evaluation import BASE, Cell
from echochamber.rl import Documents
from echochamber.study.config import IMPORTED, StudyConfig
from echochamber.study.importing import fingerprint
from echochamber.study.reading import module_digests
from echochamber.study.stages import STAGES
from echochamber.study.store import Stage


@dataclass(frozen=True)
class Measured:
    """A stage whose metrics or completions belong to one cell of the study.

    Attributes:
        cell: the cell that they are about, over all benchmarks; pretraining belongs to the base model.
        stage: the stage that holds them.
    """

    cell: Cell
    stage: Stage

    @property
    def seed(self) -> int:
        """Root seed of the cell."""
        assert self.cell.seed is not None
        return self.cell.seed


@dataclass(frozen=True)
class Plan:
    """Stages, each after its inputs, and the cells that they measure."""

    stages: tuple[Stage, ...]
    measured: tuple[Measured, ...]


# Fields of a stage's config that do not affect its results; they are passed separately and not in its key.
_SETTINGS = {"checkpoint_every"}


def _plain(value: Config) -> Any:
    return value.model_dump(mode="json", exclude=_SETTINGS)


def _settings(value: Config) -> dict[str, Any]:
    return value.model_dump(mode="json", include=_SETTINGS)


class _Builder:
    """Builds the stages of one study config."""

    def __init__(self, study: StudyConfig) -> None:
        self.study = study
        self.measured: list[Measured] = []
        self.fingerprints: dict[str, dict[str, str]] = {}
        order = [
            *study.evaluation.benchmarks,
            *(name for name in study.tasks if name not in study.evaluation.benchmarks),
        ]
        tasks = {name: study.tasks[name] for name in order}
        self.check_data(tasks)
        plain = {name: _plain(task) for name, task in tasks.items()}
        self.questions = self.stage(
            "questions",
            "draw the questions",
            {
                "tasks": {name: self.asked(name, task) for name, task in tasks.items()},
                "order": order,
                "benchmarks": list(study.evaluation.benchmarks),
            },
            seed=study.shared_data_seed,
            settings={"tasks": plain, "max_leaked_share": study.max_leaked_share},
        )
        self.problems = self.stage(
            "problems",
            "draw the problem sets",
            {"tasks": plain, "order": order, "files": self.files(*tasks.values())},
            seed=study.shared_data_seed,
        )
        self.documents = {
            label: self.arm_documents(label, arm.documents)
            for label, arm in study.arms.items()
            if arm.documents is not None and not arm.documents.source.endless
        }
        for name in study.models:
            self.imported(name)
        if study.mixtures:
            self.train()

    def check_data(self, tasks: dict[str, BaseTask]) -> None:
        """Refuse problem sets and training documents that overlap or contradict, before any work."""
        study = self.study
        tuned = {label: arm.documents.source for label, arm in study.arms.items() if arm.documents}
        sources = {**study.sources, **{f"arms.{label}.source": source for label, source in tuned.items()}}
        benchmarks = study.evaluation.benchmarks
        refuse_evaluation_files(sources, {name: tasks[name] for name in benchmarks})
        seed = derive_seed(study.shared_data_seed, "problems")
        check_grammars(tasks, sources, benchmarks=tuple(benchmarks), seed=seed)

    def asked(self, name: str, task: BaseTask) -> dict[str, Any]:
        """What determines the questions of a task, without its gold answers if its rows can be read now."""
        if task.generated:
            return dict(_plain(task))
        questions = examine_task(name, task)
        if questions is None:
            return {**_plain(task), "files": self.files(task)}
        return {"num_problems": task.num_problems, "questions": questions}

    def arm_documents(self, label: str, documents: Documents) -> Stage:
        """The stage that compares the documents of an arm with the evaluation sets."""
        return self.stage(
            "documents",
            f"check the documents of {label}",
            {
                "arm": label,
                "source": _plain(documents.source),
                "num_documents": documents.count,
                "files": self.files(documents.source),
                "benchmarks": list(self.study.evaluation.benchmarks),
            },
            {"questions": self.questions},
            settings={"max_leaked_share": self.study.max_leaked_share},
        )

    def train(self) -> None:
        """Stages of the tokenizer, the mixtures, and a base model per mixture, size and seed."""
        study = self.study
        choice, _ = study.trained
        tokenizer = self.stage(
            "tokenizer",
            "train the tokenizer",
            {
                "tokenizer": _plain(study.tokenizer),
                "sources": {name: _plain(source) for name, source in study.sources.items()},
                "files": self.files(*study.sources.values()),
                "tokenizer_files": {path.name: digest_file(path) for path in study.tokenizer.inputs()},
                "benchmarks": list(study.evaluation.benchmarks),
            },
            {"questions": self.questions},
            study.shared_data_seed,
        )
        check = self.stage(
            "check",
            "check that prompts fit the context",
            {"context_length": choice.context_length, "new_tokens": self.new_tokens()},
            {"questions": self.questions, "tokenizer": tokenizer},
        )
        for name in study.mixtures:
            mixture = self.mixture(name, tokenizer)
            for size in choice.sizes:
                for seed in study.seeds:
                    inputs = {"check": check, "tokenizer": tokenizer, "mixture": mixture}
                    self.trained_here(Cell(BASE, BASE, size, name, seed), inputs)

    def imported(self, name: str) -> None:
        """Stages of a model made elsewhere, and of its measurement and arms with every seed."""
        starting = self.study.models[name]
        model = self.stage(
            "import",
            f"import {name}",
            {**_plain(starting), "files": fingerprint(starting.path)},
        )
        check = self.stage(
            "check",
            f"check that prompts fit the context of {name}",
            {"context_length": None, "new_tokens": self.new_tokens()},
            {"questions": self.questions, "tokenizer": model},
        )
        for seed in self.study.seeds:
            cell = Cell(BASE, BASE, name, IMPORTED, seed)
            self.measured.append(Measured(cell, model))
            self.post_train(cell, f"{name}, seed {seed}", model, {"tokenizer": model, "check": check})

    def new_tokens(self) -> dict[str, int]:
        """The length of the longest completion that is sampled on each task."""
        study = self.study
        found = dict.fromkeys(study.evaluation.benchmarks, study.evaluation.max_new_tokens)
        for arm in study.arms.values():
            if arm.task:
                found[arm.task] = max(found.get(arm.task, 0), arm.max_new_tokens)
        return found

    def files(self, *configs: BaseSource | BaseTask) -> list[dict[str, str]]:
        """What identifies the data behind each config that reads files."""
        found = []
        for config in configs:
            name = repr(config)
            if name not in self.fingerprints:
                self.fingerprints[name] = config.fingerprint()
            found.append(self.fingerprints[name])
        return [fingerprint for fingerprint in found if fingerprint]

    def stage(
        self,
        kind: str,
        title: str,
        config: dict[str, Any],
        inputs: dict[str, Stage] | None = None,
        seed: int = 0,
        settings: dict[str, Any] | None = None,
    ) -> Stage:
        """A stage of this study; the contents of the user's modules are part of its config."""
        if self.study.modules:
            config = {**config, "modules": module_digests(self.study.modules)}
        return Stage(
            kind, title, STAGES[kind].version, config, inputs or {}, seed, self.study.modules, settings or {}
        )

    def mixture(self, name: str, tokenizer: Stage) -> Stage:
        """The stage that tokenizes one mixture."""
        config = self.study.mixtures[name]
        sources = {source: self.study.sources[source] for source in config.source_names}
        return self.stage(
            "mixture",
            f"tokenize the mixture {name}",
            {
                "mixture": _plain(config),
                "sources": {source: _plain(value) for source, value in sources.items()},
                "files": self.files(*sources.values()),
                "benchmarks": list(self.study.evaluation.benchmarks),
            },
            {"questions": self.questions, "tokenizer": tokenizer},
            self.study.shared_data_seed,
            {"max_leaked_share": self.study.max_leaked_share},
        )

    def trained_here(self, cell: Cell, inputs: dict[str, Stage]) -> None:
        """Stages of pretraining, of the base model's measurement and of every arm, for one base model."""
        choice, settings = self.study.trained
        where = f"{cell.size} on {cell.mixture}, seed {cell.seed}"
        assert cell.seed is not None
        pretrain = self.stage(
            "pretrain",
            f"pretrain {where}",
            {"size": cell.size, "context_length": choice.context_length, "pretrain": _plain(settings)},
            inputs,
            cell.seed,
            _settings(settings),
        )
        self.measured.append(Measured(cell, pretrain))
        self.post_train(cell, where, pretrain, {"tokenizer": inputs["tokenizer"]})

    def post_train(self, cell: Cell, where: str, start: Stage, inputs: dict[str, Stage]) -> None:
        """Stages of a base model's measurement and of every arm that starts from it."""
        study, seed = self.study, cell.seed
        assert seed is not None
        inputs = {"problems": self.problems, **inputs}
        measure = {
            "evaluation": _plain(study.evaluation),
            "engine": study.engine,
            "verify": study.verify.model_dump(mode="json", exclude={"as_published"}),
            "root_seed": seed,
        }
        bases: dict[int | None, Stage] = {}

        def base(step: int | None) -> Stage:
            # A snapshot is measured as step 0 of the arms that start from it; None is the final base model.
            if step not in bases:
                title = "evaluate base" if step is None else f"evaluate step {step} of"
                config = {**measure, "start_step": step}
                bases[step] = self.stage(
                    "evaluate", f"{title} {where}", config, {"start": start, **inputs}, seed
                )
            return bases[step]

        self.measured.append(Measured(cell, base(None)))
        made: dict[str, Stage] = {}
        for arm in _in_order(study):
            config = study.arms[arm]
            if config.start_from is None:
                own = {**inputs, "start": start, "evaluate": base(config.start_step)}
            else:
                own = {**inputs, "start": made[config.start_from]}
            if arm in self.documents:
                own["documents"] = self.documents[arm]
            made[arm] = self.stage(
                "arm", f"{arm} {where}", {**measure, "arm": _plain(config)}, own, seed, _settings(config)
            )
            self.measured.append(Measured(replace(cell, arm=arm, algorithm=config.algorithm), made[arm]))


def _in_order(study: StudyConfig) -> list[str]:
    """The arms in an order in which each comes after the arm it starts from.

    Raises:
        InputError: arms start from each other in a circle.
    """
    order: list[str] = []
    waiting = list(study.arms)
    while waiting:
        ready = [arm for arm in waiting if study.arms[arm].start_from in (None, *order)]
        if not ready:
            raise InputError(
                f"arms: {', '.join(waiting)} start from each other; one of them must start from the base "
                "model"
            )
        order += ready
        waiting = [arm for arm in waiting if arm not in ready]
    return order


def make_plan(studies: Sequence[tuple[str, StudyConfig]]) -> Plan:
    """Merge the stages of all sweep points; a stage that two points share is made once.

    A cell whose stage differs between sweep points carries the point's label as its `sweep`.
    """
    stages: dict[str, Stage] = {}
    builders = [(label, _Builder(study)) for label, study in studies]
    keys: dict[tuple[str, Cell], set[str]] = {}
    for _, builder in builders:
        # Stages that may refuse the data come before anything is trained on it.
        for stage in (builder.questions, builder.problems, *builder.documents.values()):
            stages.setdefault(stage.key, stage)
        for item in builder.measured:
            for stage in _with_inputs(item.stage):
                stages.setdefault(stage.key, stage)
            keys.setdefault(_across_points(item), set()).add(item.stage.key)
    measured: dict[tuple[Cell, str], Measured] = {}
    for label, builder in builders:
        for item in builder.measured:
            cell, stage = item.cell, item.stage
            if len(keys[_across_points(item)]) > 1:
                cell = replace(cell, sweep=label)
                # The key is the same; only the title shows the difference.
                stage = stages[stage.key] = replace(stage, title=f"{stage.title} [{label}]")
            measured.setdefault((cell, stage.key), Measured(cell, stage))
    return Plan(tuple(stages.values()), tuple(measured.values()))


def _across_points(item: Measured) -> tuple[str, Cell]:
    """Identifies a measurement across the points of a sweep, which may also vary an arm's algorithm."""
    return item.stage.kind, replace(item.cell, algorithm="")


def _with_inputs(stage: Stage) -> list[Stage]:
    """A stage, preceded by everything it needs."""
    return [*(item for other in stage.inputs.values() for item in _with_inputs(other)), stage]

"""The study file: everything a study is, in one frozen config."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from echochamber.analysis import Endpoint
from echochamber.base import (
    Config,
    Document,
    InputError,
    assign,
    did_you_mean,
    digest,
    parse_yaml,
    read_yaml,
    set_value,
    validate,
)
from echochamber.corpora import LEAKED_SHARE, MixtureConfig, SourceConfig, TaskConfig, TokenizerConfig
from echochamber.evaluation import EvaluationConfig
from echochamber.model import SIZES
from echochamber.rl import AlgorithmConfig
from echochamber.rollout import AUTO, ENGINES
from echochamber.study.endpoint_checks import check_endpoints
from echochamber.study.modules import import_modules
from echochamber.study.references import must_exist
from echochamber.study.resources import Resources, SlurmConfig
from echochamber.train import PretrainConfig


class ModelChoice(Config):
    """Which model sizes are trained, each from scratch on each mixture.

    Attributes:
        sizes: names from `echochamber.model.SIZES`.
        context_length: longest sequence (prompt and completion) in tokens.
    """

    sizes: tuple[str, ...] = Field(min_length=1)
    context_length: int = Field(default=256, ge=8)

    @field_validator("sizes")
    @classmethod
    def _known(cls, sizes: tuple[str, ...]) -> tuple[str, ...]:
        for size in sizes:
            if size not in SIZES:
                raise ValueError(
                    f"unknown model size '{size}': expected one of {', '.join(SIZES)}."
                    f"{did_you_mean(size, SIZES)}"
                )
        return sizes


class StartingModel(Config):
    """A model made elsewhere that the arms start from.

    Attributes:
        path: folder of a Hugging Face model with its tokenizer, or one that `echochamber import` wrote.
        dtype: of the weights while they are trained, whatever they were stored in.
    """

    path: Path
    dtype: Literal["float32", "bfloat16"] = "float32"


class VerifyConfig(Config):
    """How programs in completions are run.

    Attributes:
        tiers: 1 is the interpreter in a worker process; 2 is confined CPython, for sympy and numpy.
        reward_stated: pay llm_code by the final boxed answer of its text, not by its program.
        unsafe_unconfined: run tier 2 even where the system cannot confine it. Programs that a model wrote
            can then do anything that you can.
        as_published: also score the first and last step by the paper's released rules, as a second opinion.
    """

    tiers: tuple[Literal[1, 2], ...] = (1,)
    reward_stated: bool = False
    unsafe_unconfined: bool = False
    as_published: bool = False


class StudyConfig(Config):
    """One study: data, models, post-training arms, measurements.

    Base models are either trained here (sources, mixtures, model, pretrain) or made elsewhere (models).

    Attributes:
        study: name of the run folder under `runs/`.
        description: one paragraph for the report.
        seed: root seed, or a list of them; each repeats pretraining, post-training and sampling.
        data_seed: seed of problems, tokenizer and mixtures, which all seeds share; the first seed if unset.
        variables: texts that stand for `${name}` anywhere in the file, e.g. a data folder.
        modules: Python files, relative to this one, that register formats, rewards or sources.
        tasks: named problem sets, for evaluation and for post-training.
        sources: named streams of training documents.
        tokenizer: how the tokenizer is trained or where it is loaded from.
        mixtures: named recipes over the sources; every size is pretrained on every mixture.
        model: sizes and context.
        pretrain: optimisation of pretraining.
        models: named models made elsewhere; every arm is run from each of them.
        max_leaked_share: share of an evaluation set's questions that training documents may hold word for
            word; above it the run stops before anything is trained.
        evaluation: what is measured, at which steps.
        engine: what samples completions: `native`, another engine by name, or `auto`, the one that suits
            the model.
        verify: sandbox tiers that programs may use.
        arms: named post-training runs, each from the same base model.
        sweep: dotted keys to lists of values; the study runs once for each combination.
        endpoints: comparisons named before the run.
        resources: what stages need of a machine, by kind of stage, or `default`; used by --executor ray and
            slurm, and without influence on results.
        slurm: how --executor slurm submits jobs; without influence on results.
        track: trackers that are sent the metrics as they are written: wandb, trackio, tensorboard.
    """

    study: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    seed: int | tuple[int, ...] = 0
    data_seed: int | None = None
    variables: dict[str, str] = Field(default_factory=dict)
    modules: tuple[str, ...] = ()
    tasks: dict[str, TaskConfig]
    sources: dict[str, SourceConfig] = Field(default_factory=dict)
    tokenizer: TokenizerConfig = TokenizerConfig()
    mixtures: dict[str, MixtureConfig] = Field(default_factory=dict)
    model: ModelChoice | None = None
    pretrain: PretrainConfig | None = None
    models: dict[str, StartingModel] = Field(default_factory=dict)
    engine: str = AUTO
    max_leaked_share: float = Field(default=LEAKED_SHARE, ge=0, le=1)
    evaluation: EvaluationConfig
    verify: VerifyConfig = VerifyConfig()
    arms: dict[str, AlgorithmConfig] = Field(default_factory=dict)
    sweep: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    endpoints: tuple[Endpoint, ...] = ()
    resources: dict[str, Resources] = Field(default_factory=dict)
    slurm: SlurmConfig = SlurmConfig()
    track: tuple[str, ...] = ()

    @field_validator("engine")
    @classmethod
    def _known_engine(cls, name: str) -> str:
        known = (AUTO, *ENGINES)
        if name not in known:
            raise ValueError(
                f"unknown engine '{name}': expected one of {', '.join(known)}.{did_you_mean(name, known)}"
            )
        return name

    @property
    def trained(self) -> tuple[ModelChoice, PretrainConfig]:
        """Sizes and optimisation, in a study that trains its base models."""
        assert self.model is not None and self.pretrain is not None
        return self.model, self.pretrain

    @property
    def seeds(self) -> tuple[int, ...]:
        """Every root seed of the study."""
        return (self.seed,) if isinstance(self.seed, int) else self.seed

    @property
    def shared_data_seed(self) -> int:
        """Seed of everything that the seeds of a study share."""
        return self.seeds[0] if self.data_seed is None else self.data_seed


_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"


def _check_halves(study: StudyConfig, document: Document) -> None:
    """Base models are trained here or come from elsewhere, not both and not neither."""
    training = ("sources", "mixtures", "model", "pretrain")
    if study.models:
        given = [key for key in training if getattr(study, key)]
        if study.tokenizer != TokenizerConfig():
            given.append("tokenizer")
        if given:
            raise InputError(
                f"{document.place((given[0],))}: {given[0]}: this study starts from models made elsewhere "
                "(models), which come with their tokenizer and are not pretrained; remove one of the two"
            )
    missing = [key for key in training if not getattr(study, key)]
    if not study.models and missing:
        raise InputError(
            f"{document.place(())}: {missing[0]}: missing; a study trains its base models from sources, "
            "mixtures, model and pretrain, or names models made elsewhere under models"
        )
    for name, starting in study.models.items():
        place = f"{document.place(('models', name))}: models.{name}"
        if not re.fullmatch(_NAME, name):
            raise InputError(f"{place}: expected a name of letters, digits, '.', '_' or '-'")
        if not starting.path.expanduser().is_dir():
            raise InputError(f"{place}.path: {starting.path}: there is no such folder")


def _check_start(study: StudyConfig, document: Document, label: str) -> None:
    """An arm starts from another arm, from a snapshot that is taken, or from the base model."""
    arm = study.arms[label]
    if arm.start_from is not None:
        others = [other for other in study.arms if other != label]
        must_exist(document, ("arms", label, "start_from"), arm.start_from, others, "other arm")
    if arm.start_step is None:
        return
    place = f"{document.place(('arms', label, 'start_step'))}: arms.{label}.start_step: {arm.start_step}"
    if arm.start_from is not None:
        raise InputError(f"{place}: the arm also starts from another one (start_from); remove one of the two")
    if study.pretrain is None:
        raise InputError(f"{place}: this study pretrains nothing, so it has no earlier steps; remove it")
    if arm.start_step not in study.pretrain.snapshots:
        listed = ", ".join(map(str, study.pretrain.snapshots)) or "none"
        raise InputError(
            f"{place} is not kept during pretraining; pretrain.snapshots has {listed}: add it there"
        )


def _check_references(study: StudyConfig, document: Document) -> None:
    """Names that point at other parts of the file point at something."""
    tasks = list(study.tasks)
    for i, name in enumerate(study.evaluation.benchmarks):
        must_exist(document, ("evaluation", "benchmarks", i), name, tasks, "task")
    for label, arm in study.arms.items():
        if not re.fullmatch(_NAME, label) or label == "base":
            raise InputError(
                f"{document.place(('arms', label))}: arms.{label}: expected a name of letters, digits, "
                "'.', '_' or '-' other than 'base'"
            )
        if arm.task:
            must_exist(document, ("arms", label, "task"), arm.task, tasks, "task")
        if arm.task in study.evaluation.benchmarks:
            raise InputError(
                f"{document.place(('arms', label, 'task'))}: arms.{label}.task: '{arm.task}' is an "
                "evaluation set; post-training on it would measure memory. Name another task"
            )
        _check_start(study, document, label)
    for label, mixture in study.mixtures.items():
        for source in mixture.source_names:
            key = ("mixtures", label, mixture.parts_key, source)
            must_exist(document, key, source, list(study.sources), "source")
    if len(set(study.seeds)) != len(study.seeds) or not study.seeds:
        raise InputError(
            f"{document.place(('seed',))}: seed: {study.seed}: expected one seed or a list of different ones"
        )
    if study.models:
        return
    choice, pretrain = study.trained
    if pretrain.sequence_length > choice.context_length:
        raise InputError(
            f"{document.place(('pretrain', 'sequence_length'))}: pretrain.sequence_length: "
            f"{pretrain.sequence_length} is longer than model.context_length "
            f"{choice.context_length}; lower the first or raise the second"
        )


def _substitute(document: Document) -> None:
    """Put the study's variables in place of `${name}`, in every text of the file.

    Raises:
        InputError: a name that is no variable.
    """
    variables = document.data.get("variables") or {}

    def filled(value: Any, key: tuple[str | int, ...]) -> Any:
        if isinstance(value, dict):
            return {name: filled(item, (*key, name)) for name, item in value.items()}
        if isinstance(value, list):
            return [filled(item, (*key, i)) for i, item in enumerate(value)]
        if not isinstance(value, str) or key[:1] == ("variables",):
            return value
        for name in re.findall(r"\$\{([^${}]*+)\}", value):
            must_exist(document, key, name, list(variables), "variable")
            value = value.replace(f"${{{name}}}", str(variables[name]))
        return value

    document.data = filled(document.data, ())


def expand_sweep(document: Document) -> list[tuple[str, Document]]:
    """One document for each point of the `sweep` grid, with the label that tells it apart.

    Raises:
        InputError: no lists of values, or a value listed twice.
    """
    sweep = document.data.get("sweep") or {}
    if not isinstance(sweep, dict) or not all(
        isinstance(values, list) and values for values in sweep.values()
    ):
        raise InputError(
            f"{document.place(('sweep',))}: sweep: expected dotted keys, each with a list of values"
        )
    names = _short_names(list(sweep))
    for key, values in sweep.items():
        shown = [_shown(value) for value in values]
        if len(set(shown)) < len(shown):
            raise InputError(
                f"{document.place(('sweep', key))}: sweep.{key}: {', '.join(shown)}: a value stands there "
                "twice; every point of a sweep must differ"
            )
    points = []
    for values in itertools.product(*sweep.values()):
        point = Document(deepcopy(document.data), dict(document.places))
        for key, value in zip(sweep, values, strict=True):
            place = f"{document.place(('sweep', key))}: sweep over {key}"
            assign(point, key, deepcopy(value), place)
        label = ",".join(f"{names[key]}={_shown(value)}" for key, value in zip(sweep, values, strict=True))
        points.append((label, point))
    return points


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    """Each dotted key by as many of its last parts as tell it from the others."""
    names = {}
    for key in keys:
        parts = key.split(".")
        endings = [".".join(parts[-n:]) for n in range(1, len(parts) + 1)]
        others = [other for other in keys if other != key]
        clear = [e for e in endings if not any(other == e or other.endswith(f".{e}") for other in others)]
        names[key] = clear[0] if clear else key
    return names


_LONGEST_SHOWN = 40


def _shown(value: Any) -> str:
    """A value of a sweep on one line, so that different values look different.

    Text stands as it is where a YAML file would read it as that text, in quotes otherwise; what is too long
    is cut and carries the beginning of its digest.
    """
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    if isinstance(value, str) and re.fullmatch(r"[\w./][\w./+*@%-]*", value):
        plain = parse_yaml(f"value: {value}", "sweep").data["value"]
        text = value if plain == value else text
    if len(text) <= _LONGEST_SHOWN:
        return text
    return f"{text[: _LONGEST_SHOWN - 9]}..{digest(value)[:6]}"


def load_study(path: Path, overrides: Sequence[str] = ()) -> list[tuple[str, StudyConfig]]:
    """Read a study file into one config for each point of its sweep.

    Returns:
        Pairs of sweep label (empty without a sweep) and config.

    Raises:
        InputError: with `file:line: key: ...` for each mistake.
    """
    document = read_yaml(path)
    for assignment in overrides:
        set_value(document, assignment)
    _substitute(document)
    modules = document.data.get("modules") or []
    if isinstance(modules, list):
        resolved = [str((path.parent / str(module)).resolve()) for module in modules]
        document.data["modules"] = resolved
        import_modules(resolved)
    studies = []
    points = expand_sweep(document)
    for label, point in points:
        study = validate(point, StudyConfig)
        _check_halves(study, point)
        _check_references(study, point)
        check_endpoints(study, point, [label for label, _ in points])
        studies.append((label, study))
    return studies

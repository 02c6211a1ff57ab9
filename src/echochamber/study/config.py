"""The study file: everything that defines a study, in one frozen config."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from echochamber.analysis import Endpoint
from echochamber.base import Config, did_you_mean
from echochamber.corpora import LEAKED_SHARE, MixtureConfig, SourceConfig, TaskConfig, TokenizerConfig
from echochamber.evaluation import EvaluationConfig
from echochamber.model import SIZES
from echochamber.rl import AlgorithmConfig
from echochamber.rollout import AUTO, ENGINES
from echochamber.train import PretrainConfig
from echochamber.verify import Grader

IMPORTED = "its own data"
"""Mixture of a model made elsewhere."""


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
        dtype: dtype of the weights during training, whatever dtype they were stored in.
    """

    path: Path
    dtype: Literal["float32", "bfloat16"] = "float32"


class VerifyConfig(Config):
    """How programs in completions are run.

    Attributes:
        tiers: 1 is the interpreter in a worker process; 2 is confined CPython, for sympy and numpy.
        reward_stated: reward llm_code for the final boxed answer in its text, not for its program.
        unsafe_unconfined: run tier 2 even where the system cannot confine it. Programs that a model wrote
            can then do anything that you can do.
        as_published: also score the first and last step by the paper's released rules, as a second opinion.
    """

    tiers: tuple[Literal[1, 2], ...] = (1,)
    reward_stated: bool = False
    unsafe_unconfined: bool = False
    as_published: bool = False

    def grader(self, journal: Path | None = None) -> Grader:
        """A grader with these settings; `journal` records the result of every program.

        Raises:
            InputError: this machine cannot confine a tier.
        """
        return Grader(
            tiers=self.tiers,
            reward_stated=self.reward_stated,
            unsafe_unconfined=self.unsafe_unconfined,
            journal=journal,
        )


class Resources(Config):
    """What one stage needs of the machine it runs on.

    Attributes:
        cpus: number of cores; None is the number of threads that the command itself uses.
        gpus: number of GPUs; Ray also accepts fractions.
        memory_gb: memory; None requests none, so the scheduler's default applies.
    """

    cpus: int | None = Field(default=None, ge=1)
    gpus: float = Field(default=0.0, ge=0)
    memory_gb: float | None = Field(default=None, gt=0)


class SlurmConfig(Config):
    """How stages become Slurm jobs.

    Attributes:
        cluster: `slurm`, or `local` for processes on this machine that are treated like Slurm jobs.
        partition, account, qos, constraint: the options of sbatch.
        minutes: time limit of one job; a stage that needs longer is requeued and continues.
        array_parallelism: how many jobs of one array run at once.
        signal_delay_seconds: how long before the time limit a job is asked to save a checkpoint.
        requeues: how many times a stage may run into its time limit.
        setup: shell lines before Python starts, e.g. `module load cuda`.
        additional: further sbatch options, e.g. `{reservation: week2}`.
    """

    cluster: Literal["slurm", "local"] = "slurm"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    minutes: int = Field(default=24 * 60, ge=1)
    array_parallelism: int = Field(default=64, ge=1)
    signal_delay_seconds: int = Field(default=120, ge=1)
    requeues: int = Field(default=100, ge=0)
    setup: tuple[str, ...] = ()
    additional: dict[str, str | int | float | bool] = Field(default_factory=dict)


class StudyConfig(Config):
    """One study: data, models, post-training arms, measurements.

    Base models are either trained here (sources, mixtures, model, pretrain) or made elsewhere (models).

    Attributes:
        study: name of the run folder under `runs/`.
        description: one paragraph for the report.
        seed: root seed, or a list of them; each repeats pretraining, post-training and sampling.
        data_seed: seed of problems, tokenizer and mixtures, which all seeds share; the first seed if unset.
        variables: texts that replace `${name}` anywhere in the file, e.g. a data folder.
        modules: Python files, relative to this one, that register what the package does not have: formats,
            rules, tasks, sources, rewards, algorithms, sections, figures, claims, trackers.
        tasks: named problem sets, for evaluation and for post-training.
        sources: named streams of training documents.
        tokenizer: how the tokenizer is trained or where it is loaded from.
        mixtures: named recipes over the sources; every size is pretrained on every mixture.
        model: model sizes and context length.
        pretrain: optimization of pretraining.
        models: named models made elsewhere; every arm is run from each of them.
        max_leaked_share: share of an evaluation set's questions that training documents may hold word for
            word; above it the run stops before anything is trained.
        evaluation: what is measured, and at which steps.
        engine: the engine that samples completions: `native`, another engine by name, or `auto`, which
            chooses one that suits the model.
        verify: sandbox tiers that programs may use.
        arms: named post-training runs, each from the same base model.
        sweep: dotted keys with lists of values; the study runs once for each combination.
        endpoints: comparisons named before the run.
        resources: what stages need from a machine, by kind of stage, or `default`; used by --executor ray and
            slurm, without influence on results.
        slurm: how --executor slurm submits jobs; without influence on results.
        track: trackers that are sent the metrics as they are written: wandb, trackio, tensorboard, or one
            that a module registers.
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
        """Sizes and optimization, in a study that trains its base models."""
        assert self.model is not None and self.pretrain is not None
        return self.model, self.pretrain

    @property
    def seeds(self) -> tuple[int, ...]:
        """Every root seed of the study."""
        return (self.seed,) if isinstance(self.seed, int) else self.seed

    @property
    def shared_data_seed(self) -> int:
        """Seed of the data that all seeds of a study share."""
        return self.seeds[0] if self.data_seed is None else self.data_seed

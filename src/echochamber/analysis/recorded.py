"""What the `study.yaml` of a run folder says, as far as analysis and report need it.

The file is the resolved study: every default is spelled out, so nothing has to be guessed here. It is
deliberately not read as a `StudyConfig`, which would import the user's modules (and torch) to draw a report;
see docs/decisions/0005-a-report-reads-records.md. Keys that are not needed are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from echochamber.analysis.endpoints import Endpoint
from echochamber.base import EchoError
from echochamber.evaluation import Cell

CONTROLS = ("random", "always_one")
"""Rewards that say nothing about correctness."""
_WITHOUT_INFLUENCE = {"checkpoint_every", "microbatch_tokens", "keep_reference", "measure_kl"}


class _Recorded(BaseModel):
    """Data that a study wrote: immutable, and allowed to hold keys that are not read."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class RecordedOptimizer(_Recorded):
    """How weights were updated."""

    learning_rate: float


class RecordedArm(_Recorded):
    """One arm; settings that its algorithm does not have are None.

    Attributes:
        algorithm: its name.
        task: problem set that it was trained on, empty for an arm that is trained on documents.
        start_from: the arm whose final weights it started from; the base model if None.
        start_step: pretraining step of the base model that it started from; the last one if None.
        steps: number of steps, the length of the axis in every figure.
        rounds: number of rounds of Expert Iteration.
        prompts_per_step, samples_per_prompt: size of one rollout.
        reward: name of its reward.
        kl_coefficient, kl_in: weight of the KL term, and whether it is part of the `loss` or the `reward`.
        optimizer: how the policy was updated.
        settings: every key that influences results, nested ones as dotted names, with its plain value; for
            comparing arms.
    """

    algorithm: str
    task: str = ""
    start_from: str | None = None
    start_step: int | None = None
    steps: int | None = None
    rounds: int | None = None
    prompts_per_step: int | None = None
    samples_per_prompt: int | None = None
    reward: str | None = None
    kl_coefficient: float | None = None
    kl_in: str | None = None
    optimizer: RecordedOptimizer | None = None
    settings: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _keep_settings(cls, plain: Any) -> Any:
        if not isinstance(plain, Mapping):
            return plain
        return {**plain, "settings": {k: v for k, v in dotted(plain) if k not in _WITHOUT_INFLUENCE}}

    @property
    def is_control(self) -> bool:
        """Whether its reward says nothing about correctness."""
        return self.reward in CONTROLS

    @property
    def samples_per_step(self) -> int | None:
        """Completions per step; None where that number differs between steps."""
        if self.prompts_per_step is None or self.samples_per_prompt is None:
            return None
        return self.prompts_per_step * self.samples_per_prompt


class RecordedMixture(_Recorded):
    """What was pretrained on.

    Attributes:
        kind: `controlled` (a fixed total) or `passes` (whole passes over each source).
        tokens: the total, where it is stated in tokens.
        documents: the total, or the number from each source.
        shares: each source's share of the total.
        passes: number of passes over each source.
    """

    kind: str
    tokens: int | None = None
    documents: int | dict[str, int] | None = None
    shares: dict[str, float] = Field(default_factory=dict)
    passes: dict[str, float] = Field(default_factory=dict)

    @property
    def parts(self) -> Mapping[str, float]:
        """How much of each source it contains, in the unit the study uses; 0 for a source left out."""
        return self.documents if isinstance(self.documents, dict) else self.shares or self.passes


class RecordedSource(_Recorded):
    """A stream of training documents.

    Attributes:
        format: answer format of its solutions, where the study states it.
        corpus: published corpus, which has its own format.
    """

    kind: str
    format: str | None = None
    corpus: str | None = None


class RecordedTokenizer(_Recorded):
    """How text became tokens."""

    vocab_size: int


class RecordedModel(_Recorded):
    """Model sizes that were trained, and their context length in tokens."""

    sizes: tuple[str, ...]
    context_length: int


class RecordedPretraining(_Recorded):
    """How base models were trained; `sequence_length` is in tokens."""

    batch_size: int
    sequence_length: int
    optimizer: RecordedOptimizer


class RecordedStart(_Recorded):
    """A model made elsewhere."""

    path: str


class RecordedEvaluation(_Recorded):
    """What was measured, and by which sampling protocol."""

    benchmarks: tuple[str, ...]
    num_samples: int
    temperature: float
    greedy: bool
    max_new_tokens: int


class RecordedStudy(_Recorded):
    """One point of a sweep, or the whole study if there is no sweep.

    Attributes:
        study: its name.
        sweep: label of the point, empty without a sweep.
        model, pretrain: None where every base model was made elsewhere.
        models: the base models that were made elsewhere.
    """

    study: str
    sweep: str = ""
    description: str = ""
    seed: int | tuple[int, ...]
    sources: dict[str, RecordedSource] = Field(default_factory=dict)
    tokenizer: RecordedTokenizer
    mixtures: dict[str, RecordedMixture] = Field(default_factory=dict)
    model: RecordedModel | None = None
    pretrain: RecordedPretraining | None = None
    models: dict[str, RecordedStart] = Field(default_factory=dict)
    evaluation: RecordedEvaluation
    arms: dict[str, RecordedArm]
    endpoints: tuple[Endpoint, ...] = ()

    @property
    def seeds(self) -> tuple[int, ...]:
        """Every root seed."""
        return (self.seed,) if isinstance(self.seed, int) else self.seed


def read_points(path: Path) -> tuple[RecordedStudy, ...]:
    """Every point of the sweep, or the one study, in the order of the file; at least one.

    Raises:
        EchoError: the file is missing or damaged.
    """
    mend = "Run the study again to write it"
    if not path.is_file():
        raise EchoError(f"{path} is missing. {mend}")
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        points = tuple(RecordedStudy.model_validate(document) for document in documents)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise EchoError(f"{path} is damaged: {' '.join(str(error).split())}. {mend}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise EchoError(f"{path} is damaged: {where or 'the file'}: {first['msg']}. {mend}") from error
    if not points:
        raise EchoError(f"{path} is empty. {mend}")
    return points


def arm_of(points: tuple[RecordedStudy, ...], cell: Cell) -> RecordedArm | None:
    """What the study says about the arm of a cell; None for a base model.

    A cell whose result all points of the sweep share has the settings of the first point.
    """
    for point in points:
        if cell.sweep in ("", point.sweep) and cell.arm in point.arms:
            return point.arms[cell.arm]
    return None


def dotted(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested mappings as dotted names with their plain values."""
    found: list[tuple[str, Any]] = []
    for key, item in value.items():
        name = f"{prefix}{key}"
        found += dotted(item, f"{name}.") if isinstance(item, Mapping) else [(name, item)]
    return found

"""What is evaluated, how often, and by which sampling protocol."""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator

from echochamber.base import Config


class EvaluationConfig(Config):
    """Benchmarks and sampling protocol of a study's evaluations."""

    benchmarks: tuple[str, ...] = Field(min_length=1, description="Names of the tasks to evaluate on.")
    num_problems: int | None = Field(
        default=None,
        ge=1,
        description="Number of problems to evaluate on, from the start of each task; all when absent.",
    )
    num_samples: int = Field(default=8, ge=0, description="Samples per problem; 0 evaluates greedily only.")
    temperature: float = Field(default=1.0, ge=1e-6, description="Temperature of the samples.")
    top_p: float = Field(default=1.0, gt=0.0, le=1.0, description="top_p of the samples.")
    greedy: bool = Field(default=True, description="Also record one greedy completion per problem.")
    max_new_tokens: int = Field(default=80, ge=1, description="Longest completion, in tokens.")
    pass_at: tuple[int, ...] | None = Field(
        default=None, description="The k of pass@k and maj@k; 1 and num_samples when absent."
    )
    num_points: int = Field(
        default=15,
        ge=2,
        description="Evaluations during RL, at log-spaced steps, including the first and the last step.",
    )
    completions_per_batch: int = Field(
        default=1024,
        ge=1,
        description="Completions generated at once; bounds memory, changes results only by rounding.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> EvaluationConfig:
        if len(set(self.benchmarks)) != len(self.benchmarks):
            raise ValueError(
                f"benchmarks {', '.join(self.benchmarks)}: one is named twice; remove the second one"
            )
        if not self.greedy and self.num_samples == 0:
            raise ValueError("greedy false with num_samples 0 evaluates nothing; set one of them")
        if self.pass_at is not None:
            if not self.pass_at or min(self.pass_at) < 1:
                raise ValueError(f"pass_at {list(self.pass_at)}: expected one or more k, each at least 1")
            if max(self.pass_at) > max(self.num_samples, 1):
                raise ValueError(
                    f"pass_at {max(self.pass_at)} needs at least as many samples, but num_samples is "
                    f"{self.num_samples}; raise num_samples or lower pass_at"
                )
        return self

    @property
    def ks(self) -> tuple[int, ...]:
        """The k of pass@k and maj@k for the samples, ascending."""
        wanted = self.pass_at if self.pass_at is not None else (1, max(self.num_samples, 1))
        return tuple(sorted(set(wanted)))


def evaluation_steps(total_steps: int, num_points: int) -> tuple[int, ...]:
    """Steps at which RL is evaluated: dense at the start, where formats move fastest.

    int(logspace(-2.1, 0, num_points) * total_steps), the spacing of Zhao et
    al. 2025 (arXiv:2504.07912), with duplicates removed and 0 and the last
    step always included.
    """
    if total_steps < 0 or num_points < 1:
        raise ValueError(f"need total_steps >= 0 and num_points >= 1, not {total_steps} and {num_points}")
    spaced = (np.logspace(-2.1, 0.0, num_points) * total_steps).astype(int).tolist()
    return tuple(sorted({0, total_steps, *spaced}))

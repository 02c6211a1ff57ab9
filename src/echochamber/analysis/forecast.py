"""Which format RL will keep, forecast from the base model's completions alone.

Shapes: R resamples, P problems of one seed, F formats.

Three theories, each a map from base shares s_f and accuracies a_f to final
shares, with nothing fitted:

* `tilt`: the optimum of reward minus beta * KL. It is the base policy tilted
  by exp(r / beta) (Korbak et al. 2022, arXiv:2205.11275, eq. 5), per prompt, so
  s'_f is proportional to s_f * E[exp(r / beta) | f]. As beta goes to 0 this
  becomes s_f * a_f, the distribution of the correct completions. It says where
  a converged run with that beta ends, not how far a short one gets.
* `pooled tilt`: the same formula applied to the shares and accuracies of the
  whole set at once, as if all prompts were one. It differs where formats are
  good at different problems.
* `policy gradient`: the path of plain policy gradient on a softmax over
  (format, correct or not). With J the mean reward, logits l_f of the formats
  and m_f of being correct within a format,

      dl_f/dt = s_f (a_f - J),    dm_f/dt = s_f a_f (1 - a_f),

  which is the exact gradient of J = sum_f s_f a_f (the two-level softmax of
  Sutton and Barto 2018, sec. 13.1). A format is taught only as often as it is
  sampled, so the race is rich-get-richer, unlike the tilt, which moves all
  formats at one rate. Dividing by a group's standard deviation or changing the
  learning rate only rescales t. The path is followed until J reaches 0.99.
  Networks share weights between formats; this theory does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from echochamber.analysis.intervals import Array, Bands, divide
from echochamber.analysis.resampling import percentile_bands
from echochamber.analysis.runs import Run
from echochamber.analysis.trajectories import NOT_A_FORMAT, Trajectory, select, trajectories
from echochamber.base import InputError
from echochamber.evaluation import Cell

STOP_ACCURACY = 0.99
FLOW_RESAMPLES = 200


@dataclass(frozen=True)
class Forecast:
    """Final shares that one theory expects.

    Attributes:
        theory: its name.
        beta: KL coefficient, 0 for the limit; None where the theory has none.
        formats: the F labels.
        share: expected final shares with 95 % bootstrap intervals over problems: about these base models.
    """

    theory: str
    beta: float | None
    formats: tuple[str, ...]
    share: Bands

    @property
    def winner(self) -> str:
        """The real format expected to be the most frequent."""
        return _most(self.formats, self.share.estimate)

    @property
    def open(self) -> bool:
        """Whether the intervals leave it open which format wins: another may end above the winner."""
        i = self.formats.index(self.winner)
        return any(
            self.share.high[f] > self.share.low[i]
            for f, name in enumerate(self.formats)
            if f != i and name not in NOT_A_FORMAT
        )


@dataclass(frozen=True)
class ForecastComparison:
    """A forecast compared with what an arm did.

    Attributes:
        cell: cell of the arm.
        measured: its final shares, in the order of the forecast's formats.
        winner: its most frequent real format.
        distance: total variation between expected and measured shares, 0 to 1.
        distance_of_base: the same for the base model's own shares, the forecast of "nothing changes".
    """

    forecast: Forecast
    cell: Cell
    measured: tuple[float, ...]
    winner: str
    distance: float
    distance_of_base: float

    @property
    def right(self) -> bool:
        """Whether the forecast named the winner."""
        return self.winner == self.forecast.winner


def forecast(base: Trajectory, betas: Sequence[float] = (0.0,)) -> list[Forecast]:
    """Forecasts for every beta, and one of policy gradient, from a base model's sampled completions.

    Args:
        base: any trajectory whose first step is the base model.
        betas: KL coefficients in units of the reward; 0 for the limit without KL.

    Raises:
        InputError: a negative beta.
    """
    for beta in betas:
        if not (math.isfinite(beta) and beta >= 0):
            raise InputError(f"beta {beta:g}: expected a KL coefficient of 0 or more")
    found = []
    for beta in betas:
        found.append(Forecast("tilt", beta, base.formats, _tilt(base, beta)))
        found.append(Forecast("pooled tilt", beta, base.formats, _pooled_tilt(base, beta)))
    found.append(Forecast("policy gradient", None, base.formats, _policy_gradient(base)))
    return found


def tilted(written: Array, rewarded: Array, beta: float) -> Array:
    """Shares of formats after tilting by exp(r / beta), over the last axis.

    The weights are divided by exp(1 / beta), so that small betas do not overflow.
    Where nothing is rewarded, the limit beta = 0 leaves the shares unchanged.

    Args:
        written: completions in each format, or shares.
        rewarded: sum of their rewards, each 0 or 1.
    """
    scale = 0.0 if beta == 0 else math.exp(-1.0 / beta)
    weights = (written - rewarded) * scale + rewarded
    total = weights.sum(axis=-1, keepdims=True)
    weights = np.where(total > 0, weights, written)
    shares: Array = divide(weights, weights.sum(axis=-1, keepdims=True))
    return shares


def tilt_per_problem(t: Trajectory, beta: float) -> list[Array]:
    """Shares that the tilt expects problem by problem, one (P, F) array per seed."""
    return [tilted(c.completions[:, 0], c.reward[:, 0], beta) for c in t.counts]


def _tilt(t: Trajectory, beta: float) -> Bands:
    """Per problem, then averaged. A problem with few samples gives a coarse tilt; averaging smooths it."""
    shares = tilt_per_problem(t, beta)
    num_values = sum(len(s) for s in shares)
    estimate = np.sum([s.sum(axis=0) for s in shares], axis=0) / num_values
    return percentile_bands(estimate, t.bootstrap.totals(shares) / num_values)


def _totals(t: Trajectory) -> tuple[Array, Array, Array, Array]:
    """Completions and rewards by format over the whole set (F,), and over each resample (R, F)."""
    written, rewarded = [c.completions[:, 0] for c in t.counts], [c.reward[:, 0] for c in t.counts]
    return (
        np.sum([w.sum(axis=0) for w in written], axis=0),
        np.sum([r.sum(axis=0) for r in rewarded], axis=0),
        t.bootstrap.totals(written),
        t.bootstrap.totals(rewarded),
    )


def _pooled_tilt(t: Trajectory, beta: float) -> Bands:
    written, rewarded, written_RF, rewarded_RF = _totals(t)
    return percentile_bands(tilted(written, rewarded, beta), tilted(written_RF, rewarded_RF, beta))


def _policy_gradient(t: Trajectory) -> Bands:
    written, rewarded, written_RF, rewarded_RF = _totals(t)
    estimate = race(written[None], rewarded[None])[0]
    return percentile_bands(estimate, race(written_RF[:FLOW_RESAMPLES], rewarded_RF[:FLOW_RESAMPLES]))


def race(written: Array, rewarded: Array, *, step: float = 0.02, max_steps: int = 200_000) -> Array:
    """Shares (R, F) at the end of the policy-gradient path from base counts (R, F); see the module.

    Counts are smoothed by half a success and half a failure per format
    (Jeffreys), because an accuracy of exactly 0 or 1 would never move. The
    midpoint rule takes longer steps as the fastest row slows down; a row stops
    at J = STOP_ACCURACY. Formats without completions stay at 0.
    """
    share = divide(written, written.sum(axis=-1, keepdims=True))
    accuracy = (rewarded + 0.5) / (written + 1.0)
    with np.errstate(divide="ignore"):
        logit, skill = np.log(share), np.log(accuracy / (1.0 - accuracy))
    done = np.zeros(len(written), dtype=bool)
    for _ in range(max_steps):
        share, accuracy = _softmax(logit), 1.0 / (1.0 + np.exp(-skill))
        done = (share * accuracy).sum(axis=-1) >= STOP_ACCURACY
        if done.all():
            break
        first = _gradient(share, accuracy)
        speed = max(float(np.abs(first[0][~done]).max()), float(np.abs(first[1][~done]).max()))
        length = np.where(done, 0.0, step / speed)[:, None]
        with np.errstate(invalid="ignore"):
            half_logit, half_skill = logit + 0.5 * length * first[0], skill + 0.5 * length * first[1]
        second = _gradient(_softmax(half_logit), 1.0 / (1.0 + np.exp(-half_skill)))
        logit, skill = logit + length * second[0], skill + length * second[1]
    return _softmax(logit)


def _gradient(share: Array, accuracy: Array) -> tuple[Array, Array]:
    mean = (share * accuracy).sum(axis=-1, keepdims=True)
    return share * (accuracy - mean), share * accuracy * (1.0 - accuracy)


def _softmax(logit: Array) -> Array:
    weights = np.exp(logit - logit.max(axis=-1, keepdims=True))
    shares: Array = weights / weights.sum(axis=-1, keepdims=True)
    return shares


def rules_of_thumb(base: Trajectory) -> dict[str, str]:
    """The winners that two simpler rules expect: the base model's most frequent and most accurate format."""
    accuracy = np.nan_to_num(base.accuracy_by_format.estimate[0], nan=-1.0)
    return {
        "most frequent": _most(base.formats, base.share.estimate[0]),
        "most accurate": _most(base.formats, accuracy),
    }


def _most(formats: Sequence[str], values: Array) -> str:
    real = [i for i, name in enumerate(formats) if name not in NOT_A_FORMAT] or list(range(len(formats)))
    return formats[max(real, key=lambda i: float(values[i]))]


def compare_forecast(expected: Forecast, t: Trajectory) -> ForecastComparison:
    """Compare a forecast with an arm's last step."""
    measured, before = t.share.estimate[-1], t.share.estimate[0]
    return ForecastComparison(
        forecast=expected,
        cell=t.cell,
        measured=tuple(measured.tolist()),
        winner=_most(t.formats, measured),
        distance=float(0.5 * np.abs(measured - expected.share.estimate).sum()),
        distance_of_base=float(0.5 * np.abs(measured - before).sum()),
    )


def kl_coefficient(run: Run, t: Trajectory) -> float:
    """The KL coefficient of an arm that has its KL in the reward, where the tilt is its optimum; otherwise 0.

    With the KL in the loss the fixed point is a different one, as it is when rewards are divided by the
    standard deviation of their group.
    """
    arm = run.arm(t.cell)
    return arm.kl_coefficient or 0.0 if arm.kl_in == "reward" else 0.0


def forecasts(run: Run, *, benchmark: str | None = None) -> list[ForecastComparison]:
    """Every theory against every arm of a run, from its sampled completions.

    The tilt is computed for the limit beta = 0 and, where an arm has a KL
    coefficient above 0, for that coefficient as well.
    """
    found = []
    for t in select(trajectories(run), benchmark=benchmark):
        if t.is_base:
            continue
        beta = kl_coefficient(run, t)
        found += [compare_forecast(f, t) for f in forecast(t, (0.0,) if beta == 0 else (0.0, beta))]
    return found

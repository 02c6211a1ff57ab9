"""Dynamic sampling: groups that teach nothing are replaced by others that are drawn in the same step.

Shape suffixes: P prompts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from echochamber.base import derive_seed
from echochamber.base.lazy import torch
from echochamber.rl.rollouts import Rollouts, collect
from echochamber.rl.step_metrics import no_signal

if TYPE_CHECKING:
    from echochamber.rl.learner import Learner
    from echochamber.rl.policy_gradient_config import PolicyGradientConfig


def further_questions(seed: int, step: int, draw: int, count: int, num_problems: int) -> list[int]:
    """Indices of `count` questions for an additional rollout within a step."""
    rng = np.random.default_rng(derive_seed(seed, "further-questions", step, draw))
    return [int(i) for i in rng.choice(num_problems, size=count, replace=count > num_problems)]


def with_signal(learner: Learner, config: PolicyGradientConfig, rollouts: Rollouts, *, step: int) -> Rollouts:
    """Replace groups that are all right or all wrong with groups from additional draws in this step.

    DAPO (arXiv:2503.14476, eq. 11) counts correct answers, not rewards: a penalty on length alone, or a
    bonus for a format, does not make a group worth keeping.
    """
    context, wanted = learner.context, len(rollouts.prompts)
    teaches_P = ~no_signal(rollouts.correct())
    taught = rollouts.groups(torch.nonzero(teaches_P).flatten().tolist())
    spare = rollouts.groups(torch.nonzero(~teaches_P).flatten().tolist())
    for draw in range(1, config.dynamic_sampling + 1):
        if len(taught.prompts) >= wanted:
            break
        indices = further_questions(context.seed, step, draw, wanted, len(context.problems))
        problems = [context.problems[i] for i in indices]
        further = collect(learner, config, problems, step=step, first_slot=draw * wanted)
        chosen = torch.nonzero(~no_signal(further.correct())).flatten().tolist()
        taught = taught.joined(further.groups(chosen))
    missing = wanted - len(taught.prompts)
    if missing > 0:
        drawn = taught.num_drawn
        taught = replace(taught.joined(spare.groups(range(missing))), num_drawn=drawn)
    return taught.groups(range(wanted))

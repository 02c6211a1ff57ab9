"""From rewards to advantages: group baselines, generalised advantage estimation, normalisation.

Shape suffixes: B completions, T response tokens, P prompts, G samples a prompt.
A completion occupies the first tokens of its row; mask_BT is True there.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Scale = Literal["group_std", "batch_std", "none"]


def group_advantages(reward_PG: Tensor, *, scale: Scale = "group_std", epsilon: float = 1e-9) -> Tensor:
    """Reward above the mean of its group, optionally divided by a standard deviation.

    GRPO (arXiv:2402.03300, sec. 4.1.2): (r - mean) / (std + epsilon), std of
    the group with G - 1 in the denominator and epsilon 1e-9 as in the paper's
    code; Dr. GRPO (arXiv:2503.20783) leaves the division out (`none`);
    `batch_std` divides by the std of all rewards. A group of equal rewards
    gives exactly 0, whatever the rounding of its mean.

    Raises:
        ValueError: one sample a group, for which there is no baseline.
    """
    if reward_PG.shape[1] < 2:
        raise ValueError("a group baseline needs at least 2 samples a prompt")
    centred_PG = reward_PG - reward_PG.mean(dim=1, keepdim=True)
    equal_P1 = (reward_PG == reward_PG[:, :1]).all(dim=1, keepdim=True)
    centred_PG = torch.where(equal_P1, torch.zeros_like(centred_PG), centred_PG)
    if scale == "group_std":
        return centred_PG / (reward_PG.std(dim=1, keepdim=True) + epsilon)
    if scale == "batch_std":
        return centred_PG / (reward_PG.std() + epsilon)
    return centred_PG


def leave_one_out_advantages(reward_PG: Tensor) -> Tensor:
    """Reward above the mean of the *other* samples of its group.

    RLOO, Ahmadian et al. 2024 (arXiv:2402.14740). Equals G / (G - 1) times the reward above the group mean.

    Raises:
        ValueError: one sample a group.
    """
    num_samples = reward_PG.shape[1]
    if num_samples < 2:
        raise ValueError("a leave-one-out baseline needs at least 2 samples a prompt")
    others_PG = (reward_PG.sum(dim=1, keepdim=True) - reward_PG) / (num_samples - 1)
    equal_P1 = (reward_PG == reward_PG[:, :1]).all(dim=1, keepdim=True)
    return torch.where(equal_P1, torch.zeros_like(reward_PG), reward_PG - others_PG)


def no_signal(reward_PG: Tensor) -> Tensor:
    """True for each prompt whose samples all earned the same: no group baseline learns from it."""
    return (reward_PG == reward_PG[:, :1]).all(dim=1)


def token_rewards(
    reward_B: Tensor, kl_BT: Tensor | None, mask_BT: Tensor, *, kl_coefficient: float
) -> Tensor:
    """Reward of each token: the completion's reward on its last token, less the KL penalty on all.

    Stiennon et al. 2020 / Ouyang et al. 2022; the paper's PPO (KL inside the per-token reward).
    A completion without tokens has no token to carry its reward and is dropped.
    """
    reward_BT = torch.zeros(mask_BT.shape, dtype=reward_B.dtype, device=reward_B.device)
    last_B = mask_BT.sum(dim=1) - 1
    rows_B = torch.nonzero(last_B >= 0).squeeze(1)
    reward_BT[rows_B, last_B[rows_B]] = reward_B[rows_B]
    if kl_BT is not None and kl_coefficient != 0.0:
        reward_BT = reward_BT - kl_coefficient * torch.where(mask_BT, kl_BT, torch.zeros_like(kl_BT))
    return reward_BT


def gae(
    reward_BT: Tensor, value_BT: Tensor, mask_BT: Tensor, *, gamma: float = 1.0, lam: float = 0.95
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438, eq. 16).

    A_t = sum_k (gamma * lam)^k delta_{t+k}, delta_t = r_t + gamma V_{t+1} - V_t,
    V = 0 after the last token, whether the completion ended by itself or by length.

    Returns:
        (advantage_BT, return_BT), return = advantage + value; 0 where masked.
    """
    value_BT = torch.where(mask_BT, value_BT, torch.zeros_like(value_BT))
    reward_BT = torch.where(mask_BT, reward_BT, torch.zeros_like(reward_BT))
    next_value_BT = torch.cat([value_BT[:, 1:], torch.zeros_like(value_BT[:, :1])], dim=1)
    delta_BT = reward_BT + gamma * next_value_BT - value_BT
    running_B = torch.zeros_like(delta_BT[:, 0])
    columns = []
    for t in reversed(range(delta_BT.shape[1])):
        running_B = torch.where(mask_BT[:, t], delta_BT[:, t] + gamma * lam * running_B, running_B * 0)
        columns.append(running_B)
    advantage_BT = torch.stack(columns[::-1], dim=1)
    return advantage_BT, torch.where(mask_BT, advantage_BT + value_BT, torch.zeros_like(value_BT))


def discounted_returns(reward_BT: Tensor, mask_BT: Tensor, *, gamma: float = 1.0) -> Tensor:
    """Sum of discounted rewards from each token to the end, 0 where masked."""
    return gae(reward_BT, torch.zeros_like(reward_BT), mask_BT, gamma=gamma, lam=1.0)[0]


def normalize_over_tokens(advantage_BT: Tensor, mask_BT: Tensor, *, epsilon: float = 1e-8) -> Tensor:
    """Advantages of mean 0 and standard deviation 1 over all rollout tokens, 0 where masked.

    The paper's PPO and REINFORCE baseline; `epsilon` bounds the variance from below.
    """
    weight_BT = mask_BT.to(advantage_BT.dtype)
    count = weight_BT.sum().clamp(min=1)
    advantage_BT = torch.where(mask_BT, advantage_BT, torch.zeros_like(advantage_BT))
    mean = advantage_BT.sum() / count
    centred_BT = (advantage_BT - mean) * weight_BT
    variance = centred_BT.square().sum() / count
    return centred_BT / variance.clamp(min=epsilon).sqrt()


def explained_variance(value_BT: Tensor, return_BT: Tensor, mask_BT: Tensor) -> float:
    """1 - Var(return - value) / Var(return) over the mask; NaN when the returns do not vary."""
    residual = (return_BT - value_BT)[mask_BT].cpu().double()
    target = return_BT[mask_BT].cpu().double()
    variance = target.var(correction=0)
    if target.numel() == 0 or float(variance) == 0.0:
        return float("nan")
    return float(1 - residual.var(correction=0) / variance)

"""Endpoints of every kind, as a study states them."""

from typing import Any

ENDPOINTS: list[dict[str, Any]] = [
    {"name": "accuracy rises", "arm": "grpo"},
    {"name": "accuracy falls", "arm": "grpo", "expect": "decrease"},
    {"name": "prose is lost", "arm": "grpo", "metric": "share", "format": "boxed", "expect": "decrease"},
    {"name": "the control does nothing", "arm": "random", "expect": "no change", "margin": 0.15},
    {"name": "a tiny effect", "arm": "random", "expect": "no change", "margin": 0.001},
    {"name": "code gets better", "arm": "grpo", "metric": "accuracy", "format": "llm_code", "margin": 0.05},
    {"name": "grpo beats the control's vote", "arm": "grpo", "against": "random", "metric": "maj_at", "k": 8},
    {"name": "too many", "arm": "grpo", "metric": "pass_at", "k": 64},
    {"name": "no such arm", "arm": "dpo"},
    {"name": "no such format", "arm": "grpo", "metric": "share", "format": "gsm8k"},
    {"name": "greedily too", "arm": "grpo", "temperature": 0},
    {"name": "most of it early", "arm": "grpo", "step": 0.1},
    {"name": "and on from there", "arm": "grpo", "against": {"step": 0.1}},
    {
        "name": "more prose than code",
        "arm": "base",
        "metric": "share",
        "format": "boxed",
        "against": {"format": "none"},
    },
    {"name": "gains more than the control", "arm": "grpo", "minus": {"arm": "random"}},
    {"name": "gains more here than there", "arm": "grpo", "minus": {"benchmark": "deep"}},
    {"name": "code wins", "arm": "grpo", "metric": "winner", "format": "llm_code"},
    {"name": "prose wins", "arm": "grpo", "metric": "winner", "format": "boxed"},
    {"name": "the tilt names it", "arm": "grpo", "metric": "winner", "forecast": "tilt"},
    {
        "name": "more code than the tilt expects",
        "arm": "grpo",
        "metric": "share",
        "format": "llm_code",
        "against": {"forecast": "tilt"},
    },
    {"name": "first pass", "arm": "grpo", "step": "first_pass"},
]

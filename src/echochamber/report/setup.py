"""The setup of a run in a few lines: what was trained on what, and with what."""

from __future__ import annotations

from typing import Any

import yaml

from echochamber.analysis import Run


def facts(run: Run) -> list[tuple[str, str]]:
    """Name and value of what a reader asks first; only what the run folder records."""
    study = run.study[0] if run.study else {}
    found: list[tuple[str, str]] = []
    model = study.get("model") or {}
    _add(found, "Model sizes", ", ".join(map(str, model.get("sizes") or [])))
    _add(found, "Context", f"{model['context_length']:,} tokens" if "context_length" in model else "")
    if not study.get("models"):
        _add(found, "Vocabulary", _vocabulary(study.get("tokenizer") or {}))
    for name, mixture in (study.get("mixtures") or {}).items():
        _add(found, f"Mixture {name}", _mixture(mixture))
    for name, starting in (study.get("models") or {}).items():
        _add(found, f"Starting model {name}", str(starting.get("path", "")))
    pretrain = study.get("pretrain") or {}
    if {"batch_size", "sequence_length"} <= pretrain.keys():
        rate = (pretrain.get("optimizer") or {}).get("learning_rate")
        at = f", learning rate {rate:g}" if rate is not None else ""
        _add(
            found,
            "Pretraining",
            f"batches of {pretrain['batch_size']} x {pretrain['sequence_length']} tokens{at}",
        )
    for name, arm in (study.get("arms") or {}).items():
        _add(found, f"Arm {name}", _arm(arm))
    _add(found, "Evaluation", _evaluation(study.get("evaluation") or {}))
    seeds = study.get("seed")
    _add(
        found, "Seeds", ", ".join(map(str, seeds)) if isinstance(seeds, list) else str(seeds) if study else ""
    )
    if len(run.study) > 1:
        _add(found, "Sweep", "; ".join(str(point.get("sweep", "")) for point in run.study))
    return found


def _add(found: list[tuple[str, str]], name: str, value: str) -> None:
    if value:
        found.append((name, value))


def _vocabulary(tokenizer: dict[str, Any]) -> str:
    return f"{tokenizer['vocab_size']:,} tokens" if tokenizer.get("vocab_size") else ""


def _mixture(mixture: dict[str, Any]) -> str:
    if mixture.get("kind") == "passes" or "passes" in mixture:
        return ", ".join(f"{source} x {count:g}" for source, count in (mixture.get("passes") or {}).items())
    shares = mixture.get("shares") or {}
    total = sum(shares.values()) or 1.0
    parts = ", ".join(f"{source} {share / total:.0%}" for source, share in shares.items())
    if isinstance(documents := mixture.get("documents"), dict):
        return "documents: " + ", ".join(f"{source} {count:,}" for source, count in documents.items())
    unit = next((unit for unit in ("tokens", "documents") if mixture.get(unit)), None)
    return f"{mixture[unit]:,} {unit}, of which {parts}" if unit else parts


def _arm(arm: dict[str, Any]) -> str:
    parts = [str(arm.get("algorithm", ""))]
    if arm.get("steps"):
        parts.append(f"{arm['steps']} steps")
    if arm.get("rounds"):
        parts.append(f"{arm['rounds']} rounds")
    if arm.get("prompts_per_step") and arm.get("samples_per_prompt"):
        parts.append(f"{arm['prompts_per_step']} prompts x {arm['samples_per_prompt']} samples")
    rate = (arm.get("optimizer") or {}).get("learning_rate")
    if rate is not None:
        parts.append(f"learning rate {rate:g}")
    if arm.get("kl_coefficient"):
        parts.append(f"KL coefficient {arm['kl_coefficient']:g}")
    if arm.get("reward") not in (None, "correct"):
        parts.append(f"reward: {arm['reward']}")
    if arm.get("start_from"):
        parts.append(f"from {arm['start_from']}")
    if arm.get("start_step"):
        parts.append(f"from step {arm['start_step']:,} of pretraining")
    return ", ".join(part for part in parts if part)


def _evaluation(evaluation: dict[str, Any]) -> str:
    if not evaluation:
        return ""
    parts = [", ".join(evaluation.get("benchmarks") or [])]
    if evaluation.get("num_samples"):
        parts.append(
            f"{evaluation['num_samples']} samples at temperature {evaluation.get('temperature', 1.0):g}"
        )
    if evaluation.get("greedy"):
        parts.append("and greedy")
    if evaluation.get("max_new_tokens"):
        parts.append(f"up to {evaluation['max_new_tokens']} tokens")
    return ", ".join(parts)


def flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested data as dotted names with their values as text."""
    if isinstance(value, dict):
        return [
            row
            for key, item in value.items()
            for row in flat(item, f"{prefix}.{key}" if prefix else str(key))
        ]
    if value is None:
        return []
    return [(prefix, ", ".join(map(str, value)) if isinstance(value, list) else str(value))]


def study_text(run: Run) -> str:
    """The resolved study as YAML."""
    return "---\n".join(yaml.safe_dump(one, sort_keys=False, allow_unicode=True) for one in run.study)

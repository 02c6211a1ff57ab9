"""The setup of a run in a few lines: what was trained, on which data, and with which settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from echochamber.analysis import Run
from echochamber.analysis.recorded import RecordedArm, RecordedEvaluation, RecordedMixture
from echochamber.report.material import Material
from echochamber.report.section import Fragment, register_section

_TEMPLATE = """
<dl>
{% for name, value in facts %}
  <dt>{{ name }}</dt><dd>{{ value }}</dd>
{% endfor %}
</dl>
{% if seconds %}
<details><summary>Compute seconds by stage</summary>
<table class="plain"><tbody>
{% for title, value in seconds %}
  <tr><td>{{ title }}</td><td class="number">{{ value }} s</td></tr>
{% endfor %}
</tbody></table></details>
{% endif %}
{% if environment %}
<details><summary>Machine and versions</summary>
<table class="plain"><tbody>
{% for name, value in environment %}
  <tr><td>{{ name }}</td><td>{{ value }}</td></tr>
{% endfor %}
</tbody></table></details>
{% endif %}
<details><summary>The study, resolved</summary><pre>{{ study_text }}</pre></details>
"""


@register_section("setup", "Setup", short="Setup", order=140)
def setup(material: Material) -> Iterator[Fragment]:
    run = material.run
    seconds = [(title, f"{value:,.1f}") for title, value in run.summary.get("seconds", {}).items()]
    yield Fragment(
        _TEMPLATE,
        {
            "facts": facts(run),
            "seconds": seconds,
            "environment": flat(run.environment),
            "study_text": run.study_text,
        },
    )


def facts(run: Run) -> list[tuple[str, str]]:
    """Names and values of the settings that readers look for first."""
    study = run.study
    found: list[tuple[str, str]] = []
    if study.model is not None:
        found.append(("Model sizes", ", ".join(study.model.sizes)))
        found.append(("Context", f"{study.model.context_length:,} tokens"))
        found.append(("Vocabulary", f"{study.tokenizer.vocab_size:,} tokens"))
    found += [(f"Mixture {name}", _mixture(mixture)) for name, mixture in study.mixtures.items()]
    found += [(f"Starting model {name}", starting.path) for name, starting in study.models.items()]
    if study.pretrain is not None:
        batch = f"{study.pretrain.batch_size} x {study.pretrain.sequence_length} tokens"
        rate = study.pretrain.optimizer.learning_rate
        found.append(("Pretraining", f"batches of {batch}, learning rate {rate:g}"))
    found += [(f"Arm {name}", _arm(arm)) for name, arm in study.arms.items()]
    found.append(("Evaluation", _evaluation(study.evaluation)))
    found.append(("Seeds", ", ".join(map(str, study.seeds))))
    if len(run.points) > 1:
        found.append(("Sweep", "; ".join(point.sweep for point in run.points)))
    return found


def _mixture(mixture: RecordedMixture) -> str:
    if mixture.kind == "passes":
        return ", ".join(f"{source} x {count:g}" for source, count in mixture.passes.items())
    if isinstance(mixture.documents, dict):
        return "documents: " + ", ".join(f"{name} {count:,}" for name, count in mixture.documents.items())
    amount, unit = (
        (mixture.tokens, "tokens") if mixture.documents is None else (mixture.documents, "documents")
    )
    total = sum(mixture.shares.values())
    parts = ", ".join(f"{source} {share / total:.0%}" for source, share in mixture.shares.items())
    return f"{amount:,} {unit}, of which {parts}"


def _arm(arm: RecordedArm) -> str:
    parts = [arm.algorithm]
    if arm.steps:
        parts.append(f"{arm.steps} steps")
    if arm.rounds:
        parts.append(f"{arm.rounds} rounds")
    if arm.prompts_per_step and arm.samples_per_prompt:
        parts.append(f"{arm.prompts_per_step} prompts x {arm.samples_per_prompt} samples")
    if arm.optimizer is not None:
        parts.append(f"learning rate {arm.optimizer.learning_rate:g}")
    if arm.kl_coefficient:
        parts.append(f"KL coefficient {arm.kl_coefficient:g}")
    if arm.reward not in (None, "correct"):
        parts.append(f"reward: {arm.reward}")
    if arm.start_from:
        parts.append(f"from {arm.start_from}")
    if arm.start_step:
        parts.append(f"from step {arm.start_step:,} of pretraining")
    return ", ".join(parts)


def _evaluation(evaluation: RecordedEvaluation) -> str:
    parts = [", ".join(evaluation.benchmarks)]
    if evaluation.num_samples:
        parts.append(f"{evaluation.num_samples} samples at temperature {evaluation.temperature:g}")
    if evaluation.greedy:
        parts.append("and greedy")
    parts.append(f"up to {evaluation.max_new_tokens} tokens")
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

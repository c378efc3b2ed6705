"""Step check: decides before training whether self-alignment works on this base model with this pack.

The method rests on one assumption: that the base model answers better with principles and exemplars in context than
without them. A model that is too small for a pack still writes rows that parse, and training on them engraves nonsense.
Bare and prompted base need nothing but the import, so their scores are known before training; this step compares them,
and judges the rows of self-alignment, while only generation has been paid for.

Thresholds on the share of kept rows alone would not do: a grammar makes every row parse, whatever it says.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from selfalign_stages.artifacts import reading, writing
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.model import canonical_json
from selfalign_stages.contract.parameters import CheckParameters
from selfalign_stages.step.context import StepContext

FIELD = "stages.selfAlign.requirements"
"""Path of the thresholds in the manifest of a run."""
LEAST = {"keptShare": "kept_share", "distinctAnswers": "distinct_answers", "languageShare": "language_share"}
"""Thresholds that a metric of step answers may not fall below: parameter by metric."""
MOST = {"refusalShare": "refusal_share", "loopShare": "loop_share"}
"""Thresholds that a metric of step answers may not exceed: parameter by metric."""
REMEDIES = {
    "keptShare": "the rejected rows and their reasons are in the store; usual causes are a pack that is too long for "
    "the model (try principles.builtin: starter or selfAlign.thought: constrained) and a low selfAlign.maxTokens",
    "distinctAnswers": "the model repeats a few answers: raise selfAlign.temperature, or add exemplars of other kinds",
    "languageShare": "the answers leave the pack's language: use a base model that was trained on it",
    "refusalShare": "the pack teaches to refuse: add exemplars that help, or set selfAlign.limitShare",
    "loopShare": "the model repeats itself: lower selfAlign.maxTokens, or raise selfAlign.temperature",
}
"""What to change, by metric."""


def run(context: StepContext) -> Manifest:
    """Publishes check.json with all figures.

    Raises:
        BadInput: the prompted base does not score better than the bare one by the margin (PromptingDoesNotHelp), or
            the rows of self-alignment are outside the thresholds (YieldTooLow).
    """
    settings = CheckParameters.model_validate(context.task.parameters)
    inputs = {name: reading.require_manifest(context.store, ref) for name, ref in context.task.inputs.items()}
    gains = gain_by_metric(settings.metrics, prompted=inputs["prompted"].metrics, base=inputs["base"].metrics)
    gain = sum(gains.values()) / len(gains)
    # Equal figures give a difference of some 1e-17 off, on either side of a margin of 0.
    if round(gain, 6) < settings.prompting_gain:
        scores = "; ".join(
            f"{metric} {inputs['prompted'].metrics[metric]:.3f} prompted, {inputs['base'].metrics[metric]:.3f} bare"
            for metric in settings.metrics
        )
        raise BadInput(
            f"{context.task.id}: with the pack's principles and exemplars in context the base model gains {gain:+.3f} "
            f"in score, {FIELD}.promptingGain asks for {settings.prompting_gain:+g} ({scores}). Training would "
            "engrave answers that are no better than the base model's own: use a larger base model, a pack with fewer "
            f"and shorter rules (principles.builtin: starter), or lower {FIELD}.promptingGain",
            reason="PromptingDoesNotHelp",
        )
    shares = {metric: float(inputs["answers"].metrics[metric]) for metric in (*LEAST, *MOST)}
    if outside := outside_thresholds(shares, settings):
        raise BadInput(
            f"{context.task.id}: " + "; ".join(outside), reason="YieldTooLow", counts=inputs["answers"].counts
        )
    figures: dict[str, Any] = {"promptingGain": round(gain, 4)} | shares
    return writing.publish(context, files={"check.json": canonical_json(figures | {"gains": gains})}, metrics=figures)


def gain_by_metric(metrics: Sequence[str], *, prompted: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, float]:
    """Returns how much better the prompted base scores than the bare one.

    Args:
        metrics: names as SUITE.METRIC, each a fraction from 0 to 1.
        prompted: metrics of step score for the prompted base.
        base: the same for the bare base.
    """
    return {metric: round(float(prompted[metric]) - float(base[metric]), 4) for metric in metrics}


def outside_thresholds(shares: Mapping[str, float], settings: CheckParameters) -> list[str]:
    """Returns a sentence for every share that is outside its threshold: metric, value, threshold and remedy.

    Args:
        shares: metrics of step answers, fractions from 0 to 1, by the names in LEAST and MOST.
        settings: the thresholds.
    """
    findings = []
    for metric, share in shares.items():
        least = metric in LEAST
        limit = getattr(settings, (LEAST if least else MOST)[metric])
        if (share < limit) if least else (share > limit):
            bound = "at least" if least else "at most"
            findings.append(f"{metric} is {share:.2f}, {FIELD}.{metric} asks for {bound} {limit:g}: {REMEDIES[metric]}")
    return findings

"""Step score: one model variant on all suites; per-item outcomes are kept for paired comparisons."""

from selfalign_stages.artifacts import writing
from selfalign_stages.contract.graph import SUITE_PREFIX
from selfalign_stages.contract.manifest import Counts, Manifest
from selfalign_stages.contract.model import canonical_json
from selfalign_stages.contract.parameters import ScoreParameters
from selfalign_stages.engine.interface import Engine
from selfalign_stages.engine.open_engine import open_engine
from selfalign_stages.evaluation import adherence, bootstrap, hhh, suites, truthfulqa
from selfalign_stages.evaluation.items import ItemScore
from selfalign_stages.evaluation.variant_prompts import VariantPrompts
from selfalign_stages.pack import parts
from selfalign_stages.step.context import StepContext


def run(context: StepContext) -> Manifest:
    """Scores and publishes outcomes.jsonl.zst and summary.json."""
    settings = ScoreParameters.model_validate(context.task.parameters)
    return score(context, open_engine(context, model="model"), settings)


def score(context: StepContext, engine: Engine, settings: ScoreParameters) -> Manifest:
    """The step with its engine given."""
    pack = parts.read(context.task)
    framing = VariantPrompts(pack=pack, variant=settings.variant, assistant_name=settings.assistant_name)
    context.progress.begin(len(settings.suites), unit="suites")
    outcomes: list[ItemScore] = []
    for suite in settings.suites:
        context.check_stop()
        texts = suites.content(context.task.leaves[f"{SUITE_PREFIX}{suite.name}"].uri, pack)
        if suite.format == "hhh":
            outcomes += hhh.run(suites.choices(texts), engine, framing, suite=suite.name)
        elif suite.format == "truthfulqa":
            outcomes += truthfulqa.run(suites.truths(texts), engine, framing, suite=suite.name)
        else:
            outcomes += adherence.run(
                suites.checks(texts),
                engine,
                framing,
                suite=suite.name,
                sampling=settings.sampling,
                key=context.task.key,
                seed=context.task.seed,
            )
        context.progress.advance()
    means = {
        name: round(bootstrap.mean(list(items.values())), 4) for name, items in bootstrap.by_metric(outcomes).items()
    }
    return writing.publish(
        context,
        files={"outcomes.jsonl.zst": writing.encode_rows(outcomes), "summary.json": canonical_json(means)},
        counts=Counts(rows=len(outcomes), kept=len(outcomes)),
        metrics={name: value for name, value in means.items() if name.endswith((".overall", ".mc1", ".mc2"))},
    )

"""Step score: one model variant on all suites; per-item outcomes are kept for paired comparisons."""

from selfalign_stages.artifacts import writing
from selfalign_stages.context import StepContext
from selfalign_stages.contract import parameters
from selfalign_stages.contract.manifest import Counts, Manifest
from selfalign_stages.contract.model import canonical_json
from selfalign_stages.engine.interface import Engine
from selfalign_stages.engine.opening import open_engine
from selfalign_stages.evaluation import adherence, hhh, suites, summary, truthfulqa
from selfalign_stages.evaluation.framing import Framing
from selfalign_stages.evaluation.items import Outcome
from selfalign_stages.pack import parts


def run(context: StepContext) -> Manifest:
    """Scores and publishes outcomes.jsonl.zst and summary.json."""
    settings = parameters.Score.model_validate(context.task.parameters)
    return score(context, open_engine(context, model="model"), settings)


def score(context: StepContext, engine: Engine, settings: parameters.Score) -> Manifest:
    """The step with its engine given."""
    pack = parts.read(context.task)
    framing = Framing(pack=pack, variant=settings.variant, assistant_name=settings.assistant_name)
    context.progress.begin(len(settings.suites), unit="suites")
    outcomes: list[Outcome] = []
    for suite in settings.suites:
        context.check_stop()
        texts = suites.content(context.task.leaves[f"{suites.LEAF}{suite.name}"].uri, pack)
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
    means = {name: round(summary.mean(list(items.values())), 4) for name, items in summary.by_metric(outcomes).items()}
    return writing.publish(
        context,
        files={"outcomes.jsonl.zst": writing.encode_rows(outcomes), "summary.json": canonical_json(means)},
        counts=Counts(rows=len(outcomes), kept=len(outcomes)),
        metrics={name: value for name, value in means.items() if name.endswith((".overall", ".mc1", ".mc2"))},
    )

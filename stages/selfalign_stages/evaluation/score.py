"""Step score: runs one model variant on all suites and publishes a score per item.

One step per variant, so that variants are scored in parallel and a new suite or pack reruns only what it changes.
Files: scores of the items (outcomes.jsonl.zst), which step gate compares, and their means (summary.json).
"""

from collections.abc import Mapping

from selfalign_stages.artifacts import writing
from selfalign_stages.contract.counts import Counts
from selfalign_stages.contract.graph import SUITE_PREFIX
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.model import canonical_json
from selfalign_stages.contract.parameters import Sampling, ScoreParameters, SuiteParameters
from selfalign_stages.engine.interface import Engine
from selfalign_stages.engine.open_engine import EngineLoader, open_engine
from selfalign_stages.evaluation import adherence, bootstrap, hhh, limits, suites, truthfulqa
from selfalign_stages.evaluation.items import ItemScore
from selfalign_stages.evaluation.variant_prompts import VariantPrompts
from selfalign_stages.pack import parts, thoughts
from selfalign_stages.step.context import StepContext

HEADLINE_SUFFIXES = (".overall", ".mc1", ".mc2", ".limitsKept", ".plainAnswered", ".overRefusal", ".unreadable")
"""Means that enter the manifest's metrics, and with it the run's status; all others are in summary.json."""


def run(context: StepContext, *, load: EngineLoader = open_engine) -> Manifest:
    """Scores the variant and publishes outcomes.jsonl.zst and summary.json."""
    settings = ScoreParameters.model_validate(context.task.parameters)
    engine = load(context, model="model")
    pack = parts.read(context.task)
    prompts = VariantPrompts(
        pack=pack,
        variant=settings.variant,
        assistant_name=settings.assistant_name,
        thought=thoughts.resolve(pack, settings.thought),
        trained_thoughts=settings.thoughts,
    )
    context.progress.begin(len(settings.suites), unit="suites")
    scores: list[ItemScore] = []
    for suite in settings.suites:
        context.check_stop()
        texts = suites.read_texts(context.task.leaves[f"{SUITE_PREFIX}{suite.name}"].uri, pack)
        scores += score_suite(
            suite,
            texts,
            engine,
            prompts,
            sampling=settings.sampling,
            key=context.task.key,
            seed=context.task.seed,
        )
        context.progress.advance()
    means = {
        name: round(bootstrap.mean(list(values.values())), 4) for name, values in bootstrap.by_metric(scores).items()
    }
    return writing.publish(
        context,
        files={"outcomes.jsonl.zst": writing.encode_rows(scores), "summary.json": canonical_json(means)},
        counts=Counts(rows=len(scores), kept=len(scores)),
        metrics={name: value for name, value in means.items() if name.endswith(HEADLINE_SUFFIXES)},
    )


def score_suite(
    suite: SuiteParameters,
    texts: Mapping[str, str],
    engine: Engine,
    prompts: VariantPrompts,
    *,
    sampling: Sampling,
    key: str,
    seed: int,
) -> list[ItemScore]:
    """Scores one suite by the method of its format.

    Args:
        suite: name and format.
        texts: the suite's files by name, see `suites.read_texts`.
        engine: the model variant.
        prompts: the prompts of that variant.
        sampling: decoding of generated answers (formats adherence and limits; the others score given answers).
        key: key of the step, for the sampling seeds.
        seed: `spec.seed` of the run, for the sampling seeds.

    Raises:
        BadInput: a file is not of the suite's format.
        DoesNotFit: an item exceeds the model's context length.
    """
    match suite.format:
        case "hhh":
            return hhh.run(suites.parse_hhh(texts), engine, prompts, suite=suite.name)
        case "truthfulqa":
            return truthfulqa.run(suites.parse_truthfulqa(texts), engine, prompts, suite=suite.name)
        case "adherence":
            items = suites.parse_adherence(texts)
            return adherence.run(items, engine, prompts, suite=suite.name, sampling=sampling, key=key, seed=seed)
        case "limits":
            probes = suites.parse_limits(texts, language=prompts.pack.header.language)
            return limits.run(probes, engine, prompts, suite=suite.name, sampling=sampling, key=key, seed=seed)

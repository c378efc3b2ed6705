"""The steps of a run, before anything is known but its manifest. Pure; keys follow by contract.graph.keys."""

import math
from collections.abc import Iterator

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.stages import Generation, RedTeaming
from selfalign_operator.api.training import Training, resolve
from selfalign_stages.contract.graph import (
    BASE_MODEL,
    GATE_STEP,
    IMAGE_STEP,
    KINDS,
    PUSH_STEP,
    SUITE_PREFIX,
    Kind,
    StageName,
    Step,
)
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.parameters import (
    AnswersParameters,
    GateParameters,
    ImageParameters,
    ImportParameters,
    InstructionsParameters,
    MergeParameters,
    PromptsParameters,
    PushParameters,
    QuestionsParameters,
    Sampling,
    ScoreParameters,
    SuiteParameters,
    TopicsParameters,
    Variant,
    VerboseAnswersParameters,
)
from selfalign_stages.contract.task import Leaf

PACKS = tuple(dict.fromkeys(info.pack for info in KINDS.values() if info.pack))
"""Leaves of the principle pack: the whole, and its parts by what reads them."""


def steps(run: SelfAlignRun) -> tuple[Step, ...]:
    """All steps in topological order."""
    return (
        Step(id="import", stage="import", kind="import", parameters=ImportParameters(), leaves=(BASE_MODEL,)),
        *_red_teaming(run),
        _self_align(run),
        *_tuning(run, run.spec.stages.engraving, stage="engraving", answers="selfalign-answers"),
        *(_cloning(run) if run.spec.stages.cloning.enabled else ()),
        *_evaluation(run),
        _image(run),
        *([_push(run, run.spec.image.repository)] if run.spec.image.repository else ()),
    )


def goals(run: SelfAlignRun) -> tuple[str, str]:
    """The steps that a run is done with: its gates, and its image, pushed where it has a repository."""
    return GATE_STEP, PUSH_STEP if run.spec.image.repository else IMAGE_STEP


def leaves(run: SelfAlignRun, *, pack_uri: str | None = None) -> dict[str, Leaf]:
    """The inputs from outside the store by leaf name; a ConfigMap pack is given by the place where it is mounted."""
    principles, source = run.spec.principles, run.spec.base_model
    pack = f"builtin://{principles.builtin}" if principles.builtin else principles.uri or pack_uri
    if pack is None:
        raise ValueError("spec.principles.configMapRef needs a pack_uri: the place where the ConfigMap is mounted")
    suites = {f"{SUITE_PREFIX}{suite.name}": Leaf(uri=suite.uri) for suite in run.spec.stages.evaluation.suites}
    return {
        BASE_MODEL: Leaf(uri=source.uri, revision=source.revision),
        **{name: Leaf(uri=pack) for name in PACKS},
        **suites,
    }


def variant_models(run: SelfAlignRun) -> dict[Variant, str]:
    """The step whose artifact is the model of each variant that the run evaluates."""
    models: dict[Variant, str] = {"base": "import", "prompted": "import", "engraved": "engraving-merge"}
    return models | ({"cloned": "cloning-merge"} if run.spec.stages.cloning.enabled else {})


def longest_completion(run: SelfAlignRun) -> int:
    """Most new tokens that follow the pack's prefix, for its token budget."""
    return max(run.spec.stages.self_align.max_tokens, run.spec.stages.evaluation.sampling.max_tokens)


def _pack(kind: Kind) -> tuple[str, ...]:
    part = KINDS[kind].pack
    return (part,) if part else ()


def _suite_leaves(run: SelfAlignRun) -> tuple[str, ...]:
    return tuple(f"{SUITE_PREFIX}{suite.name}" for suite in run.spec.stages.evaluation.suites)


def _red_teaming(run: SelfAlignRun) -> Iterator[Step]:
    wanted = run.spec.stages.red_teaming
    base = {BASE_MODEL: "import"}
    merged = {name: f"redteaming-{name}" for name in ("questions", "instructions")}
    suites = _suite_leaves(run) if wanted.decontaminate else ()
    yield _red_teaming_step("topics", _topics(wanted), inputs=base)
    yield _red_teaming_step("questions", _questions(wanted), inputs=base | {"topics": "redteaming-topics"})
    yield _red_teaming_step("instructions", _instructions(wanted), inputs=base)
    yield _red_teaming_step("prompts", _prompts(wanted), inputs=merged, suites=suites)


def _red_teaming_step(kind: Kind, settings: Model, *, inputs: dict[str, str], suites: tuple[str, ...] = ()) -> Step:
    id_ = f"redteaming-{kind}"
    return Step(
        id=id_, stage="redTeaming", kind=kind, parameters=settings, inputs=inputs, leaves=(*_pack(kind), *suites)
    )


def _topics(wanted: RedTeaming) -> TopicsParameters:
    return TopicsParameters(
        topics_per_type=wanted.topics_per_type, rounds=wanted.rounds, sampling=_plain(wanted.sampling.topics)
    )


def _questions(wanted: RedTeaming) -> QuestionsParameters:
    return QuestionsParameters(
        questions_per_topic=wanted.questions_per_topic, sampling=_plain(wanted.sampling.questions)
    )


def _instructions(wanted: RedTeaming) -> InstructionsParameters:
    return InstructionsParameters(
        instructions=max(1, math.ceil(wanted.prompts * (1 - wanted.topic_guided_share))),
        rounds=wanted.rounds,
        dedup_rouge_l=wanted.dedup_rouge_l,
        sampling=_plain(wanted.sampling.instructions),
    )


def _prompts(wanted: RedTeaming) -> PromptsParameters:
    return PromptsParameters(
        prompts=wanted.prompts, dedup_rouge_l=wanted.dedup_rouge_l, decontaminate=wanted.decontaminate
    )


def _plain(sampling: Sampling) -> Sampling:
    return Sampling(temperature=sampling.temperature, top_p=sampling.top_p, max_tokens=sampling.max_tokens)


def _generation(generation: Generation, assistant_name: str) -> dict[str, object]:
    return {
        "assistant_name": assistant_name,
        "sampling": Sampling(
            temperature=generation.temperature, top_p=generation.top_p, max_tokens=generation.max_tokens
        ),
        "chunk_size": generation.chunk_size,
        "deterministic": generation.deterministic,
        "max_reject_ratio": generation.max_reject_ratio,
    }


def _self_align(run: SelfAlignRun) -> Step:
    settings = _generation(run.spec.stages.self_align, run.spec.assistant_name)
    return Step(
        id="selfalign-answers",
        stage="selfAlign",
        kind="answers",
        parameters=AnswersParameters.model_validate(settings),
        inputs={BASE_MODEL: "import", "prompts": "redteaming-prompts"},
        leaves=_pack("answers"),
    )


def _tuning(run: SelfAlignRun, training: Training, *, stage: StageName, answers: str) -> Iterator[Step]:
    name = run.spec.assistant_name
    yield Step(
        id=f"{stage}-train",
        stage=stage,
        kind="train",
        parameters=resolve(training, assistant_name=name, cloning=stage == "cloning"),
        inputs={BASE_MODEL: "import", "answers": answers},
        leaves=_pack("train"),
    )
    yield Step(
        id=f"{stage}-merge",
        stage=stage,
        kind="merge",
        parameters=MergeParameters(dtype=training.merge.dtype, tolerance=training.merge.tolerance),
        inputs={BASE_MODEL: "import", "adapter": f"{stage}-train"},
    )


def _cloning(run: SelfAlignRun) -> Iterator[Step]:
    cloning = run.spec.stages.cloning
    settings = _generation(cloning.generation, run.spec.assistant_name)
    yield Step(
        id="cloning-answers",
        stage="cloning",
        kind="verbose-answers",
        parameters=VerboseAnswersParameters.model_validate(settings),
        inputs={"teacher": "engraving-merge", "prompts": "redteaming-prompts"},
        leaves=_pack("verbose-answers"),
    )
    yield from _tuning(run, cloning.training, stage="cloning", answers="cloning-answers")


def _evaluation(run: SelfAlignRun) -> Iterator[Step]:
    wanted = run.spec.stages.evaluation
    models = variant_models(run)
    yield from (_score(run, variant, model) for variant, model in models.items())
    yield Step(
        id=GATE_STEP,
        stage="evaluation",
        kind="gate",
        parameters=GateParameters(
            gates=wanted.gates, bootstrap_samples=wanted.bootstrap_samples, confidence=wanted.confidence
        ),
        inputs={variant: f"evaluation-score-{variant}" for variant in models},
    )


def _score(run: SelfAlignRun, variant: Variant, model: str) -> Step:
    wanted = run.spec.stages.evaluation
    settings = ScoreParameters(
        variant=variant,
        assistant_name=run.spec.assistant_name,
        suites=tuple(SuiteParameters(name=suite.name, format=suite.format) for suite in wanted.suites),
        sampling=_plain(wanted.sampling),
    )
    return Step(
        id=f"evaluation-score-{variant}",
        stage="evaluation",
        kind="score",
        parameters=settings,
        inputs={"model": model},
        leaves=(*_pack("score"), *_suite_leaves(run)),
    )


def _image(run: SelfAlignRun) -> Step:
    image = run.spec.image
    variant = image.variant or ("cloned" if run.spec.stages.cloning.enabled else "engraved")
    return Step(
        id=IMAGE_STEP,
        stage="packaging",
        kind="image",
        parameters=ImageParameters(
            assistant_name=run.spec.assistant_name,
            repository=image.repository or f"localhost/{run.metadata.name}",
            tag=image.tag,
            variant=variant,
            model_license=image.license,
        ),
        inputs={"model": variant_models(run)[variant], "gate": GATE_STEP, BASE_MODEL: "import"},
        leaves=_pack("image"),
    )


def _push(run: SelfAlignRun, repository: str) -> Step:
    image = run.spec.image
    return Step(
        id=PUSH_STEP,
        stage="packaging",
        kind="push",
        parameters=PushParameters(
            repository=repository,
            tag=image.tag,
            promote_to=image.promote_to,
            formats=image.formats,
            base=image.base,
            served_name=run.spec.assistant_name.lower(),
            plain_http=image.plain_http,
        ),
        inputs={"image": IMAGE_STEP},
    )

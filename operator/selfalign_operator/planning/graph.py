"""The steps of a run and their inputs, as they follow from its manifest alone. Pure.

The graph is fixed by the method (Self-Align paper, arXiv 2305.03047, section 3) and only its parameters vary, so it is
written out here instead of being declared in a workflow language. A step names its inputs by step id; `keys` in
contract.graph turns the graph into artifact keys once preflight has resolved the leaves. Placement, retries and budgets
never enter parameters: changing them must not change a key.
"""

from collections.abc import Iterator

from selfalign_operator.api.evaluation import BUILTIN_SUITES, Suite
from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.stages import PromptSource
from selfalign_operator.api.training import ExtraRows, Training, resolve
from selfalign_operator.planning import retry, step_parameters
from selfalign_stages.contract.graph import (
    BASE_MODEL,
    CHECK_STEP,
    EXTRA_ROWS_PREFIX,
    GATE_STEP,
    IMAGE_STEP,
    KINDS,
    PROMPT_SOURCE_PREFIX,
    PUSH_STEP,
    SUITE_PREFIX,
    Kind,
    StageName,
    Step,
)
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.parameters import (
    AnswersParameters,
    CheckParameters,
    GateParameters,
    ImageParameters,
    ImportParameters,
    MergeParameters,
    PushParameters,
    ScoreParameters,
    SuiteParameters,
    Variant,
    VerboseAnswersParameters,
)
from selfalign_stages.contract.task import Leaf

WRITTEN_FORMATS = ("adherence", "limits")
"""Formats of suites for which a variant writes answers; for the others it scores answers that the suite has."""
PACK_LEAVES = tuple(dict.fromkeys(info.pack for info in KINDS.values() if info.pack))
"""Leaf names of the principle pack: the whole pack, and each part that a step kind reads."""


def steps(run: SelfAlignRun) -> tuple[Step, ...]:
    """Returns all steps of a run in topological order, those that are made anew with their nonce."""
    return retry.with_nonces(_steps(run), retry.nonces(run))


def _steps(run: SelfAlignRun) -> tuple[Step, ...]:
    return (
        Step(id="import", stage="import", kind="import", parameters=ImportParameters(), leaves=(BASE_MODEL,)),
        # The bare and the prompted base need the import alone. First in the order, because a machine with one slot
        # works through it, and the check before training reads their scores.
        *(_score(run, variant, model) for variant, model in variant_models(run).items() if model == "import"),
        *_red_teaming(run),
        _self_align(run),
        _check(run),
        *_tuning(run, run.spec.stages.engraving, stage="engraving", answers="selfalign-answers", after=(CHECK_STEP,)),
        *(_cloning(run) if run.spec.stages.cloning.enabled else ()),
        *_evaluation(run),
        _image(run),
        *([_push(run, run.spec.image.repository)] if run.spec.image.repository else ()),
    )


def goals(run: SelfAlignRun) -> tuple[str, str]:
    """Returns the ids of the steps that complete a run: the gates, and the push, or the image without a repository."""
    return GATE_STEP, PUSH_STEP if run.spec.image.repository else IMAGE_STEP


def leaves(run: SelfAlignRun, *, pack_uri: str | None = None) -> dict[str, Leaf]:
    """Returns the inputs from outside the artifact store by leaf name, without digests.

    Args:
        run: the run.
        pack_uri: file:// URI of the folder where a ConfigMap pack is mounted; unused for all other packs.

    Raises:
        ValueError: the pack is a ConfigMap and `pack_uri` is None.
    """
    principles, source = run.spec.principles, run.spec.base_model
    pack = f"builtin://{principles.builtin}" if principles.builtin else principles.uri or pack_uri
    if pack is None:
        raise ValueError("spec.principles.configMapRef: pack_uri is missing, the URI where the ConfigMap is mounted")
    suite_leaves = {f"{SUITE_PREFIX}{suite.name}": Leaf(uri=suite.uri) for suite in suites(run)}
    return {
        BASE_MODEL: Leaf(uri=source.uri, revision=source.revision),
        **{name: Leaf(uri=pack) for name in PACK_LEAVES},
        **{name: Leaf(uri=one.uri, revision=one.revision) for name, one in prompt_sources(run).items()},
        **{name: Leaf(uri=one.uri, revision=one.revision) for name, one in extra_rows(run).items()},
        **suite_leaves,
    }


def leaf_secrets(run: SelfAlignRun) -> dict[str, str]:
    """Returns the name of the Secret for reading a leaf, by leaf name, of leaves that have one."""
    references = {BASE_MODEL: run.spec.base_model.secret_ref}
    references |= {leaf: source.secret_ref for leaf, source in prompt_sources(run).items()}
    references |= {leaf: file.secret_ref for leaf, file in extra_rows(run).items()}
    return {leaf: reference.name for leaf, reference in references.items() if reference is not None}


def prompt_sources(run: SelfAlignRun) -> dict[str, PromptSource]:
    """Returns the files with prompts of one's own by leaf name, in the manifest's order."""
    listed = run.spec.stages.red_teaming.prompt_sources
    return {f"{PROMPT_SOURCE_PREFIX}{number}": source for number, source in enumerate(listed)}


def extra_rows(run: SelfAlignRun) -> dict[str, ExtraRows]:
    """Returns the files with training rows of one's own by leaf name, by stage and in the manifest's order."""
    stages = run.spec.stages
    trainings = {"engraving": stages.engraving} | (
        {"cloning": stages.cloning.training} if stages.cloning.enabled else {}
    )
    return {
        f"{EXTRA_ROWS_PREFIX}{stage}:{number}": file
        for stage, training in trainings.items()
        for number, file in enumerate(training.extra_rows)
    }


def suites(run: SelfAlignRun) -> tuple[Suite, ...]:
    """Returns the suites of a run: those in its manifest, or those of its built-in pack; none if it has neither."""
    listed = run.spec.stages.evaluation.suites
    return BUILTIN_SUITES.get(run.spec.principles.builtin or "", ()) if listed is None else listed


def variant_models(run: SelfAlignRun) -> dict[Variant, str]:
    """Returns the evaluated variants, each with the id of the step that makes its model.

    "base" and "prompted" share the imported model; the latter is evaluated under the principle prompt of section 3.2.
    """
    models: dict[Variant, str] = {"base": "import", "prompted": "import", "engraved": "engraving-merge"}
    return models | ({"cloned": "cloning-merge"} if run.spec.stages.cloning.enabled else {})


def longest_completion(run: SelfAlignRun) -> int:
    """Returns the most new tokens that follow the pack's prompt; preflight checks both against the context window."""
    return max(run.spec.stages.self_align.max_tokens, run.spec.stages.evaluation.sampling.max_tokens)


def _pack_leaves(kind: Kind) -> tuple[str, ...]:
    part = KINDS[kind].pack
    return (part,) if part else ()


def _suite_leaves(run: SelfAlignRun) -> tuple[str, ...]:
    return tuple(f"{SUITE_PREFIX}{suite.name}" for suite in suites(run))


def _red_teaming(run: SelfAlignRun) -> Iterator[Step]:
    """Topic-guided questions, general instructions (paper section 3.1) and prompts of one's own, merged into one set.

    Where one's own have all shares, nothing is generated, and there is no step that would load the model for it.
    """
    settings = run.spec.stages.red_teaming
    base = {BASE_MODEL: "import"}
    generated = step_parameters.generated_prompts(settings) > 0
    sources = {name: f"redteaming-{name}" for name in ("questions", "instructions") if generated}
    # Without decontamination the suites are no leaves: adding a suite then leaves the prompts' key unchanged.
    held_out = _suite_leaves(run) if settings.decontaminate else ()
    engine = run.spec.engine
    if generated:
        topics = {"topics": "redteaming-topics"}
        yield _red_teaming_step("topics", step_parameters.topics(settings, engine), inputs=base)
        yield _red_teaming_step("questions", step_parameters.questions(settings, engine), inputs=base | topics)
        yield _red_teaming_step("instructions", step_parameters.instructions(settings, engine), inputs=base)
    own = tuple(prompt_sources(run))
    yield _red_teaming_step("prompts", step_parameters.prompts(settings), inputs=sources, leaves=(*own, *held_out))


def _red_teaming_step(kind: Kind, parameters: Model, *, inputs: dict[str, str], leaves: tuple[str, ...] = ()) -> Step:
    return Step(
        id=f"redteaming-{kind}",
        stage="redTeaming",
        kind=kind,
        parameters=parameters,
        inputs=inputs,
        leaves=(*_pack_leaves(kind), *leaves),
    )


def _self_align(run: SelfAlignRun) -> Step:
    """Principle-driven self-alignment (paper section 3.2)."""
    self_align = run.spec.stages.self_align
    settings = step_parameters.generation(self_align, run.spec.assistant_name, run.spec.engine) | {
        "thought": self_align.thought,
        "samples": self_align.samples,
        "attempts": self_align.attempts,
        "limit_share": self_align.limit_share,
    }
    return Step(
        id="selfalign-answers",
        stage="selfAlign",
        kind="answers",
        parameters=AnswersParameters.model_validate(settings),
        inputs={BASE_MODEL: "import", "prompts": "redteaming-prompts"},
        leaves=_pack_leaves("answers"),
    )


def _check(run: SelfAlignRun) -> Step:
    """The check before training: is the prompted base better than the bare one, and are its answers fit to train on?"""
    return Step(
        id=CHECK_STEP,
        stage="selfAlign",
        kind="check",
        parameters=CheckParameters(
            metrics=_compared_metrics(run), **run.spec.stages.self_align.requirements.model_dump()
        ),
        inputs={
            "base": "evaluation-score-base",
            "prompted": "evaluation-score-prompted",
            "answers": "selfalign-answers",
        },
    )


def _compared_metrics(run: SelfAlignRun) -> tuple[str, ...]:
    """Metrics by which the check compares: of written answers, as training uses them, else of multiple choice."""
    all_suites = suites(run)
    written = [suite for suite in all_suites if suite.format in WRITTEN_FORMATS]
    return tuple(
        f"{suite.name}.{'mc1' if suite.format == 'truthfulqa' else 'overall'}" for suite in written or all_suites
    )


def _tuning(
    run: SelfAlignRun, training: Training, *, stage: StageName, answers: str, after: tuple[str, ...] = ()
) -> Iterator[Step]:
    """Fine-tuning and merging. The base model is the student of both stages: cloning does not continue engraving."""
    name = run.spec.assistant_name
    own = tuple(leaf for leaf in extra_rows(run) if leaf.startswith(f"{EXTRA_ROWS_PREFIX}{stage}:"))
    # Rows of one's own are compared with the suites here. Answers were, as prompts: without such rows the suites are no
    # leaves, and adding one trains nothing again.
    leaves = (*_pack_leaves("train"), *own, *(_suite_leaves(run) if own else ()))
    yield Step(
        id=f"{stage}-train",
        stage=stage,
        kind="train",
        parameters=resolve(
            training, assistant_name=name, cloning=stage == "cloning", thoughts=_has_thoughts(run, stage)
        ),
        inputs={BASE_MODEL: "import", "answers": answers},
        leaves=leaves,
        after=after,
    )
    yield Step(
        id=f"{stage}-merge",
        stage=stage,
        kind="merge",
        parameters=MergeParameters(dtype=training.merge.dtype, tolerance=training.merge.tolerance),
        inputs={BASE_MODEL: "import", "adapter": f"{stage}-train"},
    )


def _cloning(run: SelfAlignRun) -> Iterator[Step]:
    """Verbose cloning: the engraved model answers at length, the base model is trained on it (paper section 3.4)."""
    cloning = run.spec.stages.cloning
    settings = step_parameters.generation(cloning.generation, run.spec.assistant_name, run.spec.engine) | {
        "thoughts": _has_thoughts(run, "engraving")
    }
    yield Step(
        id="cloning-answers",
        stage="cloning",
        kind="verbose-answers",
        parameters=VerboseAnswersParameters.model_validate(settings),
        inputs={"teacher": "engraving-merge", "prompts": "redteaming-prompts"},
        leaves=_pack_leaves("verbose-answers"),
    )
    yield from _tuning(run, cloning.training, stage="cloning", answers="cloning-answers")


def _evaluation(run: SelfAlignRun) -> Iterator[Step]:
    settings = run.spec.stages.evaluation
    models = variant_models(run)
    yield from (_score(run, variant, model) for variant, model in models.items() if model != "import")
    yield Step(
        id=GATE_STEP,
        stage="evaluation",
        kind="gate",
        parameters=GateParameters(
            gates=settings.gates, bootstrap_samples=settings.bootstrap_samples, confidence=settings.confidence
        ),
        inputs={variant: f"evaluation-score-{variant}" for variant in models},
    )


def _score(run: SelfAlignRun, variant: Variant, model: str) -> Step:
    settings = run.spec.stages.evaluation
    parameters = ScoreParameters(
        variant=variant,
        assistant_name=run.spec.assistant_name,
        suites=tuple(SuiteParameters(name=suite.name, format=suite.format) for suite in suites(run)),
        # The other variants answer without principles and thoughts, so that their keys must not depend on it.
        thought=run.spec.stages.self_align.thought if variant == "prompted" else None,
        thoughts=_has_thoughts(run, variant),
        sampling=step_parameters.sampling_parameters(settings.sampling),
        engine=step_parameters.engine_parameters(run.spec.engine),
    )
    return Step(
        id=f"evaluation-score-{variant}",
        stage="evaluation",
        kind="score",
        parameters=parameters,
        inputs={"model": model},
        leaves=(*_pack_leaves("score"), *_suite_leaves(run)),
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
            # An image needs a reference even if nothing pushes it: as in local container storage, localhost/NAME.
            repository=image.repository or f"localhost/{run.metadata.name}",
            tag=image.tag,
            variant=variant,
            model_license=image.license,
            sampling=step_parameters.sampling_parameters(run.spec.stages.evaluation.sampling),
            extra_rows=_extra_share(run, variant),
            thoughts=_has_thoughts(run, variant),
        ),
        # The model card quotes the evaluation report and the source of the base model.
        inputs={"model": variant_models(run)[variant], "gate": GATE_STEP, BASE_MODEL: "import"},
        leaves=_pack_leaves("image"),
    )


def _has_thoughts(run: SelfAlignRun, trained: StageName | Variant) -> bool:
    """Whether a training, or the variant that it makes, is on thoughts: engraving alone has such a setting."""
    return trained in ("engraving", "engraved") and run.spec.stages.engraving.thoughts


def _extra_share(run: SelfAlignRun, variant: Variant) -> float | None:
    """The largest share of extra rows in the trainings behind a variant; the teacher of the cloned one is engraved."""
    shares = dict.fromkeys(("engraving", "cloning") if variant == "cloned" else ("engraving",), 0.0)
    for leaf, file in extra_rows(run).items():
        stage = leaf.split(":")[1]
        if stage in shares:
            shares[stage] += file.share
    return round(max(shares.values()), 6) or None


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

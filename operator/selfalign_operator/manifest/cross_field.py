"""Rules across fields: values that are valid alone and impossible together. Pure.

Pydantic validators on the models could do this, but they run only once every field is valid and stop at the first
error; a user with one typo would learn of the other problems one run at a time. Here each problem names all fields that
it depends on, so the rules can be checked on a manifest with invalid fields, and those that depend on them are skipped.
What the rules share with the CustomResourceDefinition is in `contract.rules`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from selfalign_operator.api.evaluation import BUILTIN_SUITES
from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.sources import BaseModelSource, RowSource
from selfalign_operator.api.training import Training, resolve
from selfalign_operator.planning import graph, step_parameters
from selfalign_stages.contract import gates, rules
from selfalign_stages.contract.task import Problem

LOCAL_STORE_FIELDS = {"uri", "addressing_style"}
"""Fields of spec.artifacts that are accepted for a file:// store; addressing_style has no value that means unset."""


@dataclass(frozen=True)
class Conflict:
    """A problem between fields.

    Attributes:
        problem: what is reported, at the field that most likely has to change.
        fields: paths of all fields that the problem depends on, the reported one included.
    """

    problem: Problem
    fields: tuple[str, ...]


def problems(run: SelfAlignRun, *, invalid: set[str]) -> list[Problem]:
    """Returns the conflicts between valid fields.

    Args:
        run: the run. Fields that are invalid in the manifest have their defaults, or placeholders, in it.
        invalid: paths of those fields; a conflict that depends on one of them, on a field within or around it, is left
            out, because its value is not the user's.
    """
    return [
        conflict.problem
        for conflict in _conflicts(run)
        if not any(_overlaps(field, other) for field in conflict.fields for other in invalid)
    ]


def _overlaps(field: str, other: str) -> bool:
    """Whether the paths are equal or one is within the other; with dots, so that `tag` is not within `ta`."""
    return f"{field}.".startswith(f"{other}.") or f"{other}.".startswith(f"{field}.")


def _conflicts(run: SelfAlignRun) -> Iterator[Conflict]:
    stages = run.spec.stages
    yield from _base_model(run)
    yield from _engine(run)
    yield from _prompt_sources(run)
    yield from _self_align(run)
    yield from _training(stages.engraving, "spec.stages.engraving", run, cloning=False)
    # a disabled stage may have any values: users switch it off without editing the rest
    if stages.cloning.enabled:
        yield from _training(stages.cloning.training, "spec.stages.cloning.training", run, cloning=True)
    yield from _principles(run)
    yield from _suites(run)
    yield from _gates(run)
    yield from _image(run)
    yield from _artifacts(run)
    for field, value in _duplicates(run):
        if stages.cloning.enabled or not field.startswith("spec.stages.cloning."):
            # the whole list: which of two equal entries is the second depends on all before it
            yield _conflict(field, value, "is listed twice: remove one of them", field.partition("[")[0])


def _conflict(field: str, value: Any, message: str, *others: str) -> Conflict:
    return Conflict(Problem(field=field, value=value, message=message), (field, *others))


def _base_model(run: SelfAlignRun) -> Iterator[Conflict]:
    yield from _revision("spec.baseModel", run.spec.base_model)


def _revision(path: str, source: BaseModelSource | RowSource) -> Iterator[Conflict]:
    from_hub = source.uri.startswith(rules.HUB_PREFIX)
    if from_hub and not rules.is_commit(source.revision):
        message = f"{rules.NEEDS_COMMIT}; the repository's page lists its commits under Files and versions"
        yield _conflict(f"{path}.revision", source.revision, message, f"{path}.uri")
    if not from_hub and source.revision is not None:
        yield _conflict(f"{path}.revision", source.revision, rules.REVISION_NEEDS_HUB, f"{path}.uri")


def _prompt_sources(run: SelfAlignRun) -> Iterator[Conflict]:
    settings, path = run.spec.stages.red_teaming, "spec.stages.redTeaming"
    field = f"{path}.promptSources"
    limits = step_parameters.own_prompts(settings)
    for index, (source, limit) in enumerate(zip(settings.prompt_sources, limits, strict=True)):
        yield from _revision(f"{field}[{index}]", source)
        if problem := rules.row_file_problem(source.uri):
            yield _conflict(f"{field}[{index}].uri", source.uri, problem)
        if limit == 0:
            message = f"is less than one prompt of {settings.prompts}: raise it, or raise prompts"
            yield _conflict(f"{field}[{index}].share", source.share, message, f"{path}.prompts")
    if sum(source.share for source in settings.prompt_sources) > rules.SHARES_LIMIT:
        yield _conflict(field, [source.share for source in settings.prompt_sources], rules.SHARES_ABOVE_ONE)


def _engine(run: SelfAlignRun) -> Iterator[Conflict]:
    engine, path = run.spec.engine, "spec.engine"
    if engine.quantization is not None and engine.dtype == "float32":
        message = rules.QUANTIZATION_NEEDS_16_BITS
        yield _conflict(f"{path}.quantization", engine.quantization, message, f"{path}.dtype")
    tokens, sequences = engine.arguments.max_batched_tokens, engine.max_sequences
    if tokens is not None and sequences is not None and tokens < sequences:
        message = f"{rules.A_TOKEN_FOR_EACH_SEQUENCE}: write {sequences} or more, or lower maxSequences"
        yield _conflict(f"{path}.arguments.maxBatchedTokens", tokens, message, f"{path}.maxSequences")


def _self_align(run: SelfAlignRun) -> Iterator[Conflict]:
    settings, path = run.spec.stages.self_align, "spec.stages.selfAlign"
    if settings.attempts > 1 and settings.temperature == 0:
        yield _conflict(f"{path}.attempts", settings.attempts, rules.ATTEMPTS_NEED_CHANCE, f"{path}.temperature")
    if settings.attempts > 1 and settings.samples > 1:
        yield _conflict(f"{path}.attempts", settings.attempts, rules.ATTEMPTS_OR_SAMPLES, f"{path}.samples")
    if settings.thought == "none" and run.spec.stages.engraving.thoughts:
        field = "spec.stages.engraving.thoughts"
        yield _conflict(field, True, rules.THOUGHTS_NEED_THOUGHT, f"{path}.thought")


def _training(training: Training, path: str, run: SelfAlignRun, *, cloning: bool) -> Iterator[Conflict]:
    # resolved, because a preset may supply one side of a conflict and the manifest the other
    resolved = resolve(training, assistant_name=run.spec.assistant_name, cloning=cloning)
    processes = training.nodes * training.gpus_per_node
    unit = resolved.micro_batch_size * processes
    if rules.batch_remainder(
        resolved.global_batch_size, micro_batch_size=resolved.micro_batch_size, processes=processes
    ):
        nearest = max(unit, round(resolved.global_batch_size / unit) * unit)
        message = (
            f"{rules.BATCH_NOT_DIVISIBLE} ({resolved.micro_batch_size} x {training.nodes} x {training.gpus_per_node} "
            f"= {unit}): write {nearest}, or another microBatchSize"
        )
        others = [f"{path}.{name}" for name in ("microBatchSize", "nodes", "gpusPerNode", "preset")]
        yield _conflict(f"{path}.globalBatchSize", resolved.global_batch_size, message, *others)
    for index, file in enumerate(training.extra_rows):
        yield from _revision(f"{path}.extraRows[{index}]", file)
        if problem := rules.row_file_problem(file.uri):
            yield _conflict(f"{path}.extraRows[{index}].uri", file.uri, problem)
    if sum(file.share for file in training.extra_rows) > rules.EXTRA_SHARES_LIMIT:
        shares = [file.share for file in training.extra_rows]
        yield _conflict(f"{path}.extraRows", shares, rules.EXTRA_SHARES_LEAVE_NOTHING)
    if resolved.method == "full":
        for name in rules.LORA_FIELDS:
            if (value := getattr(training, name)) is not None:
                yield _conflict(f"{path}.{name}", value, rules.LORA_FIELDS_NEED_LORA, f"{path}.method")


def _principles(run: SelfAlignRun) -> Iterator[Conflict]:
    name = run.spec.principles.builtin
    if name is not None and name not in BUILTIN_SUITES:
        message = f"is no pack that ships with SelfAlign: there are {', '.join(sorted(BUILTIN_SUITES))}"
        yield _conflict("spec.principles.builtin", name, message)


def _suites(run: SelfAlignRun) -> Iterator[Conflict]:
    field, suites = "spec.stages.evaluation.suites", graph.suites(run)
    if not suites and run.spec.principles.builtin is None:
        yield _conflict(
            field,
            None,
            "is unset, and only built-in packs have suites that apply then: list the suites of your pack, such as "
            "{name: limits, format: limits, uri: pack://limits}",
            "spec.principles",
        )
    # metrics and steps are named after suites, so two of one name would overwrite each other
    names: set[str] = set()
    for index, suite in enumerate(suites):
        if suite.name in names:
            yield _conflict(f"{field}[{index}].name", suite.name, "two suites have this name: rename one of them")
        names.add(suite.name)


def _gates(run: SelfAlignRun) -> Iterator[Conflict]:
    evaluation = run.spec.stages.evaluation
    formats = {suite.name: suite.format for suite in graph.suites(run)}
    variants = tuple(graph.variant_models(run))
    for index, expression in enumerate(evaluation.gates):
        field = f"spec.stages.evaluation.gates[{index}]"
        others = ("spec.stages.evaluation.suites", "spec.stages.cloning.enabled")
        try:
            gate = gates.parse(expression)  # syntax first: names can only be checked in a valid expression
        except ValueError as error:
            yield _conflict(field, expression, str(error))
            continue
        # a gate on a metric that no step computes would fail the run at its very end
        for message in gates.unknown(gate, suites=formats, variants=variants):
            yield _conflict(field, expression, message, *others)


def _image(run: SelfAlignRun) -> Iterator[Conflict]:
    image, path = run.spec.image, "spec.image"
    if image.variant == "cloned" and not run.spec.stages.cloning.enabled:
        message = rules.CLONED_NEEDS_CLONING
        yield _conflict(f"{path}.variant", image.variant, message, "spec.stages.cloning.enabled")
    if "server" in image.formats and image.base is None:
        message = f"{rules.SERVER_NEEDS_BASE}, such as vllm/vllm-openai at a digest"
        yield _conflict(f"{path}.formats", list(image.formats), message, f"{path}.base")
    if image.promote_to == image.tag:
        yield _conflict(f"{path}.promoteTo", image.promote_to, rules.PROMOTE_TO_EQUALS_TAG, f"{path}.tag")
    # only after the last slash: a registry may have a port
    if image.repository is not None and ":" in image.repository.rpartition("/")[2]:
        message = "a repository has no tag: put it in spec.image.tag"
        yield _conflict(f"{path}.repository", image.repository, message)


def _artifacts(run: SelfAlignRun) -> Iterator[Conflict]:
    artifacts, path = run.spec.artifacts, "spec.artifacts"
    if artifacts is None:
        return
    if artifacts.sse_kms_key_id is not None and artifacts.sse != rules.KMS_ENCRYPTION:
        yield _conflict(f"{path}.sseKmsKeyId", artifacts.sse_kms_key_id, rules.KMS_KEY_NEEDS_KMS, f"{path}.sse")
    for name in sorted(artifacts.model_fields_set - LOCAL_STORE_FIELDS):
        if artifacts.uri.startswith("file://") and getattr(artifacts, name) is not None:
            alias = type(artifacts).model_fields[name].alias or name
            yield _conflict(f"{path}.{alias}", None, "applies to s3:// only: remove it", f"{path}.uri")


def _duplicates(run: SelfAlignRun) -> Iterator[tuple[str, str]]:
    """Yields path and value of each entry that repeats an earlier one of its list.

    The second one has no effect, or would undo the first. The schema cannot refuse it: uniqueItems is not allowed in a
    CustomResourceDefinition, and a list of type `set` would be merged entry by entry in a server-side apply by two
    managers, where these lists are meant as a whole. Files with rows of one's own may be listed twice: prompts are
    deduplicated, and training rows weigh double.
    """
    stages = run.spec.stages
    lists: dict[str, Sequence[str]] = {
        "spec.image.formats": run.spec.image.formats,
        "spec.stages.evaluation.gates": stages.evaluation.gates,
        "spec.stages.engraving.targets": stages.engraving.targets or (),
        "spec.stages.cloning.training.targets": stages.cloning.training.targets or (),
    }
    for path, entries in lists.items():
        for position, entry in enumerate(entries):
            if entry in entries[:position]:
                yield f"{path}[{position}]", entry

"""Fields that are fine alone and impossible together. Pure; each check names the fields that it looks at."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.training import Training, resolve
from selfalign_operator.planning import graph
from selfalign_stages.contract import gates
from selfalign_stages.contract.task import Problem

LORA_ONLY = ("rank", "alpha", "dropout", "targets")


@dataclass(frozen=True)
class Clash:
    """A problem, and every field that had a part in it."""

    problem: Problem
    fields: tuple[str, ...]


def problems(run: SelfAlignRun, *, unknown: set[str]) -> list[Problem]:
    """All clashes in which no field is `unknown` (faulty by itself, and so replaced by a default)."""
    return [clash.problem for clash in _all(run) if not any(_touches(field, unknown) for field in clash.fields)]


def _touches(field: str, unknown: set[str]) -> bool:
    return any(f"{field}.".startswith(f"{one}.") or f"{one}.".startswith(f"{field}.") for one in unknown)


def _all(run: SelfAlignRun) -> Iterator[Clash]:
    stages = run.spec.stages
    yield from _base_model(run)
    yield from _training(stages.engraving, "spec.stages.engraving", run, cloning=False)
    if stages.cloning.enabled:
        yield from _training(stages.cloning.training, "spec.stages.cloning.training", run, cloning=True)
    yield from _suites(run)
    yield from _gates(run)
    yield from _image(run)
    yield from _artifacts(run)


def _clash(field: str, value: Any, message: str, *others: str) -> Clash:
    return Clash(Problem(field=field, value=value, message=message), (field, *others))


def _base_model(run: SelfAlignRun) -> Iterator[Clash]:
    source, where = run.spec.base_model, "spec.baseModel.revision"
    hub = source.uri.startswith("hf://")
    if hub and not re.fullmatch(r"[0-9a-f]{40}", source.revision or ""):
        text = (
            "hf:// needs the 40 hexadecimal digits of a commit, because tags and branches move; "
            "the repository's page lists its commits under Files and versions"
        )
        yield _clash(where, source.revision, text, "spec.baseModel.uri")
    if not hub and source.revision is not None:
        yield _clash(where, source.revision, "applies to hf:// alone: remove it", "spec.baseModel.uri")


def _training(training: Training, where: str, run: SelfAlignRun, *, cloning: bool) -> Iterator[Clash]:
    resolved = resolve(training, assistant_name=run.spec.assistant_name, cloning=cloning)
    unit = resolved.micro_batch_size * training.nodes * training.gpus_per_node
    if resolved.global_batch_size % unit:
        near = max(unit, round(resolved.global_batch_size / unit) * unit)
        text = (
            f"not divisible by microBatchSize {resolved.micro_batch_size} x nodes {training.nodes} "
            f"x gpusPerNode {training.gpus_per_node} = {unit}: write {near}, or another microBatchSize"
        )
        others = [f"{where}.{name}" for name in ("microBatchSize", "nodes", "gpusPerNode", "preset")]
        yield _clash(f"{where}.globalBatchSize", resolved.global_batch_size, text, *others)
    if resolved.method == "full":
        for name in LORA_ONLY:
            if (value := getattr(training, name)) is not None:
                text = "applies to method lora alone: remove it, or set method: lora"
                yield _clash(f"{where}.{name}", value, text, f"{where}.method")


def _suites(run: SelfAlignRun) -> Iterator[Clash]:
    seen: set[str] = set()
    for index, suite in enumerate(run.spec.stages.evaluation.suites):
        if suite.name in seen:
            where = f"spec.stages.evaluation.suites[{index}].name"
            yield _clash(where, suite.name, "two suites have this name: give each its own")
        seen.add(suite.name)


def _gates(run: SelfAlignRun) -> Iterator[Clash]:
    evaluation = run.spec.stages.evaluation
    formats = {suite.name: suite.format for suite in evaluation.suites}
    variants = tuple(graph.variant_models(run))
    for index, text in enumerate(evaluation.gates):
        where = f"spec.stages.evaluation.gates[{index}]"
        others = ("spec.stages.evaluation.suites", "spec.stages.cloning.enabled")
        try:
            gate = gates.parse(text)
        except ValueError as error:
            yield _clash(where, text, str(error))
            continue
        for message in gates.unknown(gate, suites=formats, variants=variants):
            yield _clash(where, text, message, *others)


def _image(run: SelfAlignRun) -> Iterator[Clash]:
    image, where = run.spec.image, "spec.image"
    if image.variant == "cloned" and not run.spec.stages.cloning.enabled:
        text = "cloning is disabled: set variant: engraved, or spec.stages.cloning.enabled: true"
        yield _clash(f"{where}.variant", image.variant, text, "spec.stages.cloning.enabled")
    if "server" in image.formats and image.base is None:
        text = "format server needs spec.image.base: the image with the server, such as vllm/vllm-openai at a digest"
        yield _clash(f"{where}.formats", list(image.formats), text, f"{where}.base")
    if image.promote_to == image.tag:
        text = "the same as spec.image.tag: a promoted image needs a tag of its own"
        yield _clash(f"{where}.promoteTo", image.promote_to, text, f"{where}.tag")
    if image.repository is not None and ":" in image.repository.rpartition("/")[2]:
        text = "a repository has no tag: put it in spec.image.tag"
        yield _clash(f"{where}.repository", image.repository, text)


def _artifacts(run: SelfAlignRun) -> Iterator[Clash]:
    wanted, where = run.spec.artifacts, "spec.artifacts"
    if wanted is None:
        return
    if wanted.sse_kms_key_id is not None and wanted.sse != "aws:kms":
        text = "applies to sse aws:kms alone: set spec.artifacts.sse, or remove it"
        yield _clash(f"{where}.sseKmsKeyId", wanted.sse_kms_key_id, text, f"{where}.sse")
    for name in sorted(wanted.model_fields_set - {"uri", "addressing_style"}):
        if wanted.uri.startswith("file://") and getattr(wanted, name) is not None:
            alias = type(wanted).model_fields[name].alias or name
            yield _clash(f"{where}.{alias}", None, "applies to s3:// alone: remove it", f"{where}.uri")

"""What is wrong with a run before any of its pods exists: combinations, and Jobs that the API server would refuse."""

from collections.abc import Iterator
from typing import Any

from selfalign_operator import graph
from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.cluster.api import Api, Refused
from selfalign_operator.jobs.held import OVER_QUOTA
from selfalign_operator.jobs.job import Images, preflight_job, step_job
from selfalign_operator.jobs.placement import gpus
from selfalign_operator.manifest import combinations
from selfalign_operator.plan import StartPreflight, StartStep
from selfalign_stages.contract.graph import Step
from selfalign_stages.contract.task import Problem

PROBE = "0" * 64
"""In place of a key: a dry run leaves nothing behind."""
REFUSALS = (400, 403, 422)
"""Answers that only an edit, or somebody with more rights, can change: malformed, not allowed, invalid."""
Asked = tuple[str, dict[str, Any]]
"""A field of the manifest, and a Job that follows from it."""


def problems(api: Api, run: SelfAlignRun, *, images: Images, pack_exists: bool, answered: bool) -> list[Problem]:
    """All that the manifest and the API server can tell now.

    Before preflight has answered these are the problems that keep it from running; then those of the other steps' Jobs
    come with its answer.
    """
    found = [*combinations.problems(run, unknown=set()), *_unfit(run, pack_exists=pack_exists)]
    if found:
        return found
    return _refused(api, _steps(run, images) if answered else _preflight(run, images))


def _preflight(run: SelfAlignRun, images: Images) -> Iterator[Asked]:
    yield "spec.podDefaults.template", preflight_job(run, StartPreflight(PROBE, 1), images=images, pack=_pack(run))


def _steps(run: SelfAlignRun, images: Images) -> Iterator[Asked]:
    for step in graph.steps(run):
        start = StartStep(step, PROBE, 1, {}, {name: "" for name in step.leaves})
        yield _template_field(step), step_job(run, start, images=images, pack=_pack(run))


def _pack(run: SelfAlignRun) -> str | None:
    return "pack" if run.spec.principles.config_map_ref else None


def _refused(api: Api, asked: Iterator[Asked]) -> list[Problem]:
    """What the API server says against Jobs, each thing once."""
    told: dict[str, Problem] = {}
    for field, job in asked:
        try:
            api.create(job, dry_run=True)
        except Refused as refused:
            if refused.code not in REFUSALS:
                raise
            if OVER_QUOTA in str(refused):
                continue  # it may well have room when the Job's turn comes, and says so if it has none
            text = f"the API server refuses its Jobs: {refused}"
            told.setdefault(
                str(refused).partition("is invalid:")[2] or str(refused), Problem(field=field, message=text)
            )
    return list(told.values())


def _unfit(run: SelfAlignRun, *, pack_exists: bool) -> Iterator[Problem]:
    """What only a cluster minds."""
    store, named = run.spec.artifacts, run.spec.principles.config_map_ref
    if store is None:
        yield Problem(field="spec.artifacts", message="is missing: pods share artifacts through S3, give its uri")
    elif not store.uri.startswith("s3://"):
        text = "pods on several nodes cannot share a folder: use s3://BUCKET/PREFIX"
        yield Problem(field="spec.artifacts.uri", value=store.uri, message=text)
    if run.spec.base_model.uri.startswith("file://"):
        text = "a file:// model lies on one machine: use s3://, hf://, builtin:// or pvc://CLAIM/FOLDER"
        yield Problem(field="spec.baseModel.uri", value=run.spec.base_model.uri, message=text)
    if run.spec.principles.uri is not None:
        text = "a file:// pack lies on one machine: put its files into a ConfigMap and name it in configMapRef"
        yield Problem(field="spec.principles.uri", value=run.spec.principles.uri, message=text)
    if named is not None and not pack_exists:
        text = f"there is no ConfigMap {named.name} in namespace {run.metadata.namespace}: create it"
        yield Problem(field="spec.principles.configMapRef.name", value=named.name, message=text)
    trainings = {"engraving": run.spec.stages.engraving, "cloning.training": run.spec.stages.cloning.training}
    for stage, training in trainings.items():
        held = gpus(training.resources.limits) if training.resources else 0
        asked = {"nodes": training.nodes, "gpusPerNode": training.gpus_per_node, "GPUs in resources": held}
        if max(asked.values()) > 1:
            told = ", ".join(f"{name} {number}" for name, number in asked.items())
            text = f"training is one process on one GPU in this release; asked for: {told}. Write 1, or leave them out"
            yield Problem(field=f"spec.stages.{stage}", value=asked, message=text)
    if run.spec.image.repository is None:
        text = "is missing: a cluster pulls the image from a registry, give REGISTRY/PATH"
        yield Problem(field="spec.image.repository", message=text)


def _template_field(step: Step) -> str:
    inner = {"verbose-answers": ".generation", "train": ".training", "merge": ".training"}
    stage = f"{step.stage}{inner.get(step.kind, '')}" if step.stage == "cloning" else step.stage
    return "spec.podDefaults.template" if stage == "import" else f"spec.stages.{stage}"

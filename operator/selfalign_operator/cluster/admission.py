"""What is wrong with a run before any of its pods exists: combinations, and Jobs that the API server would refuse."""

from collections.abc import Iterator
from typing import Any

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.cluster.client import ApiError, Client
from selfalign_operator.jobs.job import StageImages, preflight_job, step_job
from selfalign_operator.jobs.pending_reason import OVER_QUOTA
from selfalign_operator.manifest import cross_field, environments
from selfalign_operator.planning import graph
from selfalign_operator.planning.plan import StartPreflight, StartStep
from selfalign_stages.contract.graph import Step
from selfalign_stages.contract.task import Problem

PROBE = "0" * 64
"""In place of a key: a dry run leaves nothing behind."""
REFUSALS = (400, 403, 422)
"""Answers that only an edit, or somebody with more rights, can change: malformed, not allowed, invalid."""
Asked = tuple[str, dict[str, Any]]
"""A field of the manifest, and a Job that follows from it."""


def problems(
    client: Client, run: SelfAlignRun, *, images: StageImages, pack_exists: bool, answered: bool
) -> list[Problem]:
    """All that the manifest and the API server can tell now.

    Before preflight has answered these are the problems that keep it from running; then those of the other steps' Jobs
    come with its answer.
    """
    found = [
        *cross_field.problems(run, unknown=set()),
        *environments.problems_on_a_cluster(run, pack_exists=pack_exists),
    ]
    if found:
        return found
    return _refused(client, _steps(run, images) if answered else _preflight(run, images))


def _preflight(run: SelfAlignRun, images: StageImages) -> Iterator[Asked]:
    yield "spec.podDefaults.template", preflight_job(run, StartPreflight(PROBE, 1), images=images, pack=_pack(run))


def _steps(run: SelfAlignRun, images: StageImages) -> Iterator[Asked]:
    for step in graph.steps(run):
        start = StartStep(step, PROBE, 1, {}, {name: "" for name in step.leaves})
        yield _template_field(step), step_job(run, start, images=images, pack=_pack(run))


def _pack(run: SelfAlignRun) -> str | None:
    return "pack" if run.spec.principles.config_map_ref else None


def _refused(client: Client, asked: Iterator[Asked]) -> list[Problem]:
    """What the API server says against Jobs, each thing once."""
    told: dict[str, Problem] = {}
    for field, job in asked:
        try:
            client.create(job, dry_run=True)
        except ApiError as refused:
            if refused.code not in REFUSALS:
                raise
            if OVER_QUOTA in str(refused):
                continue  # it may well have room when the Job's turn comes, and says so if it has none
            text = f"the API server refuses its Jobs: {refused}"
            told.setdefault(
                str(refused).partition("is invalid:")[2] or str(refused), Problem(field=field, message=text)
            )
    return list(told.values())


def _template_field(step: Step) -> str:
    inner = {"verbose-answers": ".generation", "train": ".training", "merge": ".training"}
    stage = f"{step.stage}{inner.get(step.kind, '')}" if step.stage == "cloning" else step.stage
    return "spec.podDefaults.template" if stage == "import" else f"spec.stages.{stage}"

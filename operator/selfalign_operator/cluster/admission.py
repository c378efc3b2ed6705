"""Checks a run before any of its pods exists: rules across fields, rules of a cluster, and a dry run of every Job.

A pod template is user input that only the API server can judge, with its version, its admission webhooks and policies.
Without the dry run, a mistake in the template of the last stage would surface after days of GPU time. So the Job of
every step is created with dryRun=All first, with placeholders for what is not known yet.

Access to the API server: create Jobs in dry runs only, which store nothing.
"""

from collections.abc import Iterator
from typing import Any

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.cluster.client import ApiError, Client
from selfalign_operator.cluster.obstacles import REJECTION_CODES, lacks_right
from selfalign_operator.jobs.job import StageImages, preflight_job, step_job
from selfalign_operator.jobs.pending_reason import OVER_QUOTA
from selfalign_operator.manifest import cross_field, environments
from selfalign_operator.planning import graph
from selfalign_operator.planning.plan import StartPreflight, StartStep
from selfalign_stages.contract.graph import Step
from selfalign_stages.contract.task import Problem

PLACEHOLDER_KEY = "0" * 64
"""In place of a step's key, which only preflight's digests determine. A real key is a SHA-256 as well."""
FieldAndJob = tuple[str, dict[str, Any]]
"""The manifest field whose template a Job is rendered from, and the Job."""


def problems(
    client: Client, run: SelfAlignRun, *, images: StageImages, pack_exists: bool, preflight_answered: bool
) -> list[Problem]:
    """Returns the problems that can be detected without running a pod.

    Args:
        client: sends the dry runs.
        run: the run; its schema is valid.
        images: images of the stage pods.
        pack_exists: whether the ConfigMap that spec.principles.configMapRef names exists.
        preflight_answered: whether preflight has a result for this spec. Before, only preflight's own Job is checked:
            it must start as soon as possible, and the problems of all others are reported together with its result.

    Raises:
        ApiError: a dry run failed for a reason that is not the Job's, such as an unavailable webhook; retry later.
    """
    manifest_problems = [
        *cross_field.problems(run, invalid=set()),
        *environments.problems_on_a_cluster(run, pack_exists=pack_exists, gpu_resources=images.gpu_resources),
    ]
    # a Job rendered from a manifest with problems would only yield consequences of the same mistakes
    if manifest_problems:
        return manifest_problems
    return _rejections(client, _step_jobs(run, images) if preflight_answered else _preflight_job(run, images))


def _preflight_job(run: SelfAlignRun, images: StageImages) -> Iterator[FieldAndJob]:
    start = StartPreflight(PLACEHOLDER_KEY, 1)
    yield "spec.podDefaults.template", preflight_job(run, start, images=images, pack=_pack(run))


def _step_jobs(run: SelfAlignRun, images: StageImages) -> Iterator[FieldAndJob]:
    for step in graph.steps(run):
        # inputs and digests are content of the task file, which the API server does not interpret
        start = StartStep(step, PLACEHOLDER_KEY, 1, {}, {name: "" for name in step.leaves})
        yield _template_field(step), step_job(run, start, images=images, pack=_pack(run))


def _pack(run: SelfAlignRun) -> str | None:
    """A placeholder name for the pack's ConfigMap: the API server does not check that a volume's source exists."""
    return "pack" if run.spec.principles.config_map_ref else None


def _rejections(client: Client, jobs: Iterator[FieldAndJob]) -> list[Problem]:
    """Dry-runs Jobs and returns the rejections, each cause once even if several Jobs share it."""
    by_cause: dict[str, Problem] = {}
    for field, job in jobs:
        try:
            client.create(job, dry_run=True)
        except ApiError as error:
            message = str(error)
            # A right that the operator lacks is no problem of the template.
            if error.code not in REJECTION_CODES or lacks_right(error):
                raise
            if OVER_QUOTA in message:
                continue  # quota may be free again when the Job is due; if not, the run waits with reason JobRefused
            # 'Job.batch "NAME" is invalid: CAUSE': the name differs for each step, the cause does not
            cause = message.partition("is invalid:")[2] or message
            by_cause.setdefault(cause, Problem(field=field, message=f"the API server refuses its Jobs: {message}"))
    return list(by_cause.values())


def _template_field(step: Step) -> str:
    """The field that a user edits to change the pod of a step."""
    substage = {"verbose-answers": ".generation", "train": ".training", "merge": ".training"}
    stage = f"{step.stage}{substage.get(step.kind, '')}" if step.stage == "cloning" else step.stage
    return "spec.podDefaults.template" if stage == "import" else f"spec.stages.{stage}"

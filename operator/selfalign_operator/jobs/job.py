"""Builds the Job of one attempt at a step or at preflight. Pure: equal input, equal Job.

A Job is created once and never edited, because its pod template is immutable. A crash ends it (backoffLimit 0), and the
plan starts the next attempt as a new Job, so that attempts share one retry policy with local processes. A preemption
does not end it (exit code 75 or DisruptionTarget): the Job controller replaces the pod, and the plan counts it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfalign_operator.api.devices import GPU_RESOURCES
from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.jobs.identity import GENERATION, KEY, AttemptId, job_name, labels, owner
from selfalign_operator.jobs.overlay import overlay
from selfalign_operator.jobs.pod import CONTAINER, PodContents, pod_spec
from selfalign_operator.jobs.resolved_placement import ResolvedPlacement, resolve_placement, without_devices
from selfalign_operator.planning import store_location, tasks
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_operator.planning.plan import StartPreflight, StartStep
from selfalign_operator.planning.retry import RETRY
from selfalign_stages.contract.exits import FINAL_CODES, INTERRUPTED_CODES, ExitCode
from selfalign_stages.contract.graph import KINDS, Kind
from selfalign_stages.contract.model import Model

QUEUE = "kueue.x-k8s.io/queue-name"
"""Label by which Kueue assigns a Job to a LocalQueue."""
GRACE_SECONDS: dict[Kind, int] = {"train": 300}
"""terminationGracePeriodSeconds of kinds that need more than DEFAULT_GRACE_SECONDS: training saves and uploads a
checkpoint after SIGTERM."""
DEFAULT_GRACE_SECONDS = 120
"""Time to publish the piece in progress. What is not published when SIGKILL follows is repeated: one chunk at most."""
PREFLIGHT_RESOURCES = {"requests": {"cpu": "250m", "memory": "512Mi"}}
"""Preflight reads metadata and a tokenizer, never weights."""


@dataclass(frozen=True)
class StageImages:
    """Container images of the stage pods, from the chart.

    Attributes:
        names: image references by name: "cpu", "generate" (with vLLM) and "train" (with PyTorch).
        pull_policy: imagePullPolicy of all of them.
        gpu_resources: resource names that count as GPUs, in which `*` stands for any text.
    """

    names: Mapping[str, str]
    pull_policy: str = "IfNotPresent"
    gpu_resources: tuple[str, ...] = GPU_RESOURCES


def preflight_job(
    run: SelfAlignRun, action: StartPreflight, *, images: StageImages, pack: str | None
) -> dict[str, Any]:
    """Builds the Job of preflight: one small pod that mounts every Secret, claim and ConfigMap that later pods mount.

    A missing one then blocks this pod, and is reported before any GPU is allocated.

    Args:
        run: the run, with uid and namespace.
        action: the planned start.
        images: the stage images.
        pack: name of the ConfigMap with the pack's snapshot; None if the pack is no ConfigMap.

    Raises:
        ValueError: the run names no artifact store.
    """
    task = tasks.preflight(run, store_location.in_pods(run))
    contents = PodContents(
        arguments=(PREFLIGHT,),
        task=_json(task),
        leaves=tuple(task.leaves),
        pack=pack,
        push=True,
        grace_seconds=DEFAULT_GRACE_SECONDS,
        log=_log(run, PREFLIGHT, action.attempt),
    )
    placement = ResolvedPlacement(image="cpu", resources=PREFLIGHT_RESOURCES, template={}, devices=False)
    attempt_id = AttemptId(PREFLIGHT, action.key, action.attempt)
    return _job(run, attempt_id, PREFLIGHT, placement, contents, images, retry=action.retry)


def step_job(run: SelfAlignRun, action: StartStep, *, images: StageImages, pack: str | None) -> dict[str, Any]:
    """Builds the Job of one attempt at a step; it mounts only what the step reads.

    Args:
        run: the run, with uid and namespace.
        action: the planned start.
        images: the stage images.
        pack: name of the ConfigMap with the pack's snapshot; None if the pack is no ConfigMap.

    Raises:
        ValueError: the run names no artifact store.
    """
    step, placement = action.step, resolve_placement(run, action.step)
    task = tasks.step(run, action, store_location.in_pods(run)).model_copy(update={"workers": placement.workers})
    contents = PodContents(
        arguments=(step.kind,),
        task=_json(task),
        pack=pack if KINDS[step.kind].pack else None,
        leaves=step.leaves,
        push=step.kind == "push",
        grace_seconds=GRACE_SECONDS.get(step.kind, DEFAULT_GRACE_SECONDS),
        log=_log(run, step.id, action.attempt),
    )
    attempt_id = AttemptId(step.id, action.key, action.attempt)
    return _job(run, attempt_id, step.stage, placement, contents, images, retry=action.retry)


def _job(
    run: SelfAlignRun,
    attempt_id: AttemptId,
    stage: str,
    placement: ResolvedPlacement,
    contents: PodContents,
    images: StageImages,
    *,
    retry: str,
) -> dict[str, Any]:
    own_labels = labels(run, attempt_id, stage=stage)
    image = images.names[placement.image]
    pod = pod_spec(
        run, placement, contents, image=image, pull_policy=images.pull_policy, gpu_resources=images.gpu_resources
    )
    template: Mapping[str, Any] = {"spec": pod}
    for patch in (run.spec.pod_defaults.template or {}, placement.template):
        template = overlay(template, patch)
    # After the user's templates: they must neither give a CPU step devices nor replace the labels that select its pods.
    template = overlay(
        template if placement.devices else without_devices(template), {"metadata": {"labels": own_labels}}
    )
    queue = {QUEUE: run.spec.queue_name} if run.spec.queue_name else {}
    # Kueue's webhook would suspend the Job too. Suspended from the start, it also waits on a cluster without Kueue,
    # and the run reports that, instead of running past its quota.
    suspended = {"suspend": True} if queue else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(run, attempt_id),
            "namespace": run.metadata.namespace,
            "labels": own_labels | queue,
            "annotations": {KEY: attempt_id.key, GENERATION: str(run.metadata.generation)}
            | ({RETRY: retry} if retry else {}),
            "ownerReferences": [owner(run)],
        },
        "spec": suspended | _completion(run, placement) | {"podFailurePolicy": _failure_policy(), "template": template},
    }


def _log(run: SelfAlignRun, id_: str, attempt: int) -> str:
    """Name of an attempt's log in the store, without suffix. By uid: a run that is created anew has logs of its own."""
    metadata = run.metadata
    return f"runs/{metadata.namespace}/{metadata.name}/{metadata.uid}/logs/{id_}-{attempt}"


def _completion(run: SelfAlignRun, placement: ResolvedPlacement) -> dict[str, Any]:
    """Sharded steps are Indexed Jobs: the completion index is the worker's number, and workers fail independently.

    A worker exits with 0 only when the artifact is published, so one success completes the Job (successPolicy,
    KEP-3998) and nothing is left for the others. Retries are counted per worker (backoffLimitPerIndex, KEP-3850).
    """
    # A replacement starts once the old pod has ended and released its devices (KEP-3939). Beside podFailurePolicy it is
    # the only value that batch/v1 allows.
    common: dict[str, Any] = {"podReplacementPolicy": "Failed"}
    if placement.workers == 1:
        return common | {"backoffLimit": 0}
    return common | {
        "completionMode": "Indexed",
        "completions": placement.workers,
        "parallelism": placement.workers,
        "backoffLimitPerIndex": run.spec.retries.per_stage,
        "successPolicy": {"rules": [{"succeededCount": 1}]},
    }


def _failure_policy() -> dict[str, Any]:
    """The exit codes of contract.exits as a podFailurePolicy (KEP-3329), applied even while the operator is down.

    A lost input ends the whole Job, as a final code does: its other workers need the same input, and their retries
    within the Job (backoffLimitPerIndex) would be spent before the plan can have it made anew.
    """

    def on_codes(*codes: int) -> dict[str, Any]:
        return {"containerName": CONTAINER, "operator": "In", "values": list(codes)}

    return {
        "rules": [
            {"action": "FailJob", "onExitCodes": on_codes(*map(int, FINAL_CODES), ExitCode.INPUT_LOST)},
            {"action": "Ignore", "onExitCodes": on_codes(*(int(code) for code in INTERRUPTED_CODES if code > 0))},
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        ]
    }


def _json(task: Model) -> str:
    return task.model_dump_json(by_alias=True, exclude_none=True)

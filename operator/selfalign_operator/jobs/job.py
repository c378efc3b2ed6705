"""The Job of one attempt at a step or at preflight. Pure: equal input, equal Job.

A Job is created once and never edited. Crashes end it, and the plan starts the next attempt as a new Job; preemptions
do not (exit code 75, or a pod that was disrupted): its pods are replaced, one at a time, and are counted by the plan.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.jobs.identity import GENERATION, KEY, AttemptId, job_name, labels, owner
from selfalign_operator.jobs.overlay import overlay
from selfalign_operator.jobs.pod import CONTAINER, PodContents, template
from selfalign_operator.jobs.resolved_placement import ResolvedPlacement, resolve_placement, without_devices
from selfalign_operator.planning import store_location, tasks
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_operator.planning.plan import StartPreflight, StartStep
from selfalign_stages.contract.exits import FINAL_CODES, ExitCode
from selfalign_stages.contract.graph import KINDS, Kind
from selfalign_stages.contract.model import Model

QUEUE = "kueue.x-k8s.io/queue-name"

GRACE_SECONDS: dict[Kind, int] = {"train": 300}
"""Covers a checkpoint and its upload; every other kind loses a chunk at most."""
SMALL = {"requests": {"cpu": "250m", "memory": "512Mi"}}


@dataclass(frozen=True)
class StageImages:
    """Container images by what they hold: cpu, generate, train."""

    names: Mapping[str, str]
    pull_policy: str = "IfNotPresent"


def preflight_job(
    run: SelfAlignRun, action: StartPreflight, *, images: StageImages, pack: str | None
) -> dict[str, Any]:
    """One small pod that mounts whatever later pods mount, so that what is missing shows before any of them."""
    task = tasks.preflight(run, store_location.in_pods(run))
    content = PodContents(arguments=(PREFLIGHT,), task=_json(task), pack=pack, base=True, push=True)
    placed = ResolvedPlacement(image="cpu", resources=SMALL, template={}, devices=False)
    which = AttemptId(PREFLIGHT, action.key, action.attempt)
    return _job(run, which, PREFLIGHT, placed, content, images)


def step_job(run: SelfAlignRun, action: StartStep, *, images: StageImages, pack: str | None) -> dict[str, Any]:
    """One attempt at a step."""
    step, placed = action.step, resolve_placement(run, action.step)
    task = tasks.step(run, action, store_location.in_pods(run)).model_copy(update={"workers": placed.workers})
    content = PodContents(
        arguments=(step.kind,),
        task=_json(task),
        pack=pack if KINDS[step.kind].pack else None,
        base=step.kind == "import",
        push=step.kind == "push",
        grace_seconds=GRACE_SECONDS.get(step.kind, 120),
    )
    return _job(run, AttemptId(step.id, action.key, action.attempt), step.stage, placed, content, images)


def _job(
    run: SelfAlignRun,
    which: AttemptId,
    stage: str,
    placed: ResolvedPlacement,
    content: PodContents,
    images: StageImages,
) -> dict[str, Any]:
    marks = labels(run, which, stage=stage)
    pod = {"spec": template(run, placed, content, image=images.names[placed.image], pull_policy=images.pull_policy)}
    for over in (run.spec.pod_defaults.template or {}, placed.template):
        pod = overlay(pod, over)
    pod = overlay(pod if placed.devices else without_devices(pod), {"metadata": {"labels": marks}})
    queue = {QUEUE: run.spec.queue_name} if run.spec.queue_name else {}
    suspended = {"suspend": True} if queue else {}  # Kueue lets it run; without Kueue it says that it waits for it
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(run, which),
            "namespace": run.metadata.namespace,
            "labels": marks | queue,
            "annotations": {KEY: which.key, GENERATION: str(run.metadata.generation)},
            "ownerReferences": [owner(run)],
        },
        "spec": suspended | _completion(run, placed) | {"podFailurePolicy": _failure_policy(), "template": pod},
    }


def _completion(run: SelfAlignRun, placed: ResolvedPlacement) -> dict[str, Any]:
    """Sharded steps are Indexed: the index is the worker's number, and one worker's crash does not end the others.

    A worker ends well only when the artifact is published (KEP-3998): then nothing is left for the others to do.
    """
    common: dict[str, Any] = {"podReplacementPolicy": "Failed"}
    if placed.workers == 1:
        return common | {"backoffLimit": 0}
    return common | {
        "completionMode": "Indexed",
        "completions": placed.workers,
        "parallelism": placed.workers,
        "backoffLimitPerIndex": run.spec.retries.per_stage,
        "successPolicy": {"rules": [{"succeededCount": 1}]},
    }


def _failure_policy() -> dict[str, Any]:
    """The exit-code table of contract.exits, as the Job controller carries it out with the operator up or down."""

    def on_codes(*codes: int) -> dict[str, Any]:
        return {"containerName": CONTAINER, "operator": "In", "values": list(codes)}

    return {
        "rules": [
            {"action": "FailJob", "onExitCodes": on_codes(*map(int, FINAL_CODES))},
            {"action": "Ignore", "onExitCodes": on_codes(ExitCode.INTERRUPTED)},
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        ]
    }


def _json(task: Model) -> str:
    return task.model_dump_json(by_alias=True, exclude_none=True)

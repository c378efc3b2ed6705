"""Status of a SelfAlignRun: conditions for controllers, phase and counts for people, results that outlive their Jobs.

Jobs and pods are deleted by evictions, people and TTLs. What they produced and cost is recorded here, so a restarted
operator repeats nothing (`planning.recorded`, `planning.usage`). The status stays below 16 KiB (`planning.truncation`),
since every watcher of the run receives all of it on each change.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from selfalign_operator.api.validation import map_by
from selfalign_operator.api.values import Time
from selfalign_stages.contract.graph import Kind, StageName
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.task import Problem, Progress

ConditionType = Literal["Accepted", "Reconciling", "Stalled", "Succeeded", "Ready"]
State = Literal["Pending", "Running", "Waiting", "Succeeded", "Failed", "Skipped"]
"""States of a step and of a stage; their meaning is in the description of StepStatus.state."""
Rejected = dict[str, Annotated[int, Field(description="Number of rows rejected for this reason.")]]


def _without_empty(value: Any) -> Any:
    """Returns `value` without empty maps and lists, at any depth."""
    if isinstance(value, list):
        return [_without_empty(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: kept for name, item in value.items() if (kept := _without_empty(item)) not in ({}, [])}


RAN = (
    "True: the newest attempt runs and its container has started once, so that an edit of placement leaves it alone. "
    "Unset: it has not started, or has ended."
)
FORM = (
    "Digest of the newest attempt's Job as it was rendered, while no pod of it has run: an edit or an upgrade that "
    "would render another one replaces it. Unset: it ran or ended, or there is no Job."
)


class Condition(Model):
    """One condition, with the fields and meaning of metav1.Condition, as kstatus reads it."""

    type: ConditionType = Field(
        description="Accepted: preflight passed. Reconciling: work is under way. Stalled: only an edit or a repaired "
        "environment continues the run. Succeeded: how it ended. Ready: the image of observedGeneration exists."
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it is met; Unknown while undecided.")
    reason: str = Field(
        max_length=128,
        description="CamelCase identifier of the cause, such as ImagePushed, GateFailed or Unschedulable; "
        "docs/operator.md lists them.",
    )
    message: str = Field(
        default="",
        max_length=32_768,
        description="Cause for people: object, field, value and remedy. Up to 3000 bytes in the condition that "
        "explains the state, the first 200 in the others.",
    )
    observed_generation: int = Field(description="Value of metadata.generation that the condition was computed for.")
    last_transition_time: Time = Field(description="When the condition's status last changed.")


class StepProgress(Model):
    """Progress of a running step, as its pods report it."""

    done: float = Field(description="Finished units of the step's current phase, those of earlier attempts included.")
    total: float = Field(description="Units that the phase consists of; 0 while that is unknown.")
    unit: str = Field(description="What is counted, such as answers or optimizer steps.")
    rate: float = Field(default=0, description="Units per second, added up over all workers.")
    eta: float | None = Field(default=None, description="Estimated seconds until the step ends. Unset: unknown.")
    changed: Time | None = Field(
        default=None,
        description="When it last changed, as the operator observed it; spec.podDefaults.progressDeadline counts from "
        "here.",
    )

    def equals(self, reported: Progress) -> bool:
        """Returns whether a pod reports the same again: what counts is the work done, not the estimates.

        Args:
            reported: progress as a pod reports it now.
        """
        return (self.done, self.total, self.unit) == (reported.done, reported.total, reported.unit)


class Preemptions(Model):
    """Stops of a step by its environment: preemptions, drains, evictions. Counted against spec.retries.preemptions."""

    attempt: int = Field(description="Number of the attempt that `pods` and `newestPod` describe.")
    earlier: int = Field(default=0, description="Stops in attempts before that one, included in the total.")
    pods: int = Field(default=0, description="Pods that the attempt's Job has created so far, deleted ones included.")
    newest_pod: Time | None = Field(
        default=None, description="Creation time of the newest pod that was counted, so that none is counted twice."
    )
    newest_uids: tuple[Annotated[str, Field(description="First 8 characters of a pod's uid.")], ...] = Field(
        default=(),
        description="Counted pods that were created in the second of newestPod. Empty: more than 8 were, or none.",
    )
    total: int = Field(default=0, description="Stops of the step so far. An edit of the spec resets them.")


class FailedAttempts(Model):
    """Failed attempts at a step since its last success. Counted against spec.retries.perStage; an edit resets them."""

    count: int = Field(
        default=0, description="Failed attempts so far, those included whose Jobs were deleted before they were read."
    )
    through: int = Field(default=0, description="Number of the newest attempt that is included, failed or not.")
    time: Time | None = Field(
        default=None,
        description="When the newest failed attempt ended, or its Job was missed; the delay before the next one counts "
        "from here. Unset: none failed.",
    )


class Usage(Model):
    """GPU time of all pods that the run ever had, up to a moment.

    Each reconciliation adds what was used since, so that pods can be deleted and nothing is counted twice.
    """

    gpu_seconds: float = Field(
        description="GPUs times seconds, added up over all pods and attempts. A pod counts from the first start of one "
        "of its containers (init containers included) to the end of the last one: not while it waits for a node or an "
        "image, and not if it is rejected. GPUs of resource claims (DRA) do not count."
    )
    counted_until: Time = Field(description="Moment up to which pods are counted.")


class StepStatus(Model):
    """One step: one key, one artifact, one or more attempts."""

    name: str = Field(description="Id of the step, such as engraving-train, unique within the run.")
    kind: Kind = Field(description="Kind of work, which is also the artifact's folder in the store (cas/KIND/KEY).")
    key: str | None = Field(
        default=None,
        description="SHA-256 of everything that the artifact depends on, in hexadecimal. Unset: unknown until "
        "preflight has digested the inputs.",
    )
    state: State = Field(
        default="Pending",
        description="Pending: not started. Waiting: a failed attempt is followed by another after a delay, or another "
        "run makes the artifact. Skipped: nothing needs the artifact, because those made from it exist. Other states "
        "are Running, Succeeded and Failed.",
    )
    cache: Literal["Hit", "Miss"] | None = Field(
        default=None,
        description="Hit: the artifact existed before. Miss: an attempt of this run published it. Unset: neither yet.",
    )
    attempt: int = Field(default=0, description="Number of the newest attempt; 0 if none was needed.")
    rows: int | None = Field(default=None, description="Rows of the artifact, rejected ones included. Unset: no rows.")
    kept: int | None = Field(default=None, description="Rows that later steps use. Unset: no rows.")
    rejected: Rejected = Field(
        default={}, description="Rejected rows by reason; they stay in the artifact with it. Unset: none."
    )
    start_time: Time | None = Field(
        default=None, description="When the newest attempt started. Unset: none was needed."
    )
    completion_time: Time | None = Field(default=None, description="When the newest attempt ended. Unset: it has not.")
    seconds: float | None = Field(
        default=None,
        description="Wall-clock seconds of the attempt that published the artifact, from its manifest for a Hit.",
    )
    progress: StepProgress | None = Field(default=None, description="Progress of a running step. Unset: not running.")
    loss: float | None = Field(
        default=None,
        description="Mean training loss, nats per token of the answers: of the newest optimizer step, or of the last "
        "tenth of the steps of a finished training. Unset: no training.",
    )
    validation_loss: float | None = Field(
        default=None,
        description="The same over the rows of validationShare, which are not trained on, as measured last. Unset: "
        "there are none.",
    )
    digest: str | None = Field(
        default=None,
        description="Digest of the artifact's content (sha256:HEX), equal for equal files. Unset: none yet.",
    )
    job_name: str | None = Field(default=None, description="Name of the newest attempt's Job. Unset: there is none.")
    gpu_seconds: float | None = Field(default=None, description="Devices times seconds over all attempts. Unset: none.")
    preempted: Preemptions | None = Field(
        default=None, description="Stops by the environment so far. Unset: no pods yet, or it succeeded without a stop."
    )
    waits_for_run: str | None = Field(
        default=None,
        description="Another run, NAMESPACE/NAME, that makes the same artifact; this run takes it over, or makes it "
        "if the other does not. Unset: none.",
    )
    ran: Literal[True] | None = Field(default=None, description=RAN)
    form: str | None = Field(default=None, description=FORM)
    failed: FailedAttempts | None = Field(
        default=None, description="Failed attempts so far. Unset: none, or the step has succeeded since."
    )
    message: str | None = Field(
        default=None,
        description="Why the step failed or waits, or its pods do not start, cut at 200 bytes. Unset: neither.",
    )


class StageStatus(Model):
    """One stage, summed up over its steps. Key and counts are those of the step that the stage exists for."""

    name: StageName = Field(description="Name of the stage, as under spec.stages; `import` precedes them.")
    state: State = Field(
        default="Pending",
        description="Most urgent state of the steps: Failed, then Running, then Waiting. Succeeded: all succeeded or "
        "were skipped.",
    )
    key: str | None = Field(
        default=None, description="Key of the step that represents the stage, such as answers for selfAlign."
    )
    cache: Literal["Hit", "Miss"] | None = Field(
        default=None,
        description="Hit if the store had the artifacts of all steps before, else Miss. Unset: unfinished.",
    )
    rows: int | None = Field(default=None, description="Rows of the representing step, rejected ones included.")
    kept: int | None = Field(default=None, description="Rows of the representing step that later stages use.")
    rejected: Rejected = Field(
        default={}, description="Rejected rows of the representing step, by reason. Unset: none."
    )
    start_time: Time | None = Field(default=None, description="When the first of the steps started.")
    completion_time: Time | None = Field(default=None, description="When the last step ended. Unset: unfinished.")
    seconds: float | None = Field(
        default=None,
        description="Wall-clock seconds in which at least one step ran. If all are hits, the seconds they once took. "
        "Unset: the stage is unfinished.",
    )
    steps: tuple[StepStatus, ...] = Field(
        default=(), description="Steps of the stage in topological order.", json_schema_extra=map_by("name")
    )


class EvaluationStatus(Model):
    """Result of the gates and the headline metrics of every variant."""

    passed: bool = Field(description="Whether every gate of spec.stages.evaluation.gates passed.")
    failed_gates: str = Field(default="", description="Text of the gates that did not pass, joined by semicolons.")
    metrics: dict[str, Annotated[float, Field(description="Value of the metric, rounded to 4 decimals.")]] = Field(
        default={},
        description="Means by VARIANT.SUITE.METRIC; the main ones with the ends of their confidence interval as .low "
        "and .high. The report in the store has all.",
    )


class ImageStatus(Model):
    """The image of the model, once it is packed (no repository) or pushed."""

    reference: str = Field(
        description="REPOSITORY@DIGEST of a pushed image, or REPOSITORY:TAG of one that is only packed."
    )
    digest: str = Field(description="Digest of the image's manifest (sha256:HEX), which stays valid when tags move.")
    short: str = Field(
        default="", description="Last part of the repository with the first 12 digits of the digest, for tables."
    )
    size: int | None = Field(default=None, description="Size of the model's layers, config and manifest in bytes.")


class PreflightStatus(Model):
    """The last preflight: what it checked, by a key over the fields it depends on, and the digests it returned."""

    key: str = Field(
        description="SHA-256 over the fields that preflight depends on; an edit of one of them repeats it."
    )
    attempt: int = Field(default=0, description="Number of the newest attempt; its Job's name depends on it.")
    job_name: str | None = Field(default=None, description="Name of the newest attempt's Job. Unset: none, or deleted.")
    ran: Literal[True] | None = Field(default=None, description=RAN)
    form: str | None = Field(default=None, description=FORM)
    failed: FailedAttempts | None = Field(
        default=None, description="Failed attempts so far. Unset: none, or preflight has succeeded since."
    )
    leaves: dict[str, Annotated[str, Field(description="Content digest of this input (sha256:HEX).")]] = Field(
        default={},
        description="Digests of the inputs from outside the store: base model, parts of the principle pack, suites, "
        "files with rows of one's own. Empty until preflight has succeeded.",
    )


class StoreStatus(Model):
    """The store that the recorded results are in."""

    address: str = Field(
        description="Value of spec.artifacts.uri, with the endpoint if there is one. Empty: the default store of one "
        "machine."
    )
    since_generation: int = Field(
        default=0, description="First generation with this store. Results of earlier ones are in another store."
    )


class PastGeneration(Model):
    """An earlier generation of the spec that became Ready, and its image, to roll back to."""

    generation: int = Field(description="Value of metadata.generation of that spec.")
    image: str = Field(description="Reference of that generation's image.")
    digest: str = Field(description="Digest of that generation's image (sha256:HEX).")
    completion_time: Time = Field(description="When that generation became Ready.")


class RetryStatus(Model):
    """What was observed of the annotation selfalign.dev/retry, which repeats failed steps or finished ones."""

    observed: str = Field(
        default="",
        description="Value of the annotation that the status describes, or its digest if it is too long. Empty: the "
        "run has none.",
    )
    nonces: dict[str, Annotated[str, Field(description="Nonce of this step, part of its key and its seed.")]] = Field(
        default={},
        description="Nonces of all steps that were made again so far, by step. They stay in the keys when the "
        "annotation gets another value.",
    )
    refused: str | None = Field(
        default=None,
        description="Why an entry of the annotation is not followed, and what to write instead. Unset: all are.",
    )


class RunStatus(Model):
    """Observed state of the run, written by the operator. It keeps the results of steps whose Jobs are deleted."""

    observed_generation: int = Field(
        default=-1, description="Value of metadata.generation that the status describes; -1 before the first one."
    )
    phase: str = Field(
        default="",
        description="One word for people: Preflight, the stage that runs (RedTeaming), Suspended, Deleting, Failed or "
        "Ready. "
        "Programs read the conditions instead.",
    )
    stage: StageName | None = Field(default=None, description="First unfinished stage. Unset: no step may run.")
    progress: str | None = Field(
        default=None,
        description="Finished part of the steps in per cent, running ones in part, such as 48%. Steps count alike, "
        "however long they take.",
    )
    start_time: Time | None = Field(
        default=None,
        description="When the run began; spec.budget.deadline counts from here. An edit after its end resets it.",
    )
    completion_time: Time | None = Field(
        default=None, description="When the run became Ready, failed or was refused. Unset: it has not ended."
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Conditions Accepted, Reconciling, Stalled, Succeeded and Ready, for kubectl wait, Flux, Argo CD "
        "and Helm.",
        json_schema_extra=map_by("type"),
    )
    preflight: PreflightStatus | None = Field(
        default=None, description="The last preflight, which digests all inputs and checks what needs no GPU."
    )
    store: StoreStatus | None = Field(
        default=None,
        description="Store of the recorded results. If spec.artifacts names another one, only what preflight finds "
        "there counts as done. Unset: not recorded yet.",
    )
    problems: tuple[Annotated[Problem, Field(description="One problem, by the field to change.")], ...] = Field(
        default=(),
        description="Problems for which the run was refused, each with its field. Empty: none, or not checked yet.",
    )
    warnings: tuple[Annotated[str, Field(description="One warning, beginning with the field it is about.")], ...] = (
        Field(default=(), description="Findings of preflight that do not prevent the run.")
    )
    stages: tuple[StageStatus, ...] = Field(
        default=(), description="All stages of the run in order, with their steps.", json_schema_extra=map_by("name")
    )
    evaluation: EvaluationStatus | None = Field(
        default=None, description="Metrics and gates. Unset: the gate step has not published yet."
    )
    image: ImageStatus | None = Field(
        default=None, description="The resulting image. Unset: not packed and pushed yet, or a gate failed."
    )
    gpu_hours: float | None = Field(
        default=None,
        description="GPU hours (devices times hours) over all pods and attempts; spec.budget.gpuHours limits them. "
        "Unset: no GPU was used.",
    )
    usage: Usage | None = Field(
        default=None, description="Running total behind gpuHours, which survives the deletion of pods. Unset: no GPU."
    )
    retry: RetryStatus | None = Field(
        default=None, description="The retries that the annotation requested. Unset: none so far."
    )
    run_uid: str | None = Field(
        default=None,
        description="Value of metadata.uid of the run that the status describes. A status of another run, which a "
        "backup tool restored, is not believed: preflight searches the store again.",
    )
    history: tuple[PastGeneration, ...] = Field(
        default=(), description="The last five generations that became Ready before this one, newest first."
    )

    def to_dict(self) -> dict[str, Any]:
        """Returns the status as JSON-ready values, without empty maps and lists.

        Server-side apply turns a map into null when its last entry is removed, and the schema, which demands a map,
        would refuse the whole status.
        """
        status: dict[str, Any] = _without_empty(super().to_dict())
        return status

    @property
    def steps(self) -> dict[str, StepStatus]:
        """All steps of all stages, by name."""
        return {step.name: step for stage in self.stages for step in stage.steps}

    def condition(self, type_: ConditionType) -> Condition | None:
        """Returns the condition of a type, or None before it has been set."""
        return next((condition for condition in self.conditions if condition.type == type_), None)

    @property
    def ready(self) -> bool:
        """Whether the image of the observed generation exists and its gates passed."""
        ready = self.condition("Ready")
        return ready is not None and ready.status == "True"

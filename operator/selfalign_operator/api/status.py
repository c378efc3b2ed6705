"""What a run tells: conditions for machines, phase for people, steps with keys, counts and progress for both."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer

from selfalign_operator.api.validation import map_by
from selfalign_stages.contract.graph import Kind, StageName
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.task import Problem

ConditionType = Literal["Accepted", "Reconciling", "Stalled", "Succeeded", "Ready"]
State = Literal["Pending", "Running", "Waiting", "Succeeded", "Failed", "Skipped"]
"""Waiting is between two attempts; Skipped is a step whose artifact nothing needs, because what follows is there."""


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Time = Annotated[datetime, PlainSerializer(_rfc3339, return_type=str, when_used="json")]


def _filled(value: Any) -> Any:
    """Without empty maps and lists at any depth."""
    if isinstance(value, list):
        return [_filled(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: filled for name, item in value.items() if (filled := _filled(item)) not in ({}, [])}


class Condition(Model):
    """A condition as kstatus reads it."""

    type: ConditionType
    status: Literal["True", "False", "Unknown"]
    reason: str = Field(max_length=128)
    message: str = Field(default="", max_length=32_768)
    observed_generation: int
    last_transition_time: Time


class StepProgress(Model):
    """How far a running step is."""

    done: float
    total: float
    unit: str
    rate: float = Field(default=0, description="units per second")
    eta: float | None = Field(default=None, description="seconds left")


class Preemptions(Model):
    """Stops of a step that were not its own: preemptions, drains, evictions. `earlier` attempts are in `total`."""

    attempt: int
    earlier: int = 0
    pods: int = Field(default=0, description="pods that the attempt's Job has made so far")
    newest_pod: Time | None = None
    total: int = 0


class Usage(Model):
    """GPU time of all pods that the run ever had."""

    gpu_seconds: float
    counted_until: Time


class StepStatus(Model):
    """One step: one key, one artifact, one or more attempts."""

    name: str
    kind: Kind
    key: str | None = None
    state: State = "Pending"
    cache: Literal["Hit", "Miss"] | None = None
    attempt: int = 0
    rows: int | None = None
    kept: int | None = None
    rejected: dict[str, int] = {}
    start_time: Time | None = None
    completion_time: Time | None = None
    seconds: float | None = Field(default=None, description="wall time of the attempt that published the artifact")
    progress: StepProgress | None = None
    digest: str | None = Field(default=None, description="of the artifact's content")
    job_name: str | None = Field(default=None, description="Job of the newest attempt")
    gpu_seconds: float | None = Field(default=None, description="seconds times devices, over all attempts")
    preempted: Preemptions | None = None
    message: str | None = None


class StageStatus(Model):
    """A stage sums up its steps; key and counts are those of the step that the stage is about."""

    name: StageName
    state: State = "Pending"
    key: str | None = None
    cache: Literal["Hit", "Miss"] | None = None
    rows: int | None = None
    kept: int | None = None
    rejected: dict[str, int] = {}
    start_time: Time | None = None
    completion_time: Time | None = None
    seconds: float | None = None
    steps: tuple[StepStatus, ...] = Field(default=(), json_schema_extra=map_by("name"))


class EvaluationStatus(Model):
    """The gate step's numbers: VARIANT.SUITE.METRIC, with .low and .high beside the headline ones."""

    passed: bool
    failed_gates: str = ""
    metrics: dict[str, float] = {}


class ImageStatus(Model):
    """The image that was made."""

    reference: str
    digest: str
    short: str = Field(default="", description="for tables: name and beginning of the digest")
    size: int | None = Field(default=None, description="bytes")


class PreflightStatus(Model):
    """What preflight was asked, by its key, and the digests that it answered with."""

    key: str
    attempt: int = 0
    job_name: str | None = None
    leaves: dict[str, str] = {}


class PastGeneration(Model):
    """An earlier generation that ended Ready."""

    generation: int
    image: str
    digest: str
    completion_time: Time


class RunStatus(Model):
    """Everything that is known about a run. Results of steps are kept here, so that Jobs may go."""

    observed_generation: int = -1
    phase: str = ""
    stage: StageName | None = Field(default=None, description="the stage that works now")
    progress: str | None = Field(default=None, description="finished part of the steps, those that run in part")
    start_time: Time | None = None
    completion_time: Time | None = None
    conditions: tuple[Condition, ...] = Field(default=(), json_schema_extra=map_by("type"))
    preflight: PreflightStatus | None = None
    problems: tuple[Problem, ...] = Field(default=(), description="what preflight refused")
    warnings: tuple[str, ...] = ()
    stages: tuple[StageStatus, ...] = Field(default=(), json_schema_extra=map_by("name"))
    evaluation: EvaluationStatus | None = None
    image: ImageStatus | None = None
    gpu_hours: float | None = Field(default=None, description="devices times hours, over all attempts")
    usage: Usage | None = Field(default=None, description="what gpuHours is counted on from")
    history: tuple[PastGeneration, ...] = Field(
        default=(), description="the last generations that ended Ready, newest first"
    )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without what is empty.

        Server-side apply makes null of a map when its last entry goes, and a schema that wants a map refuses that.
        """
        found: dict[str, Any] = _filled(super().to_dict())
        return found

    @property
    def steps(self) -> dict[str, StepStatus]:
        """All steps by name."""
        return {step.name: step for stage in self.stages for step in stage.steps}

    def condition(self, type_: ConditionType) -> Condition | None:
        """The condition of a type, if it has been set."""
        return next((condition for condition in self.conditions if condition.type == type_), None)

    @property
    def ready(self) -> bool:
        """Whether the image for the observed generation exists and its gates passed."""
        ready = self.condition("Ready")
        return ready is not None and ready.status == "True"

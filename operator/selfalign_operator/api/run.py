"""SelfAlignRun, version v1alpha1: one file for a laptop, a cluster and a Git repository."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from selfalign_operator.api.resources import PodDefaults
from selfalign_operator.api.sources import Artifacts, BaseModelSource, ObjectRef, Principles
from selfalign_operator.api.stages import Stages
from selfalign_operator.api.status import RunStatus
from selfalign_operator.api.validation import cel
from selfalign_operator.api.values import AssistantName, Duration, ObjectName, RunName
from selfalign_stages.contract.model import Model

GROUP, VERSION, KIND = "selfalign.dev", "v1alpha1", "SelfAlignRun"
TAG_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$"


class Metadata(Model):
    """The part of an object's metadata that we read; whatever else an API server adds is tolerated."""

    model_config = ConfigDict(extra="allow")

    name: RunName
    namespace: ObjectName = "default"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    uid: str | None = None
    generation: int = 1


class Image(Model):
    """The image that the run ends with."""

    model_config = cel(
        ("!('server' in self.formats) || has(self.base)", "format server needs base: the image with the server"),
        ("!has(self.promoteTo) || self.promoteTo != self.tag", "promoteTo needs a tag of its own"),
    )

    repository: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._:/-]*[a-z0-9]$", max_length=255)] | None = Field(
        default=None, description="REGISTRY/PATH without a tag; on one machine localhost/RUN where it is missing"
    )
    tag: str = Field(default="candidate", pattern=TAG_PATTERN, description="first tag, given before anyone promotes")
    promote_to: Annotated[str, Field(pattern=TAG_PATTERN)] | None = Field(
        default=None, description="second tag, given once all gates have passed"
    )
    base: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        default=None, description="image with a server, for format server"
    )
    formats: tuple[Literal["server", "modelcar"], ...] = Field(
        default=("modelcar",),
        min_length=1,
        max_length=2,
        description="modelcar: weights alone, to mount; server: joined with an image that serves them",
    )
    variant: Literal["engraved", "cloned"] | None = Field(
        default=None, description="cloned if cloning is enabled, else engraved"
    )
    license: str = Field(default="other", min_length=1, max_length=128, description="SPDX expression of the result")
    push_secret_ref: ObjectRef | None = Field(
        default=None, description="Secret of type kubernetes.io/dockerconfigjson; on one machine docker login"
    )
    plain_http: bool = Field(default=False, description="the registry speaks HTTP without TLS")


class Retries(Model):
    """How often a step may be tried again."""

    per_stage: int = Field(default=3, ge=0, le=100, description="after crashes and unavailable services, per step")
    preemptions: int = Field(default=50, ge=0, le=10_000, description="after stops by SIGTERM, which lose nothing")


class Budget(Model):
    """What the run may use before it is stopped."""

    gpu_hours: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="GPUs times hours, over all steps"
    )
    deadline: Duration | None = Field(default=None, description="wall time since the run began")


MADE_FROM = ("baseModel", "principles", "assistantName", "seed", "stages", "image")
SAME = " && ".join(f"self.{name} == oldSelf.{name}" for name in MADE_FROM)


class Spec(Model):
    """What is wanted."""

    model_config = cel(
        (
            "!has(self.image.variant) || self.image.variant != 'cloned' || self.stages.cloning.enabled",
            "image.variant cloned needs stages.cloning.enabled",
        ),
        (
            f"oldSelf.onSpecChange != 'Reject' || ({SAME})",
            "onSpecChange is Reject: what the run is made from cannot be edited; apply it under another name",
        ),
    )

    suspend: bool = Field(default=False, description="stop what runs, start nothing; what is published stays")
    assistant_name: AssistantName = Field(
        default="Dromedary", description="what the assistant is called and calls itself"
    )
    base_model: BaseModelSource
    principles: Principles = Principles(builtin="dromedary-16")
    seed: int = Field(default=42, ge=0, le=2**53 - 1, description="of everything that is drawn at random")
    artifacts: Artifacts | None = Field(default=None, description="on one machine WORKDIR/store where it is missing")
    pod_defaults: PodDefaults = PodDefaults()
    stages: Stages = Stages()
    image: Image = Image()
    queue_name: Annotated[str, Field(min_length=1, max_length=63)] | None = Field(
        default=None, description="Kueue LocalQueue"
    )
    retries: Retries = Retries()
    budget: Budget = Budget()
    on_spec_change: Literal["Reconcile", "Restart", "Reject"] = Field(
        default="Reconcile",
        description="Reconcile keeps what still fits, Restart stops all running steps, "
        "Reject lets nobody edit what the run is made from",
    )
    ttl_seconds_after_finished: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="when Jobs are removed after the run's end; they stay with the run where it is missing",
    )


class SelfAlignRun(Model):
    """From a base language model to an evaluated assistant image."""

    api_version: Literal["selfalign.dev/v1alpha1"]
    kind: Literal["SelfAlignRun"]
    metadata: Metadata
    spec: Spec
    status: RunStatus = RunStatus()

"""SelfAlignRun, version v1alpha1: one file for a laptop, a cluster and a Git repository.

What one environment needs and another does not (a store on S3, a registry, Secrets) is optional here and checked by
`manifest.environments`, because the same manifest must be valid in all of them.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from selfalign_operator.api.engine import EngineSettings
from selfalign_operator.api.resources import PodDefaults
from selfalign_operator.api.sources import Artifacts, BaseModelSource, ObjectRef, Principles
from selfalign_operator.api.stages import Stages
from selfalign_operator.api.status import RunStatus
from selfalign_operator.api.validation import cel
from selfalign_operator.api.values import SUBDOMAIN_PATTERN, AssistantName, Duration, ObjectName, RunName
from selfalign_stages.contract import rules
from selfalign_stages.contract.model import Model

GROUP, VERSION, KIND = "selfalign.dev", "v1alpha1", "SelfAlignRun"
LONGEST_TTL_SECONDS = 2**31 - 1
"""Of ttlSecondsAfterFinished, as for a Job's own (batch/v1, int32). There is no date beyond the year 9999."""
TAG_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$"
"""A tag (OCI distribution-spec 1.1, "Pulling manifests")."""
REPOSITORY_PATTERN = r"^[a-z0-9][a-z0-9._:/-]*[a-z0-9]$"
"""REGISTRY[:PORT]/PATH. A colon in the last part, a tag, matches and is refused by `manifest.cross_field`."""

Format = Annotated[
    Literal["server", "modelcar"],
    Field(
        description="One image format. modelcar: the weights alone, to mount as an image volume; server: the image "
        "`base` with the weights added, which serves them.",
    ),
]


class Metadata(Model):
    """The part of ObjectMeta that the operator reads. Other fields, which an API server adds, are ignored."""

    model_config = ConfigDict(extra="allow")

    name: RunName = Field(
        description="Name of the run, an RFC 1123 label of at most 52 characters. Names of its Jobs begin with it."
    )
    namespace: ObjectName = "default"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    uid: str | None = None
    creation_timestamp: str | None = None
    generation: int = 1


class Image(Model):
    """OCI image of the resulting model, built and pushed once every gate has passed.

    The weights are safetensors under /models, one layer per shard, so formats and versions share layers in a registry.
    """

    model_config = cel(
        ("!('server' in self.formats) || has(self.base)", rules.SERVER_NEEDS_BASE),
        ("!has(self.promoteTo) || self.promoteTo != self.tag", rules.PROMOTE_TO_EQUALS_TAG),
    )

    repository: Annotated[str, Field(pattern=REPOSITORY_PATTERN, max_length=255)] | None = Field(
        default=None,
        description="Repository that the image is pushed to, REGISTRY/PATH without a tag. A cluster needs it. Unset on "
        "one machine: the image stays in the artifact store, as localhost/RUN.",
    )
    tag: str = Field(
        default="candidate", pattern=TAG_PATTERN, description="Tag of the pushed image; an existing one is moved."
    )
    promote_to: Annotated[str, Field(pattern=TAG_PATTERN)] | None = Field(
        default=None,
        description="Second tag of the pushed image, such as `stable`, for consumers that follow a fixed tag. Unset: "
        "none.",
    )
    base: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        default=None,
        description="Image with an inference server, by tag or digest, that format server adds the model to. Required "
        "by that format and unused by others.",
    )
    formats: tuple[Format, ...] = Field(
        default=("modelcar",),
        min_length=1,
        max_length=2,
        description="Image formats to push. The first gets the plain tags and is the one in the status; the second "
        "gets TAG-FORMAT.",
    )
    variant: Literal["engraved", "cloned"] | None = Field(
        default=None,
        description="Model that is packed. Unset: cloned if spec.stages.cloning is enabled, else engraved.",
    )
    license: str = Field(
        default="other",
        min_length=1,
        max_length=128,
        description="License of the model as an SPDX expression, for the image's labels and its model card.",
    )
    push_secret_ref: ObjectRef | None = Field(
        default=None,
        description="Secret of type kubernetes.io/dockerconfigjson that may push to the repository and pull base. "
        "Unset: anonymous. On one machine the credentials of `docker login` are used.",
    )
    plain_http: bool = Field(
        default=False, description="Whether to reach the registry over HTTP without TLS. Only for registries in a lab."
    )


class Retries(Model):
    """Limits on further attempts at a failed step. An edit of the spec, or `selfalign retry`, resets the counts.

    Crashes are mostly the step's own fault and soon hopeless; preemptions are not, and a step on spot nodes has many.
    """

    per_stage: int = Field(
        default=3,
        ge=0,
        le=100,
        description="Further attempts at a step after crashes, lack of memory and unavailable services, with a growing "
        "delay of up to 5 minutes. Each worker of a sharded step has as many.",
    )
    preemptions: int = Field(
        default=50,
        ge=0,
        le=10_000,
        description="Restarts of a step after evictions, drains and preemptions, which lose uncommitted chunks or the "
        "steps since a checkpoint. One more fails the step (reason TooManyPreemptions).",
    )


class Budget(Model):
    """Limits on what the run may use. Reaching one stops all running steps; published artifacts stay."""

    gpu_hours: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Maximum GPU hours (devices times hours) over all pods and attempts of the run, then it fails with "
        "reason GpuBudgetExceeded. Unset: no limit. Not metered on one machine.",
    )
    deadline: Duration | None = Field(
        default=None,
        description="Longest wall-clock time from status.startTime, such as 72h, then the run fails with reason "
        "DeadlineExceeded. Unset: no limit.",
    )


DETERMINING_FIELDS = ("baseModel", "principles", "assistantName", "seed", "engine", "stages", "image")
"""Spec fields that artifacts are made from. onSpecChange Reject makes them immutable and no others: suspending a run or
raising a budget must stay possible."""
DETERMINING = f"{', '.join(DETERMINING_FIELDS[:-1])} and {DETERMINING_FIELDS[-1]}"
UNCHANGED = " && ".join(f"self.{name} == oldSelf.{name}" for name in DETERMINING_FIELDS)
"""CEL expression over an update: no determining field was edited."""


class Spec(Model):
    """Desired result and how to reach it. An edit reruns only the steps whose inputs or settings it changes."""

    model_config = cel(
        (
            "!has(self.image.variant) || self.image.variant != 'cloned' || self.stages.cloning.enabled",
            rules.CLONED_NEEDS_CLONING,
        ),
        (f"oldSelf.onSpecChange != 'Reject' || ({UNCHANGED})", rules.EDIT_REJECTED),
    )

    suspend: bool = Field(
        default=False,
        description="Whether to stop all running steps and start none. Published artifacts and checkpoints stay, and "
        "the run continues from them when it is false again.",
    )
    assistant_name: AssistantName = Field(
        default="Dromedary",
        description="Name that the assistant has in prompts, training texts and its own answers, one line of at most "
        "40 characters. A change reruns everything but the import and red-teaming.",
    )
    base_model: BaseModelSource = Field(
        description="Base language model that is aligned. A change of its files reruns every step."
    )
    principles: Principles = Field(
        default=Principles(builtin="dromedary-16"),
        description="Principle pack: exactly one of builtin, configMapRef and uri. Default: the built-in dromedary-16, "
        "the paper's 16 principles.",
    )
    seed: int = Field(
        default=42,
        ge=0,
        le=2**53 - 1,
        description="Seed of all sampling, shuffling and bootstrapping. A change reruns everything but the import.",
    )
    artifacts: Artifacts | None = Field(
        default=None,
        description="Store of all artifacts and checkpoints. A cluster needs one on S3. Unset on one machine: the "
        "folder `store` below --workdir.",
    )
    pod_defaults: PodDefaults = Field(
        default=PodDefaults(), description="Settings of all pods of the run. Not part of any step's key."
    )
    stages: Stages = Field(
        default=Stages(),
        description="Settings of the six stages. A change reruns the steps that use the setting and those after them; "
        "`workers`, `resources` and `template` rerun nothing.",
    )
    engine: EngineSettings = Field(
        default=EngineSettings(), description="Inference engine of the steps that generate rows or score variants."
    )
    image: Image = Field(
        default=Image(), description="Resulting image: its repository, tags, formats and the model in it."
    )
    queue_name: Annotated[str, Field(min_length=1, max_length=63, pattern=SUBDOMAIN_PATTERN)] | None = Field(
        default=None,
        description="Kueue LocalQueue that admits the run's Jobs, in the run's namespace. Unset: Jobs start at once.",
    )
    retries: Retries = Field(default=Retries(), description="Limits on further attempts at a step.")
    budget: Budget = Field(default=Budget(), description="Limits on GPU hours and time.")
    on_spec_change: Literal["Reconcile", "Restart", "Reject"] = Field(
        default="Reconcile",
        description="Effect of an edit on running steps. Reconcile stops only those whose key changed; Restart stops "
        f"all and starts those still needed again; Reject makes the API server refuse edits of {DETERMINING}.",
    )
    ttl_seconds_after_finished: int = Field(
        default=86400,
        ge=0,
        le=LONGEST_TTL_SECONDS,
        description="Seconds after status.completionTime until the operator deletes the run's finished Jobs and their "
        "pods. Results stay in the status, artifacts and the logs of all attempts in the store, and no step runs again "
        f"for it. Unset: one day. To keep the Jobs as long as the run, set 68 years, {LONGEST_TTL_SECONDS}, the "
        "highest value.",
    )


class SelfAlignRun(Model):
    """One run of SELF-ALIGN (arXiv 2305.03047): from a base language model to an evaluated, packaged assistant."""

    api_version: Literal["selfalign.dev/v1alpha1"]
    kind: Literal["SelfAlignRun"]
    metadata: Metadata
    spec: Spec
    status: RunStatus = RunStatus()

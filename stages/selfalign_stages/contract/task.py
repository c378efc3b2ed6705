"""What a stage process reads (its task) and what it reports (result, failure, progress).

A task contains everything that a step depends on, so that a Job is complete in itself: a pod needs no API access, and
the same file runs on a laptop. The operator serialises a task, a stage process of the same release reads it back.
"""

import json
from typing import Any, Literal

from pydantic import Field

from selfalign_stages.contract.counts import Counts
from selfalign_stages.contract.graph import Kind, Step
from selfalign_stages.contract.manifest import ArtifactRef
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.parameters import EngineArguments, EngineParameters
from selfalign_stages.contract.printable import Message, printable

TASK_VARIABLE = "SELFALIGN_TASK"
"""Environment variable of a pod with its task."""
LOG_VARIABLE = "SELFALIGN_LOG"
"""Environment variable of a pod with the name of its log in the store, without suffix (attempt_log)."""
LONGEST_VALUE = 200
"""Most characters of a field's value in a message, so that a pasted text does not displace the message itself."""


class StoreLocation(Model):
    """Address of the artifact store. Credentials are never part of it: they come from the environment."""

    uri: str = Field(pattern=r"^(file|s3)://", description="file:///path or s3://bucket/prefix")
    endpoint: str | None = Field(default=None, description="URL of an S3 server; none: AWS")
    region: str | None = Field(default=None, description="none: us-east-1 with an endpoint, else the environment's")
    addressing_style: Literal["auto", "path", "virtual"] = Field(
        default="auto", description="whether the bucket is in the path or in the host name of S3 requests"
    )
    ca_file: str | None = Field(default=None, description="PEM file of certificate authorities that sign the endpoint")
    sse: Literal["AES256", "aws:kms"] | None = Field(default=None, description="server-side encryption of new objects")
    sse_kms_key_id: str | None = Field(default=None, description="KMS key for sse aws:kms; none: the account's default")


class Leaf(Model):
    """An input from outside the store: base model, principle pack, evaluation suite or file with rows of one's own."""

    uri: str = Field(description="builtin://, file://, s3:// or hf://; suites of a pack are pack://NAME")
    revision: str | None = Field(default=None, description="commit of an hf:// repository")
    digest: str | None = Field(default=None, description="known after preflight; a step refuses a leaf that differs")


class Task(Model):
    """One step to compute."""

    id: str = Field(description="step id, for messages and metrics")
    kind: Kind
    key: str = Field(description="key of the artifact to publish (contract.graph.keys)")
    seed: int = Field(
        description="spec.seed, or another one with a nonce; every random draw of the step derives from it"
    )
    store: StoreLocation
    parameters: dict[str, Any] = Field(description="resolved parameters of the kind, defaults filled in")
    inputs: dict[str, ArtifactRef] = Field(default={}, description="artifacts to read, by input name")
    leaves: dict[str, Leaf] = Field(default={}, description="inputs from outside the store, by leaf name")
    engine: EngineArguments = Field(
        default=EngineArguments(), description="how the engine uses its device; not part of the key"
    )
    worker: int = Field(default=0, description="number of this worker, from 0; in a pod the index of the Indexed Job")
    workers: int = Field(default=1, description="workers that compute the step side by side")


class PreflightTask(Model):
    """A request to check a run before it starts.

    Preflight computes the digests of the leaves, reports every problem that is visible without a GPU, and lists the
    steps whose artifacts the store already has.
    """

    store: StoreLocation
    seed: int = Field(description="spec.seed; part of the keys")
    leaves: dict[str, Leaf] = Field(description="all leaves of the run, by leaf name")
    steps: tuple[Step, ...] = Field(description="all steps of the run, in topological order")
    assistant_name: str = Field(description="name that fills {assistantName} in the pack")
    max_tokens: int = Field(default=0, ge=0, description="longest completion of the run, for the pack's token budget")
    engine: EngineParameters = Field(
        default=EngineParameters(), description="its context window bounds the pack's token budget"
    )


class Result(Model):
    """What a step that published reports; small enough for a termination message."""

    key: str
    cache: Literal["Hit", "Miss"] = Field(description="Hit: the artifact existed; Miss: this process published it")
    digest: str = Field(description="digest of the artifact's content (Manifest.digest)")
    counts: Counts = Counts()
    metrics: dict[str, float | int | str | bool] = Field(default={}, description="results by name, for the status")
    seconds: float = Field(default=0, description="wall time of the process that published the artifact")


class Failure(Model):
    """Why a step ended without an artifact."""

    reason: str = Field(description="CamelCase, stable across releases")
    message: Message = Field(description="object, field, value and remedy")
    counts: Counts | None = Field(default=None, description="rows so far, where the cause lies in the rows")
    lost: str | None = Field(
        default=None, description="key of the input artifact that is missing or damaged, if one is"
    )


class Problem(Model):
    """A mistake in a run, by the field of the manifest that corrects it."""

    field: Message = Field(
        description="Path of the field to change, such as spec.baseModel.uri. Empty: the whole file."
    )
    value: Any = Field(default=None, description="Value of the field, where it helps to see it.")
    message: Message = Field(description="What is wrong with the field, and how to correct it.")

    @property
    def line(self) -> str:
        """One line for people: field, value, message. A message that begins with the field is the whole line."""
        # Messages of BadInput often begin with the field already.
        if self.field and self.message.startswith(self.field):
            return self.message
        shown = printable(json.dumps(self.value, ensure_ascii=False))[:LONGEST_VALUE]
        value = "" if self.value is None else f" = {shown}"
        return f"{self.field or 'file'}{value}: {self.message}"


class PreflightResult(Model):
    """What preflight reports. `problems` stop the run, `warnings` do not."""

    leaves: dict[str, str] = Field(default={}, description="content digest by leaf name")
    hits: dict[str, Result] = Field(default={}, description="results of the steps that are already in the store, by id")
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Message, ...] = ()


class Progress(Model):
    """State of a running step, as its /progress endpoint returns it."""

    done: float = Field(description="units finished, those of earlier attempts included")
    total: float = Field(description="units of the current phase")
    unit: str = Field(description="what is counted, such as answers, steps or bytes")
    rate: float = Field(default=0, description="units per second, since this process began the phase")
    eta: float | None = Field(default=None, description="seconds left at that rate; none before the first unit")
    metrics: dict[str, float | int | str] = Field(default={}, description="latest values by name, such as the loss")

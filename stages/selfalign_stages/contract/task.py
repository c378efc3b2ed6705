"""The task file that a stage process reads and the messages that it gives back."""

import json
from typing import Any, Literal

from pydantic import Field

from selfalign_stages.contract.graph import Kind, Step
from selfalign_stages.contract.manifest import ArtifactRef, Counts
from selfalign_stages.contract.model import Model

LONGEST_VALUE = 200


class StoreLocation(Model):
    """Where artifacts live: file:///path or s3://bucket/prefix. Credentials come from the environment."""

    uri: str = Field(pattern=r"^(file|s3)://")
    endpoint: str | None = None
    region: str | None = None
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    ca_file: str | None = None
    sse: Literal["AES256", "aws:kms"] | None = None
    sse_kms_key_id: str | None = None


class Leaf(Model):
    """An input from outside the store. `uri` may be builtin://, file://, s3:// or hf://."""

    uri: str
    revision: str | None = None
    digest: str | None = Field(default=None, description="known after preflight; a step refuses a leaf that differs")


class Task(Model):
    """All that one step's process needs."""

    id: str
    kind: Kind
    key: str
    seed: int
    store: StoreLocation
    parameters: dict[str, Any]
    inputs: dict[str, ArtifactRef] = {}
    leaves: dict[str, Leaf] = {}
    worker: int = 0
    workers: int = 1


class PreflightTask(Model):
    """Asks for the digests of the leaves, every problem to be found without a GPU, and what is done already."""

    store: StoreLocation
    seed: int
    leaves: dict[str, Leaf]
    steps: tuple[Step, ...]
    assistant_name: str
    max_tokens: int = Field(default=0, ge=0, description="longest completion of the run, for the pack's token budget")


class Result(Model):
    """A step's last word, small enough for a termination message."""

    key: str
    cache: Literal["Hit", "Miss"]
    digest: str
    counts: Counts = Counts()
    metrics: dict[str, float | int | str | bool] = {}
    seconds: float = 0


class Failure(Model):
    """Why a step ended without an artifact."""

    reason: str
    message: str
    counts: Counts | None = None


class Problem(Model):
    """One thing to mend, by its place in the manifest."""

    field: str
    value: Any = None
    message: str

    @property
    def line(self) -> str:
        """For people: field and value before the message, unless the message begins with them."""
        if self.field and self.message.startswith(self.field):
            return self.message
        value = "" if self.value is None else f" = {json.dumps(self.value, ensure_ascii=False)[:LONGEST_VALUE]}"
        return f"{self.field or 'file'}{value}: {self.message}"


class PreflightResult(Model):
    """Leaf digests and finished steps by id; `problems` stop the run, `warnings` do not."""

    leaves: dict[str, str] = {}
    hits: dict[str, Result] = {}
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()


class Progress(Model):
    """How far a running step is, as its /progress tells."""

    done: float
    total: float
    unit: str
    rate: float = Field(default=0, description="units per second")
    eta: float | None = Field(default=None, description="seconds left")
    metrics: dict[str, float | int | str] = {}

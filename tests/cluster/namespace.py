"""What a test says to the API server about runs in one namespace, and what it sees there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from tests.cluster.control_plane import Cluster, wait_for

SPEC: dict[str, Any] = {
    "baseModel": {"uri": "builtin://hamlet"},
    "principles": {"builtin": "hamlet"},
    "artifacts": {"uri": "s3://runs/a", "secretRef": {"name": "s3"}},
    "image": {"repository": "reg.test/ida"},
}
"""A small run that a cluster accepts."""
OWN_SUITES: dict[str, Any] = {"evaluation": {"suites": [{"name": "hhh", "format": "hhh", "uri": "pack://hhh"}]}}
"""Stages of a run with a principle pack of its own, whose suites it must list."""


@dataclass(frozen=True)
class Namespace:
    """`spec` is what its runs have unless a test says otherwise."""

    cluster: Cluster
    name: str
    spec: Mapping[str, Any] = field(default_factory=lambda: SPEC)

    def apply(self, name: str = "trial", **spec: Any) -> None:
        """Applies a run."""
        self.cluster.kubectl("apply", "-f", "-", text=yaml.safe_dump(self.manifest(name, **spec)))

    def manifest(self, name: str = "trial", **spec: Any) -> dict[str, Any]:
        """A run that a cluster accepts."""
        metadata = {"name": name, "namespace": self.name}
        kind = {"apiVersion": "selfalign.dev/v1alpha1", "kind": "SelfAlignRun"}
        return kind | {"metadata": metadata, "spec": {**self.spec, **spec}}

    def get(self, *what: str) -> Any:
        """Objects as JSON."""
        return json.loads(self.cluster.kubectl("-n", self.name, "get", *what, "-o", "json"))

    def status(self, name: str = "trial") -> dict[str, Any]:
        """A run's status."""
        found: dict[str, Any] = self.get("sar", name).get("status", {})
        return found

    def condition(self, type_: str, name: str = "trial") -> dict[str, Any]:
        """A condition of a run; empty if it is not there yet."""
        return next((c for c in self.status(name).get("conditions", ()) if c["type"] == type_), {})

    def jobs(self) -> list[dict[str, Any]]:
        """All Jobs."""
        items: list[dict[str, Any]] = self.get("jobs")["items"]
        return items

    def wait(self, type_: str, status: str, *, name: str = "trial", seconds: float = 90) -> None:
        """Waits for a condition; a run that stalled will not get there."""

        def reached() -> bool:
            run = self.get("sar", name)
            conditions = {c["type"]: c for c in run.get("status", {}).get("conditions", ())}
            found = bool(conditions.get(type_, {}).get("status") == status)
            stalled = conditions.get("Stalled", {})
            current = stalled.get("observedGeneration") == run["metadata"]["generation"]
            if not found and current and stalled["status"] == "True":
                raise AssertionError(f"{self.name}/{name} stalled: {stalled['message']}")
            return found

        wait_for(f"{type_}={status} of {self.name}/{name}", reached, seconds=seconds)

"""Checks that the final push will be permitted, and that the image to build on exists.

The push is the last step of a run. Without this check, a wrong password or a mistyped repository would show up only
after hours of generation and training.
"""

from collections.abc import Sequence
from functools import partial

from selfalign_stages.contract.graph import Step
from selfalign_stages.contract.parameters import PushParameters
from selfalign_stages.packaging import push
from selfalign_stages.preflight.findings import Findings
from selfalign_stages.registry.pushing import Repository


def check(remaining: Sequence[Step], findings: Findings) -> None:
    """Adds problems of the push, if that step remains.

    Args:
        remaining: steps that have no artifact yet.
        findings: receives problems of spec.image.repository and spec.image.base.
    """
    for step in remaining:
        if step.kind == "push":
            parameters = PushParameters.model_validate(step.resolved())
            # Two attempts: pushing and pulling the base can need different credentials, and both can be wrong.
            findings.attempt("spec.image.repository", parameters.repository, partial(_probe, parameters))
            if parameters.base is not None:
                findings.attempt("spec.image.base", parameters.base, partial(_require_base_image, parameters))


def _probe(parameters: PushParameters) -> None:
    with Repository(parameters.repository, plain_http=parameters.plain_http) as repository:
        repository.probe()


def _require_base_image(parameters: PushParameters) -> None:
    with push.open_base_image(parameters):
        pass  # opening it reads and verifies manifest and configuration

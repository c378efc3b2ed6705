"""Asks the registry now what the push will ask it last: may we push, and is the server image there."""

from collections.abc import Sequence
from functools import partial

from selfalign_stages.contract.graph import Step
from selfalign_stages.contract.parameters import PushParameters
from selfalign_stages.packaging import push
from selfalign_stages.packaging.registry import Repository
from selfalign_stages.preflight.findings import Findings


def check(left: Sequence[Step], found: Findings) -> None:
    """Adds problems of the push, where one is left to do."""
    for step in left:
        if step.kind == "push":
            settings = PushParameters.model_validate(step.resolved())
            found.attempt("spec.image.repository", settings.repository, partial(_may_push, settings))
            if settings.base is not None:
                found.attempt("spec.image.base", settings.base, partial(_base_exists, settings))


def _may_push(settings: PushParameters) -> None:
    with Repository(settings.repository, plain_http=settings.plain_http) as repository:
        repository.probe()


def _base_exists(settings: PushParameters) -> None:
    with push.source_of_base(settings) as (repository, reference):
        repository.manifest(reference)

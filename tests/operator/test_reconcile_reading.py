"""Runs as an API server gives them: of this version, with a status of another one, or with a spec of another one."""

from pydantic import ValidationError
from tests.operator.builders import manifest

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.cluster.reconcile import read


def test_a_status_of_another_version_is_left_out_and_not_fatal() -> None:
    body = manifest() | {"status": {"observedGeneration": 3, "mood": "splendid"}}
    run = read(body)
    assert isinstance(run, SelfAlignRun) and run.status.observed_generation == -1


def test_a_spec_of_another_version_is_an_error_about_the_spec() -> None:
    refused = read(manifest(horoscope="good") | {"status": {"mood": "splendid"}})
    assert isinstance(refused, ValidationError)
    assert [error["loc"] for error in refused.errors()] == [("spec", "horoscope")]

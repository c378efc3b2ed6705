"""Objects of the API server: of this version, with a status of another one, or with a spec of another one."""

from pydantic import ValidationError
from tests.operator.builders import manifest

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import RunStatus
from selfalign_operator.cluster.decode import decode_run, decode_status, spec_problems


def test_a_status_of_another_version_is_dropped() -> None:
    body = manifest() | {"status": {"observedGeneration": 3, "mood": "splendid"}}
    run = decode_run(body)
    assert isinstance(run, SelfAlignRun) and run.status.observed_generation == -1
    assert decode_status(body) == RunStatus()


def test_a_status_of_this_version_is_kept() -> None:
    body = manifest() | {"status": {"observedGeneration": 3}}
    run = decode_run(body)
    assert isinstance(run, SelfAlignRun) and run.status.observed_generation == 3
    assert decode_status(body).observed_generation == 3


def test_a_spec_of_another_version_is_an_error_about_the_spec() -> None:
    body = manifest(horoscope="good") | {"status": {"mood": "splendid"}}
    error = decode_run(body)
    assert isinstance(error, ValidationError)
    assert [details["loc"] for details in error.errors()] == [("spec", "horoscope")]
    assert [problem.field for problem in spec_problems(body, error)] == ["spec.horoscope"]

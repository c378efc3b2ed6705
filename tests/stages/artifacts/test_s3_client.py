"""How requests are made, and how often, depends on the server and on what went wrong."""

import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore import exceptions as of_boto
from tests import fault_proxy, s3_server
from tests.faults import Dropped, Fault, Stalled, always, in_turn, s3_error
from tests.stages.artifacts.conftest import Through

from selfalign_stages.artifacts import s3_client, s3_retries
from selfalign_stages.artifacts.open_store import open_store
from selfalign_stages.contract.exits import Unavailable
from selfalign_stages.contract.task import StoreLocation

AWS = StoreLocation(uri="s3://bucket/prefix", region="us-east-1")


def use_and_watch(s3: s3_server.Server, location: StoreLocation, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Writes and reads where a variable has the endpoint; asserts that requests had no checksum of newer clients."""
    with fault_proxy.serve(s3.endpoint, lambda *_: None) as proxy:
        monkeypatch.setenv(name, proxy.endpoint)
        store = open_store(location.model_copy(update={"endpoint": None}))
        assert store.put("part", b"content")
        with store.open("part") as stream:
            assert stream.read() == b"content"
        assert proxy.count("PUT") == proxy.count("GET") == 1
        assert not [name for request in proxy.requests for name in request.headers if "checksum" in name]
        assert not [request for request in proxy.requests if "x-amz-trailer" in request.headers]


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_a_server_that_a_variable_names_gets_no_checksums(
    s3: s3_server.Server, s3_location: StoreLocation, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    use_and_watch(s3, s3_location, monkeypatch, name)


def test_settings_for_aws_in_a_profile_do_not_reach_another_server(
    s3_location: StoreLocation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    profile = tmp_path / "config"
    profile.write_text(
        f"[default]\nendpoint_url = {s3_location.endpoint}\ns3 =\n  use_accelerate_endpoint = true\n"
        "  addressing_style = virtual\nuse_dualstack_endpoint = true\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(profile))
    store = open_store(s3_location.model_copy(update={"endpoint": None}))
    assert store.put("part", b"content")


def test_aws_gets_checksums_unless_a_variable_names_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def mode() -> tuple[str, str | None]:
        client, endpoint = s3_client.connect(AWS, credentials={}, mounted=None)
        return client.meta.config.request_checksum_calculation, endpoint  # type: ignore[attr-defined]

    assert mode() == ("when_supported", None)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store")
    assert mode() == ("when_required", "http://store")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert mode() == ("when_supported", None)


@pytest.mark.parametrize(
    ("location", "variables", "region"),
    [
        (AWS, {"AWS_REGION": "eu-west-1"}, "us-east-1"),
        (AWS.model_copy(update={"region": None}), {"AWS_REGION": "eu-west-1"}, "eu-west-1"),
        (AWS.model_copy(update={"region": None}), {"AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-2"),
        (AWS.model_copy(update={"region": None, "endpoint": "http://s"}), {"AWS_REGION": "eu-west-1"}, "us-east-1"),
        (AWS.model_copy(update={"region": None}), {"AWS_ENDPOINT_URL": "http://s"}, "us-east-1"),
    ],
)
def test_the_region_is_that_of_the_store_or_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, location: StoreLocation, variables: Mapping[str, str], region: str
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    client, _ = s3_client.connect(location, credentials={}, mounted=None)
    assert client.meta.region_name == region


def test_sixteen_threads_that_lose_their_connections_at_once_all_get_through(through: Through) -> None:
    def rule(method: str, path: str, number: int, headers: Mapping[str, str]) -> Fault | None:
        return Dropped() if number < s3_retries.ATTEMPTS - 1 else None

    store, _ = through(rule)
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(lambda n: store.put(f"part-{n}", b"content"), range(16)))


@pytest.mark.parametrize("fault", [s3_error(503, "SlowDown"), s3_error(429, "TooManyRequests"), Dropped()])
def test_a_server_that_refuses_for_a_while_is_waited_for(through: Through, fault: Fault) -> None:
    store, proxy = through(in_turn("PUT", "/part", *[fault] * (s3_retries.ATTEMPTS - 1)))
    assert store.put("part", b"content")
    assert proxy.count("PUT") == s3_retries.ATTEMPTS


def test_a_server_that_stays_silent_is_given_up_earlier(through: Through) -> None:
    store, proxy = through(always("HEAD", "", Stalled(after=None)))
    with pytest.raises(Unavailable, match="Read timeout"):
        store._objects.head("part")
    assert proxy.count("HEAD") == s3_retries.SILENT_ATTEMPTS


def pauses(status: int = 0, code: str = "", *, error: Exception | None = None, after: str = "") -> list[float]:
    """The pauses after each attempt until there is none."""
    headers = {"retry-after": after} if after else {}
    found: list[float] = []
    while (
        next_ := s3_retries.pause(len(found) + 1, status=status, code=code, error=error, headers=headers)
    ) is not None:
        found.append(next_)
    return found


LOST = of_boto.EndpointConnectionError(endpoint_url="u")
TIMEOUT = of_boto.ReadTimeoutError(endpoint_url="u")


def test_the_time_that_a_dead_server_takes_is_bounded() -> None:
    refused = sum(pauses(error=LOST))
    assert 30 < refused <= 60
    assert refused + s3_retries.ATTEMPTS * s3_client.CONNECT_TIMEOUT <= 120
    assert sum(pauses(error=TIMEOUT)) + s3_retries.SILENT_ATTEMPTS * s3_client.READ_TIMEOUT <= 200


def test_a_throttling_server_is_given_a_minute() -> None:
    assert 60 <= sum(pauses(503, "SlowDown")) <= 120
    assert 60 <= sum(pauses(429)) <= 120
    assert pauses(503, "SlowDown", after="7")[0] == 7
    assert max(pauses(503, "SlowDown", after="86400")) == s3_retries.LONGEST_THROTTLED_PAUSE


@pytest.mark.parametrize("status", [400, 403, 404, 409, 412, 501, 507])
def test_what_another_attempt_cannot_change_is_not_tried_again(status: int) -> None:
    assert pauses(status) == []


@pytest.mark.parametrize(
    "error",
    [
        of_boto.SSLError(endpoint_url="u", error=ssl.SSLError("CERTIFICATE_VERIFY_FAILED")),
        of_boto.ParamValidationError(report="r"),
        of_boto.NoCredentialsError(),
    ],
)
def test_a_wrong_setting_is_not_tried_again(error: Exception) -> None:
    assert pauses(error=error) == []


@pytest.mark.parametrize(("status", "code"), [(500, ""), (502, "502"), (522, ""), (400, "BadDigest"), (408, "")])
def test_what_another_attempt_may_heal_is_tried_again(status: int, code: str) -> None:
    assert len(pauses(status, code)) == s3_retries.ATTEMPTS - 1

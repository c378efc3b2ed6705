"""A registry that is busy is given time; one that refuses is not asked again."""

from datetime import UTC, datetime

import httpx
import pytest
from tests.stages.registry import scripted
from tests.stages.registry.scripted import Reply
from tests.stages.registry.test_registry_answers import IMAGE, only, repository

from selfalign_stages.contract.exits import BadInput, Unavailable
from selfalign_stages.registry import references, retrying, uses
from selfalign_stages.registry.calls import Answer
from selfalign_stages.registry.connection import Connection


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(302, headers={"Location": "/v2/ida/manifests/1"}), "more than 5 times"),
        (Reply(302, headers={"Location": "ftp://x/"}), "no plain http or https URL"),
        (Reply(302, headers={"Location": "http://x:99999/"}), "no plain http or https URL"),
        (Reply(302, headers={"Location": "http://u:p@x/"}), "no plain http or https URL"),
        (Reply(304), "HTTP 304"),
        (Reply(302), "HTTP 302"),
        (Reply(400, b'{"errors": [{"code": "NAME_INVALID"}]}'), "NAME_INVALID"),
        (Reply(418, b"\x1b[31m\xff\x00"), "HTTP 418"),
    ],
)
def test_odd_statuses_are_final(reply: Reply, words: str) -> None:
    with scripted.serve(lambda request: reply) as server, repository(server) as client:
        with pytest.raises(BadInput, match=words) as raised:
            client.image("1")
        assert f"{server.host}/ida" in str(raised.value) and str(raised.value).isprintable()
        assert len(server.requests) <= 6


def test_a_busy_registry_is_given_the_time_that_it_asks_for() -> None:
    replies = [Reply(429, headers={"Retry-After": "7"}), Reply(503), Reply(502)]
    waits: list[float] = []
    script = only("manifests", lambda number: replies[number] if number < 3 else Reply(200, IMAGE.manifest))
    with scripted.serve(script) as server, repository(server, waits) as client:
        assert client.image("1").data == IMAGE.manifest
    assert waits == [7.0, *retrying.BACKOFF_SECONDS[1:3]]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_registry_that_stays_busy_is_unavailable(status: int) -> None:
    with scripted.serve(lambda request: Reply(status)) as server, repository(server) as client:
        with pytest.raises(Unavailable, match=f"{server.host}/ida.*HTTP {status}"):
            client.image("1")
        assert len(server.requests) == retrying.ATTEMPTS


def test_a_wait_that_is_too_long_is_left_to_the_job() -> None:
    waits: list[float] = []
    busy = Reply(429, headers={"Retry-After": "3600"})
    with scripted.serve(lambda request: busy) as server, repository(server, waits) as client:
        with pytest.raises(Unavailable, match="to be repeated after 3600 s.*requests without an account"):
            client.image("1")
        assert waits == [] and len(server.requests) == 1


def test_docker_hubs_limit_has_words_of_its_own() -> None:
    connection = Connection(references.parse_repository("vllm/vllm-openai"), uses.BASE, plain_http=False)
    answer = Answer(429, httpx.Headers({"Retry-After": "600"}), connection.url("manifests/1"))
    message = str(connection.refusals.of(answer))
    connection.close()
    for part in (
        "docker.io/vllm/vllm-openai",
        "to be repeated after 600 s",
        "docker.io counts requests without an account by address",
        "spec.image.pushSecretRef",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("Wed, 25 Nov 2026 12:00:30 GMT", 30.0),
        ("Wed, 25 Nov 2026 11:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("1e999", None),
        ("Wed, 99 Nov 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    now = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
    assert retrying.retry_after({"Retry-After": value}, now=now) == seconds

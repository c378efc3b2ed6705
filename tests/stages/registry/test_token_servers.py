"""Token servers answer in many ways: tokens of any lifetime, and errors that name the server."""

import json
from collections.abc import Callable

import pytest
from tests.stages.registry import scripted
from tests.stages.registry.scripted import Reply, Request
from tests.stages.registry.signing_in import PASSWORD, repository, sign_in

from selfalign_stages.contract.exits import AccessDenied, BadInput, StageError, Unavailable
from selfalign_stages.registry import authorization
from selfalign_stages.registry.challenges import Challenge
from selfalign_stages.registry.references import parse_repository

__all__ = ["sign_in"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Reply(200, b"<html>sign in</html>"), BadInput),
        (Reply(200, b"[]"), BadInput),
        (Reply(200, b"{}"), BadInput),
        (Reply(200, b'{"token": 5}'), BadInput),
        (Reply(200, b'{"token": "a\\nb"}'), BadInput),
        (Reply(200, b'{"token": "\xc3\xa4"}'), BadInput),
        (Reply(200, b'{"token": ' + b"[" * 200_000), BadInput),
        (Reply(302, headers={"Location": "http://127.0.0.1:9/token"}), AccessDenied),
        (Reply(400), AccessDenied),
        (Reply(404), AccessDenied),
        (Reply(429), Unavailable),
        (Reply(500), Unavailable),
        (Reply(200, b'{"token": "abc"}', cut=5), Unavailable),
    ],
)
def test_odd_answers_of_token_servers_are_errors_that_name_them(
    sign_in: Callable[..., None], answer: Reply, error: type[StageError]
) -> None:
    def script(request: Request) -> Reply:
        if request.path == "/token":
            return answer
        return Reply(401, challenges=(f'Bearer realm="http://{request.headers["host"]}/token"',))

    with scripted.serve(script) as server, repository(server) as client:
        sign_in(server.host)
        with pytest.raises(error, match="token server http://127.0.0.1") as raised:
            client.digest("1")
        assert PASSWORD not in str(raised.value)


def test_a_token_is_renewed_before_it_expires(sign_in: Callable[..., None]) -> None:
    now, asked = 0.0, []

    def exchange(request: object) -> authorization.TokenAnswer:
        asked.append(request)
        return authorization.TokenAnswer(200, json.dumps({"token": f"t{len(asked)}", "expires_in": 300}).encode())

    signed = authorization.Authorization(
        parse_repository("reg.test/ida"), ("https", "reg.test", 443), exchange, remedy="", clock=lambda: now
    )
    sign_in("reg.test")
    challenge = Challenge("bearer", {"realm": "https://reg.test/token", "scope": "repository:ida:pull"})
    assert signed.header() == ""
    assert signed.answer([challenge], "") == signed.header() == "Bearer t1"
    now = 289.0
    assert signed.header() == "Bearer t1"
    now = 290.0
    assert signed.header() == "Bearer t2"


@pytest.mark.parametrize("lifetime", [{}, {"expires_in": None}, {"expires_in": "60"}, {"expires_in": -1}])
def test_a_token_without_a_lifetime_is_valid_for_a_minute(
    sign_in: Callable[..., None], lifetime: dict[str, object]
) -> None:
    now = 0.0
    answers = iter(range(9))
    signed = authorization.Authorization(
        parse_repository("reg.test/ida"),
        ("https", "reg.test", 443),
        lambda request: authorization.TokenAnswer(200, json.dumps({"token": f"t{next(answers)}"} | lifetime).encode()),
        remedy="",
        clock=lambda: now,
    )
    sign_in("reg.test")
    signed.answer([Challenge("bearer", {"realm": "https://reg.test/token"})], "")
    now = 49.0
    assert signed.header() == "Bearer t0"
    now = 51.0
    assert signed.header() == "Bearer t1"

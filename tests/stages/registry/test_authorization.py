"""A registry's challenges are answered with what config.json has, and with nothing else."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from tests.stages.registry import scripted
from tests.stages.registry.scripted import Reply, Request
from tests.stages.registry.signing_in import BASIC, IDENTITY, IMAGE, PASSWORD, repository, sign_in, upload

from selfalign_stages.contract.exits import AccessDenied, Unavailable
from selfalign_stages.registry import uses

__all__ = ["sign_in"]


class TokenRegistry:
    """Asks for a token from its own /token; a token is the scopes that it was granted for.

    Args:
        status: with which a token that does not suffice is refused.
    """

    def __init__(self, *, status: int = 401) -> None:
        self.status = status
        self.stored: set[str] = set()
        self.revoked: set[str] = set()
        self.grants = 0

    def __call__(self, request: Request) -> Reply:
        if request.path == "/token":
            return self.grant(request)
        action = "pull" if request.method in ("GET", "HEAD") else "push"
        token = request.authorization.removeprefix("Bearer ")
        if action not in token or token in self.revoked:
            error = ',error="insufficient_scope"' if token else ""
            realm = (
                f'Bearer realm="http://{request.headers["host"]}/token?a=b",service="s",scope="repository:ida:{action}"'
            )
            return Reply(self.status if token else 401, challenges=(realm + error,))
        return self.serve(request)

    def grant(self, request: Request) -> Reply:
        self.grants += 1
        scope = " ".join(request.query.get("scope", []) or parse_qs(request.body.decode()).get("scope", []))
        value = f"{scope.replace(' ', '+')}.{self.grants}"
        return Reply(200, json.dumps({"token": value}).encode())

    def serve(self, request: Request) -> Reply:
        if request.method == "POST":
            return Reply(202, headers={"Location": "/v2/ida/blobs/uploads/1?_state=abc"})
        if request.method == "PUT":
            self.stored.add(request.query["digest"][0])
            return Reply(201)
        return IMAGE.answer(request)


def test_a_password_is_exchanged_for_a_token(sign_in: Callable[..., None]) -> None:
    with scripted.serve(TokenRegistry()) as server, repository(server) as client:
        sign_in(server.host)
        assert client.digest("1") == scripted.digest(IMAGE.manifest)
        token = next(request for request in server.requests if request.path == "/token")
        assert token.authorization == BASIC
        assert token.query == {"a": ["b"], "service": ["s"], "scope": ["repository:ida:pull"]}
        # The password goes to the token server alone.
        assert [request.authorization == BASIC for request in server.requests] == [False, True, False]


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_for_pulling_is_followed_by_one_for_both(
    sign_in: Callable[..., None], tmp_path: Path, status: int
) -> None:
    registry = TokenRegistry(status=status)
    with scripted.serve(registry) as server, repository(server) as client:
        sign_in(server.host)
        assert client.digest("1")
        upload(client, tmp_path)
        assert client.digest("1")
        assert registry.grants == 2
        scopes = [request.query["scope"] for request in server.requests if request.path == "/token"]
        assert scopes == [["repository:ida:pull"], ["repository:ida:pull,push"]]


def test_a_challenge_to_the_upload_itself_sends_the_blob_again_from_its_beginning(
    sign_in: Callable[..., None], tmp_path: Path
) -> None:
    registry = TokenRegistry()

    def script(request: Request) -> Reply:
        if request.method == "PUT" and not registry.revoked:
            registry.revoked.add(request.authorization.removeprefix("Bearer "))
        return registry(request)

    with scripted.serve(script) as server, repository(server) as client:
        sign_in(server.host)
        upload(client, tmp_path)
        bodies = [len(request.body) for request in server.requests if request.method == "PUT"]
        assert bodies == [300_000, 300_000]
        assert len(registry.stored) == 1


def test_an_identity_token_is_exchanged_by_post(sign_in: Callable[..., None]) -> None:
    with scripted.serve(TokenRegistry()) as server, repository(server) as client:
        sign_in(server.host, auth=base64.b64encode(b"0000:").decode(), identitytoken=IDENTITY)
        assert client.digest("1")
        token = next(request for request in server.requests if request.path == "/token")
        assert token.method == "POST" and not token.authorization
        assert parse_qs(token.body.decode()) == {
            "grant_type": ["refresh_token"],
            "service": ["s"],
            "client_id": ["selfalign"],
            "scope": ["repository:ida:pull"],
            "refresh_token": [IDENTITY],
        }


def test_a_token_server_without_post_is_asked_by_get(sign_in: Callable[..., None]) -> None:
    registry = TokenRegistry()

    def script(request: Request) -> Reply:
        return Reply(405) if request.method == "POST" else registry(request)

    with scripted.serve(script) as server, repository(server) as client:
        sign_in(server.host, username="u", password=PASSWORD, identitytoken=IDENTITY)
        assert client.digest("1")
        assert server.requests[-2].authorization == BASIC


def test_a_registry_token_is_sent_as_it_is(sign_in: Callable[..., None]) -> None:
    with scripted.serve(TokenRegistry()) as server, repository(server) as client:
        sign_in(server.host, registrytoken="pull")
        assert client.digest("1")
        assert "GET /token" not in server.requested


@pytest.mark.parametrize(
    "challenges",
    [
        ('Basic realm="r"',),
        ("Negotiate", 'Basic realm="r"'),
        ('Negotiate, NTLM, basic realm="r", charset="UTF-8"',),
        ('Bearer realm="https://169.254.169.254/token", Basic realm="r"',),
        ('Bearer realm="ftp://x"', 'Basic realm="r"'),
    ],
)
def test_basic_authentication_is_found_among_others(sign_in: Callable[..., None], challenges: tuple[str, ...]) -> None:
    def script(request: Request) -> Reply:
        return IMAGE.answer(request) if request.authorization == BASIC else Reply(401, challenges=challenges)

    with scripted.serve(script) as server, repository(server) as client:
        sign_in(server.host)
        assert client.digest("1")
        assert client.digest("1")
        assert len(server.requests) == 3  # one challenge


def test_bearer_is_preferred_to_basic(sign_in: Callable[..., None]) -> None:
    registry = TokenRegistry()

    def script(request: Request) -> Reply:
        reply = registry(request)
        return Reply(401, challenges=('Basic realm="r"', *reply.challenges)) if reply.status == 401 else reply

    with scripted.serve(script) as server, repository(server) as client:
        sign_in(server.host)
        assert client.digest("1")
        assert "GET /token" in server.requested


@pytest.mark.parametrize(
    "challenges", [(), ("Negotiate",), ("Bearer",), ('Bearer realm=""',), ("nonsense ===",), ('Basic realm="r"',)]
)
def test_a_challenge_without_an_answer_denies_access_and_says_what_helps(
    sign_in: Callable[..., None], challenges: tuple[str, ...]
) -> None:
    with scripted.serve(lambda request: Reply(401, challenges=challenges)) as server, repository(server) as client:
        sign_in("another.test")
        with pytest.raises(AccessDenied):
            client.digest("1")
        assert len(server.requests) == 1


def test_a_wrong_password_is_final_and_asked_for_once(sign_in: Callable[..., None]) -> None:
    def script(request: Request) -> Reply:
        if request.path == "/token":
            return Reply(401)
        return Reply(401, challenges=(f'Bearer realm="http://{request.headers["host"]}/token"',))

    with scripted.serve(script) as server, repository(server) as client:
        sign_in(server.host)
        with pytest.raises(
            AccessDenied, match=r"token server http://127.0.0.1:\d+ refuses .* spec\.image\.pushSecretRef"
        ):
            client.digest("1")
        assert server.requested == ["HEAD /v2/ida/manifests/1", "GET /token"]


def test_the_words_fit_the_field(sign_in: Callable[..., None]) -> None:
    with scripted.serve(lambda request: Reply(403)) as server:
        sign_in(server.host)
        with (
            repository(server, use=uses.BASE) as client,
            pytest.raises(AccessDenied, match="spec.image.base is misspelt"),
        ):
            client.image("1")
        with repository(server) as client, pytest.raises(AccessDenied, match="that may push there") as raised:
            client.probe()
        assert f"docker login {server.host}" in str(raised.value)


def test_a_broken_config_is_named_when_access_is_denied(tmp_path: Path, sign_in: Callable[..., None]) -> None:
    sign_in("any.test")
    (tmp_path / "config.json").write_text("{")
    with (
        scripted.serve(lambda request: Reply(401, challenges=("Basic",))) as server,
        repository(server) as client,
        pytest.raises(AccessDenied, match=r"config\.json is of no use"),
    ):
        client.digest("1")


def test_a_secret_that_changes_while_the_program_runs_is_read_anew(sign_in: Callable[..., None]) -> None:
    accepted = "old"

    def script(request: Request) -> Reply:
        expected = "Basic " + base64.b64encode(f"u:{accepted}".encode()).decode()
        return IMAGE.answer(request) if request.authorization == expected else Reply(401, challenges=("Basic",))

    with scripted.serve(script) as server, repository(server) as client:
        sign_in(server.host, username="u", password="old")
        assert client.digest("1")
        accepted = "new"
        with pytest.raises(AccessDenied):
            client.digest("1")
        sign_in(server.host, username="u", password="new")
        assert client.digest("1")


EXPIRED = b'{"errors": [{"code": "DENIED", "message": "Your authorization token has expired."}]}'


@pytest.mark.parametrize("status", [401, 403])
def test_expired_credentials_are_retried_and_a_renewed_secret_is_used(
    sign_in: Callable[..., None], status: int
) -> None:
    def answer(request: Request) -> Reply:
        if request.authorization == BASIC:
            return IMAGE.answer(request)
        return Reply(status if request.authorization else 401, EXPIRED, challenges=('Basic realm="r"',))

    with scripted.serve(answer) as server:
        sign_in(server.host, username="u", password="of yesterday")
        with repository(server) as client, pytest.raises(Unavailable, match="renew the Secret") as raised:
            client.image("1")
        assert raised.value.reason == "CredentialsExpired"
        sign_in(server.host)
        with repository(server) as client:
            assert client.digest("1") == scripted.digest(IMAGE.manifest)


def test_a_token_server_that_refuses_an_expired_identity_token_is_retried(sign_in: Callable[..., None]) -> None:
    claims = base64.urlsafe_b64encode(b'{"exp": 1000000000}').decode().rstrip("=")

    def answer(request: Request) -> Reply:
        if request.path == "/token":
            return Reply(401)
        return Reply(401, challenges=(f'Bearer realm="http://{request.headers["host"]}/token",service="s"',))

    with scripted.serve(answer) as server:
        sign_in(server.host, identitytoken=f"eyJ.{claims}.sig")
        with repository(server) as client, pytest.raises(Unavailable, match="renew the Secret") as raised:
            client.digest("1")
        assert raised.value.reason == "CredentialsExpired"
        sign_in(server.host, identitytoken="opaque")
        with repository(server) as client, pytest.raises(AccessDenied):
            client.digest("1")

"""Passwords and tokens reach the registry that they are for, and nobody else, whatever it answers."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.stages.registry import scripted
from tests.stages.registry.scripted import Reply, Request
from tests.stages.registry.signing_in import BASIC, IDENTITY, IMAGE, PASSWORD, repository, sign_in, upload

from selfalign_stages.contract.exits import BadInput, StageError

__all__ = ["sign_in"]


ELSEWHERE: dict[str, Callable[[str], Callable[[Request], Reply]]] = {
    "realm": lambda other: lambda request: Reply(401, challenges=(f'Bearer realm="http://{other}/token",service="s"',)),
    "upload": lambda other: (
        lambda request: (
            Reply(202, headers={"Location": f"http://{other}/upload"})
            if request.method == "POST"
            else IMAGE.answer(request)
        )
    ),
    "redirect of a download": lambda other: (
        lambda request: (
            Reply(307, headers={"Location": f"http://{other}{request.path}"})
            if "blobs" in request.path
            else IMAGE.answer(request)
        )
    ),
    "redirect of a manifest": lambda other: lambda request: Reply(302, headers={"Location": f"http://{other}/x"}),
    "redirect of a POST": lambda other: lambda request: Reply(308, headers={"Location": f"http://{other}/x"}),
    "redirect with a user name": lambda other: (
        lambda request: Reply(302, headers={"Location": f"http://u:p@{other}/x"})
    ),
    "redirect of the token server": lambda other: (
        lambda request: (
            Reply(307, headers={"Location": f"http://{other}/token"})
            if request.path == "/token"
            else Reply(401, challenges=(f'Bearer realm="http://{request.headers["host"]}/token"',))
        )
    ),
}


@pytest.mark.parametrize("credentials", ["password", "identity token", "registry token"])
@pytest.mark.parametrize("way", ELSEWHERE)
def test_no_other_host_receives_credentials(
    sign_in: Callable[..., None],
    tmp_path: Path,
    way: str,
    credentials: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    def other_script(request: Request) -> Reply:
        # Tries to get them: asks for them, and stores whatever is sent.
        if request.path == "/token":
            return Reply(200, b'{"token": "from-elsewhere"}')
        return Reply(401, challenges=('Basic realm="r"', f'Bearer realm="http://{request.headers["host"]}/token"'))

    entry = {
        "password": {"username": "u", "password": PASSWORD},
        "identity token": {"identitytoken": IDENTITY},
        "registry token": {"registrytoken": "hush-token"},
    }[credentials]
    with scripted.serve(other_script) as other:
        inner = ELSEWHERE[way](other.host)

        def script(request: Request) -> Reply:
            # Signed in first, so that there is an Authorization header to lose.
            if request.path == "/token" and "token server" not in way:
                return Reply(200, b'{"token": "hush-granted"}')
            if not request.authorization and "realm" not in way:
                return Reply(401, challenges=(f'Bearer realm="http://{request.headers["host"]}/token"',))
            return inner(request)

        with scripted.serve(script) as server, repository(server) as client:
            sign_in(server.host, **entry)
            messages = []
            for action in (
                lambda: client.image("1"),
                lambda: client.read_blob(client.image("1").config),
                lambda: upload(client, tmp_path),
                lambda: client.probe(),
            ):
                try:
                    action()
                except StageError as error:
                    messages.append(str(error))
            assert messages
        assert not any(request.authorization for request in other.requests)
        assert "hush" not in other.text
        assert "hush" not in caplog.text + "".join(messages)
        assert BASIC.removeprefix("Basic ") not in other.text + caplog.text + "".join(messages)


def test_a_registry_that_repeats_what_it_received_does_not_get_it_into_messages(sign_in: Callable[..., None]) -> None:
    def script(request: Request) -> Reply:
        if not request.authorization:
            return Reply(401, challenges=("Basic",))
        return Reply(400, f"{PASSWORD} {request.authorization} \x1b[31m \u202e".encode())

    with scripted.serve(script) as server, repository(server) as client:
        sign_in(server.host)
        with pytest.raises(BadInput) as raised:
            client.image("1")
        assert PASSWORD not in str(raised.value) and BASIC[6:] not in str(raised.value)
        assert "[redacted]" in str(raised.value) and str(raised.value).isprintable()


def test_downloads_from_an_object_store_work_without_credentials(sign_in: Callable[..., None]) -> None:
    with scripted.serve(IMAGE.answer) as store:

        def script(request: Request) -> Reply:
            if request.authorization != BASIC:
                return Reply(401, challenges=("Basic",))
            if "blobs" in request.path:
                return Reply(307, headers={"Location": f"http://{store.host}{request.path}?signature=x"})
            return IMAGE.answer(request)

        with scripted.serve(script) as server, repository(server) as client:
            sign_in(server.host)
            assert client.read_blob(client.image("1").config) == IMAGE.config
        assert [request.authorization for request in store.requests] == [""]

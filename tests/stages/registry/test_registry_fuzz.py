"""Whatever stands in config.json, in a header, a reference or a manifest: typed errors, and nothing else.

Inputs are good ones with random damage, because bytes at random rarely get past the first check.
"""

import base64
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.scale import scaled
from tests.stages.registry.scripted import Image

from selfalign_stages.contract.exits import StageError
from selfalign_stages.packaging import joining
from selfalign_stages.registry import challenges, credentials, documents, realms, references, refusals, retrying, tokens
from selfalign_stages.registry.documents import ImageManifest

INPUTS = scaled(300, 100_000)
IMAGE = Image()
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 5, 1e308, 10**40, [], {}, [[]], {"": {}}, [None], {"a": 5}),
    *("", "x", " ", "\0", "\x1b[31m", "\u202e", "ä", "a" * 5000, "../../x", "99999999999", "<token>"),
    *("sha256:" + "0" * 64, "https://reg.test/v1/"),
)
CONFIG = {
    "auths": {
        "reg.test": {"auth": base64.b64encode(b"u:p").decode(), "identitytoken": "t", "email": "e"},
        "https://index.docker.io/v1/": {"username": "u", "password": "p"},
        "reg.test/team": {"registrytoken": "r"},
    },
    "credHelpers": {"other.test": "absent"},
    "credsStore": "absent",
    "HttpHeaders": {"User-Agent": "x"},
}
HEADERS = (
    'Bearer realm="https://auth.test/token",service="reg.test",scope="repository:a:pull,push"',
    'Negotiate YIIabc==, Basic realm="r", charset="UTF-8"',
    'Digest qop="auth, auth-int", nonce="a\\"b", Bearer error="insufficient_scope"',
)
REFERENCES = (
    "ubuntu",
    "vllm/vllm-openai:v1",
    "reg.test:5000/team/ida:1@sha256:" + "a" * 64,
    "[::1]:5000/a@sha512:" + "b" * 128,
    "localhost/a__b/c.d-e",
)
URLS = (
    "https://auth.test/token?a=b",
    "http://u:p@127.0.0.1:5000/x",
    "//[::1]:80/y",
    "/v2/a/blobs/uploads/1?_state=x%3D",
)


def generator(target: str) -> random.Random:
    return random.Random(f"registry fuzz {target}")


def damaged(chance: random.Random, text: str) -> str:
    """Some characters removed, repeated, exchanged or replaced."""
    characters = list(text)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(characters) + 1)
        match chance.randrange(4):
            case 0:
                del characters[place : place + chance.randint(1, 9)]
            case 1:
                characters[place:place] = characters[max(0, place - 12) : place] * chance.randint(1, 3)
            case 2:
                characters.insert(place, chance.choice(',;:=" \t\n\\/@.[]{}()%+-_#?\0\x1b\u202e\ud800äé0Z'))
            case 3:
                characters[place : place + 1] = chr(chance.randrange(1, 0x2FF))
    return "".join(characters)


def bent(chance: random.Random, value: Any) -> Any:
    """A JSON value with parts of it removed, or replaced by others or by something odd."""
    if chance.random() < 0.08:
        return chance.choice(ODD)
    if isinstance(value, dict):
        kept = {name: bent(chance, part) for name, part in value.items() if chance.random() > 0.05}
        if kept and chance.random() < 0.1:
            kept[damaged(chance, chance.choice(list(kept)))] = chance.choice([*kept.values(), *ODD])
        return kept
    if isinstance(value, list):
        return [bent(chance, part) for part in value if chance.random() > 0.1]
    return value


def documents_like(chance: random.Random, value: Any) -> bytes:
    """JSON with a wrong structure, and sometimes with damaged bytes."""
    text = json.dumps(bent(chance, value), ensure_ascii=chance.random() < 0.5)
    if chance.random() < 0.3:
        text = damaged(chance, text)
    if chance.random() < 0.01:
        text = chance.choice(("[", '{"a":')) * chance.choice((150, 5000)) + text
    return text.encode(errors="surrogatepass")


def inputs(target: str, make: Callable[[random.Random], Any]) -> Iterator[Any]:
    chance = generator(target)
    return (make(chance) for _ in range(INPUTS))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "config.json"


def test_config_json_never_raises_and_gives_headers_that_can_be_sent(config: Path) -> None:
    names = [references.parse_repository(name) for name in ("reg.test/team/ida", "ubuntu", "other.test/a")]
    for number, content in enumerate(inputs("config", lambda chance: documents_like(chance, CONFIG))):
        config.write_bytes(content)
        found = credentials.for_repository(names[number % len(names)])
        assert httpx.Headers({"Authorization": found.basic(), "X-Token": found.registry_token}).raw
        assert found.problem.isprintable()


def test_challenges_never_raise() -> None:
    for header in inputs("challenges", lambda chance: damaged(chance, chance.choice(HEADERS))):
        scopes: tuple[str, ...] = ()
        # As bytes, in two headers: that is how a response has them.
        raw = [(b"WWW-Authenticate", part.encode(errors="surrogatepass")) for part in (header, HEADERS[0])]
        for challenge in challenges.parse(httpx.Headers(raw).get_list("WWW-Authenticate")):
            assert challenge.scheme == challenge.scheme.lower()
            scopes = challenges.merge_scopes(scopes, challenge.parameters.get("scope", ""))
            try:
                realm = realms.check_realm(challenge.parameters.get("realm", ""), ("https", "reg.test", 443))
            except StageError as error:
                assert str(error).isprintable()
                continue
            grant = tokens.Grant(realm, challenge.parameters.get("service", ""), scopes)
            for request in (
                tokens.with_password(grant, credentials.Credentials("u", "p")),
                tokens.with_identity(grant, credentials.Credentials(identity_token="t")),
            ):
                httpx.Request(request.method, request.url, headers=dict(request.headers), content=request.body)
                assert request.url.scheme == "https"


def test_references_are_valid_or_refused() -> None:
    for reference in inputs("references", lambda chance: damaged(chance, chance.choice(REFERENCES))):
        try:
            name, version = references.parse_reference(reference)
        except StageError as error:
            assert error.reason == "InvalidReference" and str(error).isprintable()
            continue
        # What is accepted means the same when it is read again, and is a plain path of a URL.
        assert references.parse_repository(name).path == references.parse_reference(name)[0].partition("/")[2]
        repository = references.parse_repository(name)
        url = httpx.URL(f"https://{repository.api_host}/v2/{repository.path}/").join(f"manifests/{version}")
        assert url.path == f"/v2/{repository.path}/manifests/{version}" and not url.query and not url.userinfo


def test_manifests_are_valid_or_refused() -> None:
    manifest = json.loads(IMAGE.manifest)
    index = {"schemaVersion": 2, "manifests": [manifest["config"] | {"platform": {"os": "linux"}}] * 2}
    for data in inputs("manifests", lambda chance: documents_like(chance, chance.choice((manifest, index)))):
        try:
            parsed = documents.parse(data, "application/json")
        except ValueError as error:
            assert str(error).isprintable(), data
            continue
        blobs = parsed.blobs if isinstance(parsed, ImageManifest) else parsed.manifests
        assert all(references.is_digest(blob.digest) and blob.size >= 0 for blob in blobs)


def test_configurations_are_joined_or_refused() -> None:
    content = json.loads(IMAGE.config)
    content |= {"config": {"Labels": {"a": "b"}, "Env": ["A=b"], "Cmd": None}, "history": [{"created_by": "x"}]}
    server, model = (
        json.loads(IMAGE.manifest),
        joining.ImageContent(json.loads(IMAGE.manifest), content | {"config": {"Labels": {}}, "history": []}),
    )
    for data in inputs("configurations", lambda chance: documents_like(chance, content)):
        try:
            config = documents.parse_config(data, len(IMAGE.layers))
        except ValueError as error:
            assert str(error).isprintable()
            continue
        joined = joining.join(joining.ImageContent(server, config), model, command=["x"])
        assert isinstance(documents.parse(joined.manifest), ImageManifest)
        documents.parse_config(joined.config, 2 * len(IMAGE.layers))


def test_answers_of_token_servers_are_tokens_or_refused() -> None:
    answer = {"token": "abc", "access_token": "def", "expires_in": 300, "issued_at": "2026-11-25T00:00:00Z"}
    for data in inputs("tokens", lambda chance: documents_like(chance, answer)):
        try:
            token = tokens.parse(data)
        except ValueError as error:
            assert str(error).isprintable()
            continue
        assert credentials.HEADER_TEXT.fullmatch(token.value) and 0 < token.seconds < float("inf")


def test_locations_are_urls_that_can_be_sent_to_or_refused() -> None:
    base = httpx.URL("https://reg.test/v2/a/")
    for location in inputs("locations", lambda chance: damaged(chance, chance.choice(URLS))):
        try:
            url = refusals.resolve(base, location)
        except ValueError as error:
            assert str(error).isprintable()
            continue
        assert url.scheme == "https" and (url.port or 0) <= 65535 and not url.userinfo
        httpx.Request("PUT", url.copy_merge_params({"digest": "sha256:0"}))


def test_retry_after_is_seconds_or_nothing() -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    originals = ("120", "Wed, 25 Nov 2026 12:00:30 GMT", "Wed, 25 Nov 2026 12:00:30 +0100")
    for value in inputs("retry-after", lambda chance: damaged(chance, chance.choice(originals))):
        seconds = retrying.retry_after({"Retry-After": value}, now=now)
        assert seconds is None or 0 <= seconds < float("inf")

"""config.json as docker, podman, cloud tools and Kubernetes write it, and as people break it."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from selfalign_stages.registry import credential_helpers, credentials
from selfalign_stages.registry.credentials import Credentials
from selfalign_stages.registry.references import parse_repository


def encoded(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Path of an empty config.json that is in use, with helpers in the same folder."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "config.json"


def helper(config: Path, name: str, script: str) -> None:
    path = config.parent / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def found(config: Path, content: object, repository: str = "reg.test/team/ida") -> Credentials:
    config.write_text(json.dumps(content))
    return credentials.for_repository(parse_repository(repository))


@pytest.mark.parametrize(
    "key",
    [
        "reg.test",
        "REG.test",
        "https://reg.test",
        "http://reg.test/",
        "https://reg.test/v1/",
        "https://reg.test/v2/",
        "reg.test/team",
        "reg.test/team/ida",
        "https://reg.test/team/ida/",
    ],
)
def test_keys_that_cover_a_repository(config: Path, key: str) -> None:
    assert found(config, {"auths": {key: {"auth": encoded("u", "p")}}}) == Credentials("u", "p")


@pytest.mark.parametrize(
    "key", ["other.test", "reg.test:5000", "reg.test/tea", "reg.test/team/ida/x", "reg.test.evil.test", "test", ""]
)
def test_keys_that_do_not(config: Path, key: str) -> None:
    assert found(config, {"auths": {key: {"auth": encoded("u", "p")}}}).anonymous


def test_the_longest_path_wins(config: Path) -> None:
    auths = {
        name: {"auth": encoded(name, "p")}
        for name in ("reg.test", "reg.test/team/ida", "reg.test/team", "reg.test/team/x")
    }
    assert found(config, {"auths": auths}).user == "reg.test/team/ida"
    assert found(config, {"auths": auths}, "reg.test/team/y").user == "reg.test/team"
    assert found(config, {"auths": auths}, "reg.test/y").user == "reg.test"


@pytest.mark.parametrize(
    "key",
    [
        "https://index.docker.io/v1/",
        "index.docker.io",
        "docker.io",
        "registry-1.docker.io",
        "https://docker.io/library",
    ],
)
@pytest.mark.parametrize("repository", ["ubuntu", "docker.io/library/ubuntu", "index.docker.io/ubuntu"])
def test_docker_hub_has_several_names(config: Path, key: str, repository: str) -> None:
    assert found(config, {"auths": {key: {"auth": encoded("u", "p")}}}, repository) == Credentials("u", "p")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"username": "u", "password": "p"}, Credentials("u", "p")),
        ({"auth": encoded("u", "p:q")}, Credentials("u", "p:q")),
        ({"auth": encoded("u", "p").rstrip("=") + "\n"}, Credentials("u", "p")),
        ({"auth": encoded("u", "p\0\0")}, Credentials("u", "p")),
        ({"auth": encoded("0000", ""), "identitytoken": "t"}, Credentials("0000", "", "t")),
        ({"identitytoken": "t"}, Credentials(identity_token="t")),
        ({"registrytoken": "t"}, Credentials(registry_token="t")),
        ({"auth": None, "username": "u", "password": "p", "email": 7}, Credentials("u", "p")),
    ],
)
def test_entries(config: Path, entry: dict[str, Any], expected: Credentials) -> None:
    assert found(config, {"auths": {"reg.test": entry}}) == expected


def test_a_password_may_contain_any_bytes(config: Path) -> None:
    auth = base64.b64encode(b"u:\xff\xfe").decode()
    assert found(config, {"auths": {"reg.test": {"auth": auth}}}).basic() == f"Basic {auth}"


def test_secrets_are_in_no_representation(config: Path) -> None:
    entry = {"auth": encoded("u", "hush-1"), "identitytoken": "hush-2", "registrytoken": "hush-3"}
    assert "hush" not in repr(found(config, {"auths": {"reg.test": entry}}))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "not JSON"),
        ("[]", "no JSON object"),
        ("{", "not JSON"),
        ("[" * 100_000, "nested"),
        ('{"auths": []}', "auths is no JSON object"),
        ('{"auths": {"reg.test": 5}}', "'reg.test'] is no JSON object"),
        ('{"auths": {"reg.test": {"auth": 5}}}', "auth that is no text"),
        ('{"auths": {"reg.test": {"auth": "a?"}}}', "not base64"),
        ('{"auths": {"reg.test": {"auth": "ä"}}}', "not base64"),
        ('{"auths": {"reg.test": {"auth": "dXNlcg=="}}}', "not USER:PASSWORD"),
        ('{"auths": {"reg.test": {"registrytoken": "a b"}}}', "no HTTP header"),
    ],
)
def test_an_unusable_config_is_anonymous_and_says_why(config: Path, content: str, problem: str) -> None:
    config.write_text(content)
    result = credentials.for_repository(parse_repository("reg.test/ida"))
    assert result.anonymous
    assert problem in result.problem and str(config) in result.problem


def test_no_config_is_no_problem(config: Path) -> None:
    assert credentials.for_repository(parse_repository("reg.test/ida")) == Credentials()


def test_a_folder_in_place_of_the_file_is_a_problem_with_a_name(config: Path) -> None:
    config.mkdir()
    assert "cannot be read" in credentials.for_repository(parse_repository("reg.test/ida")).problem


def test_the_helper_of_the_registry_comes_first_then_the_store_then_the_file(config: Path) -> None:
    for name in ("one", "two"):
        helper(config, name, f'read server; echo "{{\\"Username\\": \\"{name} $server\\", \\"Secret\\": \\"s\\"}}"')
    content = {
        "credHelpers": {"reg.test": "one", "off.test": ""},
        "credsStore": "two",
        "auths": {host: {"auth": encoded("file", "p")} for host in ("reg.test", "other.test")},
    }
    assert found(config, content).user == "one reg.test"
    assert found(config, content, "other.test/ida").user == "two other.test"
    assert found(config, content, "ubuntu").user == "two https://index.docker.io/v1/"
    assert found(config, content | {"credsStore": ""}, "other.test/ida").user == "file"


def test_a_helper_without_credentials_leaves_the_word_to_the_file(config: Path) -> None:
    helper(config, "none", 'echo "credentials not found in native keychain"; exit 1')
    content = {"credsStore": "none", "auths": {"reg.test": {"auth": encoded("file", "p")}}}
    assert found(config, content) == Credentials("file", "p")
    assert found(config, {"credsStore": "none"}) == Credentials()


def test_a_helpers_token_user_marks_an_identity_token(config: Path) -> None:
    helper(config, "acr", """echo '{"Username": "<token>", "Secret": "refresh"}'""")
    assert found(config, {"credHelpers": {"reg.test": "acr"}}) == Credentials(identity_token="refresh")


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo hush; exit 3", "ended with exit code 3"),
        ("echo hush", "something else than JSON"),
        ("printf '\\377\\376'", "something else than JSON"),
        ("""echo '[]'""", "without a Username and a Secret"),
        ("""echo '{"Username": 5, "Secret": "hush"}'""", "without a Username and a Secret"),
        ("kill -9 $$", "exit code -9"),
        ("exec sleep 60", "did not answer within"),
    ],
)
def test_a_broken_helper_is_named_and_the_file_still_counts(
    config: Path, script: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credential_helpers, "HELPER_SECONDS", 0.3 if "sleep" in script else 30.0)
    helper(config, "broken", script)
    result = found(config, {"credsStore": "broken", "auths": {"reg.test": {"auth": encoded("file", "p")}}})
    assert result.user == "file"
    assert "docker-credential-broken" in result.problem and problem in result.problem
    assert "hush" not in result.problem


@pytest.mark.parametrize("name", ["absent", "../../bin/true", "a b", "-x", "é"])
def test_a_missing_helper_is_named(config: Path, name: str) -> None:
    assert f"docker-credential-{name}" in found(config, {"credsStore": name}).problem


def test_a_helper_that_is_no_program_is_named(config: Path) -> None:
    (config.parent / "docker-credential-text").write_text("no program\n")
    (config.parent / "docker-credential-text").chmod(0o755)
    assert "docker-credential-text cannot be run" in found(config, {"credsStore": "text"}).problem


def test_a_changed_secret_is_read_at_once(config: Path) -> None:
    assert found(config, {"auths": {"reg.test": {"auth": encoded("u", "old")}}}).password == "old"
    assert found(config, {"auths": {"reg.test": {"auth": encoded("u", "new")}}}).password == "new"

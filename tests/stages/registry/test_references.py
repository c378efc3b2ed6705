"""Image references are read as by docker, and whatever is none is refused by name."""

import pytest

from selfalign_stages.contract.exits import BadInput
from selfalign_stages.registry.references import parse_reference, parse_repository

SHA256, SHA512 = "sha256:" + "a" * 64, "sha512:" + "b" * 128


@pytest.mark.parametrize(
    ("reference", "repository", "version"),
    [
        ("ubuntu", "docker.io/library/ubuntu", "latest"),
        ("vllm/vllm-openai", "docker.io/vllm/vllm-openai", "latest"),
        ("vllm/vllm-openai:v0.32.0", "docker.io/vllm/vllm-openai", "v0.32.0"),
        ("docker.io/ubuntu:24.04", "docker.io/library/ubuntu", "24.04"),
        ("index.docker.io/vllm/vllm-openai", "docker.io/vllm/vllm-openai", "latest"),
        ("registry.example:5000/team/server:1", "registry.example:5000/team/server", "1"),
        ("registry.example:5000/team/server", "registry.example:5000/team/server", "latest"),
        ("localhost/ida", "localhost/ida", "latest"),
        ("localhost:5000/ida:x", "localhost:5000/ida", "x"),
        ("[::1]:5000/a/b:t", "[::1]:5000/a/b", "t"),
        (f"a/b:t@{SHA256}", "docker.io/a/b", SHA256),
        (f"reg.test:5000/a/b:t@{SHA512}", "reg.test:5000/a/b", SHA512),
        (f"reg.test/a@{SHA256}", "reg.test/a", SHA256),
        ("reg.test/a__b/c-d--e.f:" + "t" * 128, "reg.test/a__b/c-d--e.f", "t" * 128),
    ],
)
def test_a_reference_has_a_repository_and_a_version(reference: str, repository: str, version: str) -> None:
    assert parse_reference(reference) == (repository, version)


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "/",
        ":",
        "@",
        "a:",
        "a@",
        "a/",
        "/a",
        "a//b",
        "Team/ida",
        "reg.test/Team/ida",
        "reg.test/a:-t",
        "reg.test/a:t:u",
        "reg.test/a:" + "t" * 129,
        "reg.test/../a",
        "reg.test/a/./b",
        "reg.test/a?b=c",
        "reg.test/a#b",
        "reg.test/a b",
        "reg.test/a\n",
        "user:pw@reg.test/a",
        "reg.test:99999/a",
        "reg.test:x/a",
        "[:]/a",
        "[::1/a",
        "[1.2.3.4]/a",
        "999.1.1.1/a",
        "1.2.3/a",
        "r" * 64 + ".test/a",
        "https://reg.test/a",
        "-reg.test/a",
        "reg..test/a",
        "reg.test/" + "a" * 300,
        "reg.test/a@sha256:abc",
        "reg.test/a@sha256:" + "A" * 64,
        "reg.test/a@md5:" + "a" * 32,
        f"reg.test/a@{SHA256}@{SHA256}",
        f"reg.test/a:@{SHA256}",
        "reg.test/ä",
        "reg.test/a\u202e",
        "reg.test/" + "\x1b[31ma",
    ],
)
def test_a_malformed_reference_is_an_error_that_shows_it(reference: str) -> None:
    with pytest.raises(BadInput, match="is no image reference") as raised:
        parse_reference(reference)
    assert str(raised.value).isprintable()
    assert raised.value.reason == "InvalidReference"


def test_another_digest_algorithm_is_named_as_such() -> None:
    with pytest.raises(BadInput, match="others are not verified"):
        parse_reference("reg.test/a@blake3:" + "a" * 64)


def test_docker_hub_is_reached_at_the_host_that_speaks_the_protocol() -> None:
    for name in ("ubuntu", "docker.io/library/ubuntu", "registry-1.docker.io/ubuntu"):
        assert parse_repository(name).api_host == "registry-1.docker.io"
        assert parse_repository(name).path == "library/ubuntu"
    assert parse_repository("reg.test:5000/a").api_host == "reg.test:5000"


def test_a_repository_has_no_tag() -> None:
    with pytest.raises(BadInput, match="is no image reference"):
        parse_repository("reg.test/a:1")

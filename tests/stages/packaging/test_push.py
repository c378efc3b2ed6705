"""Pushes to a real registry: complete images, no blob twice, and errors that name field and remedy."""

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import registry_server
from tests.stages.packaging.test_packaging import packed
from tests.steps_support import context
from tests.tools import go_tool

from selfalign_stages import steps
from selfalign_stages.contract.exits import AccessDenied, BadInput, Unavailable
from selfalign_stages.contract.manifest import ArtifactRef, Manifest
from selfalign_stages.contract.parameters import PushParameters
from selfalign_stages.packaging import push
from selfalign_stages.packaging.registry import Repository

CRANE = ("github.com/google/go-containerregistry/cmd/crane", "v0.20.6")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[registry_server.Server]:
    with registry_server.serve(tmp_path / "registry" / "data") as server:
        yield server


def pushed(folder: Path, repository: str, *, key: str = "p", **settings: object) -> Manifest:
    """Packs a made-up model and pushes it.

    Args:
        folder: contains the store.
        repository: REGISTRY/PATH.
        key: a digit of the push's key; another one makes it another push of the same image.
        **settings: fields of PushParameters that replace the defaults.
    """
    image = packed(folder)
    values = {"tag": "candidate", "formats": ("modelcar",), "served_name": "ida", "plain_http": True} | settings
    parameters = PushParameters.model_validate({"repository": repository} | values)
    ref = ArtifactRef(kind="image", key=image.key)
    return push.run(context(folder, "push", parameters=parameters, inputs={"image": ref}, key=key * 64))


def crane(*arguments: str) -> str:
    command = [str(go_tool(*CRANE)), *arguments, "--insecure"]
    completed = subprocess.run(command, check=True, capture_output=True, text=True)
    return completed.stdout.strip()


def test_the_registry_has_the_image_under_its_digest_and_its_tags(
    tmp_path: Path, registry: registry_server.Server
) -> None:
    manifest = pushed(tmp_path, f"{registry.host}/team/ida", promote_to="stable")
    digest = manifest.metrics["digest"]
    assert manifest.metrics["image"] == f"{registry.host}/team/ida@{digest}"
    assert crane("digest", f"{registry.host}/team/ida:candidate") == digest
    assert crane("digest", f"{registry.host}/team/ida:stable") == digest
    assert "PASS" in crane("validate", "--fast", "--remote", f"{registry.host}/team/ida@{digest}")


def test_a_second_push_sends_no_blob_twice(tmp_path: Path, registry: registry_server.Server) -> None:
    first = pushed(tmp_path, f"{registry.host}/ida")
    uploads = (registry.root.parent / "registry.log").read_text().count("PUT /v2/ida/blobs")
    assert uploads > 0
    second = pushed(tmp_path, f"{registry.host}/ida", key="q")
    assert (registry.root.parent / "registry.log").read_text().count("PUT /v2/ida/blobs") == uploads
    assert second.metrics == first.metrics


def test_a_published_push_is_valid_only_while_the_registry_has_the_image(
    tmp_path: Path, registry: registry_server.Server
) -> None:
    manifest = pushed(tmp_path, f"{registry.host}/ida")
    store = context(tmp_path, "push").store
    assert steps.still_valid(store, manifest)
    shutil.rmtree(registry.root / "docker" / "registry" / "v2" / "repositories" / "ida" / "_manifests")
    assert not steps.still_valid(store, manifest)


def test_a_server_image_is_the_base_with_the_model_on_top(tmp_path: Path, registry: registry_server.Server) -> None:
    layer = tmp_path / "server.tar"
    layer.write_bytes(b"\0" * 10_240)
    base = f"{registry.host}/bases/server:1"
    crane("append", "--new_layer", str(layer), "--new_tag", base)
    crane("mutate", base, "--entrypoint", "vllm,serve", "--tag", base)
    manifest = pushed(tmp_path, f"{registry.host}/ida", formats=("server", "modelcar"), base=base)
    image = f"{registry.host}/ida:candidate"
    config = json.loads(crane("config", image))
    assert crane("digest", image) == manifest.metrics["digest"]
    assert config["config"]["Entrypoint"] == ["vllm", "serve"]
    assert config["config"]["Cmd"] == ["/models", "--served-model-name", "ida"]
    layers = json.loads(crane("manifest", image))["layers"]
    plain = json.loads(crane("manifest", f"{registry.host}/ida:candidate-modelcar"))["layers"]
    assert len(layers) == len(plain) + 1 and layers[1:] == plain
    assert len(config["rootfs"]["diff_ids"]) == len(layers)


def test_a_missing_base_image_is_reported_by_name(tmp_path: Path, registry: registry_server.Server) -> None:
    with pytest.raises(BadInput, match=r"bases/none:1: the registry has no such image"):
        pushed(tmp_path, f"{registry.host}/ida", formats=("server",), base=f"{registry.host}/bases/none:1")


def test_the_password_comes_from_dockers_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with registry_server.serve(tmp_path / "registry" / "data", password=True) as server:
        docker_config(tmp_path, server, registry_server.PASSWORD, monkeypatch)
        manifest = pushed(tmp_path, f"{server.host}/ida")
        with Repository(f"{server.host}/ida", plain_http=True) as repository:
            repository.probe()
            assert repository.digest("candidate") == manifest.metrics["digest"]


@pytest.mark.parametrize("password", [None, "wrong"])
def test_denied_access_names_the_field_that_corrects_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str | None
) -> None:
    with registry_server.serve(tmp_path / "registry" / "data", password=True) as server:
        docker_config(tmp_path, server, password, monkeypatch)
        with (
            Repository(f"{server.host}/ida", plain_http=True) as repository,
            pytest.raises(AccessDenied, match=r"spec\.image\.pushSecretRef"),
        ):
            repository.probe()


def test_a_registry_that_is_down_is_unavailable() -> None:
    with (
        Repository("127.0.0.1:1/ida", plain_http=True) as repository,
        pytest.raises(Unavailable, match="cannot reach the registry"),
    ):
        repository.probe()


def docker_config(
    folder: Path, server: registry_server.Server, password: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes the config.json of `docker login`, without an entry if there is no password."""
    auth = base64.b64encode(f"{registry_server.USER}:{password}".encode()).decode()
    docker_folder = folder / "docker"
    docker_folder.mkdir()
    (docker_folder / "config.json").write_text(json.dumps({"auths": {server.host: {"auth": auth}} if password else {}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(docker_folder))

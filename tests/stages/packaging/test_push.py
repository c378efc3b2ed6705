"""Pushes to a real registry: complete images, no blob twice, and errors that name field and remedy."""

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import registry_server
from tests.stages.packaging.test_packaging import packed
from tests.stages.registry import scripted
from tests.steps_support import context
from tests.tools import go_tool

from selfalign_stages.contract.exits import AccessDenied, BadInput, InputLost, Unavailable
from selfalign_stages.contract.manifest import ArtifactRef, Manifest
from selfalign_stages.contract.parameters import PushParameters
from selfalign_stages.packaging import push
from selfalign_stages.registry import retrying
from selfalign_stages.registry.pushing import Repository

CRANE = ("github.com/google/go-containerregistry/cmd/crane", "v0.20.6")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[registry_server.Server]:
    with registry_server.serve(tmp_path / "registry" / "data") as server:
        yield server


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once."""
    monkeypatch.setattr(retrying, "BACKOFF_SECONDS", (0.0,) * retrying.ATTEMPTS)


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


def blob_file(registry: registry_server.Server, digest: str) -> Path:
    hexadecimal = digest.removeprefix("sha256:")
    return registry.root / "docker/registry/v2/blobs/sha256" / hexadecimal[:2] / hexadecimal / "data"


def test_a_finished_push_counts_only_while_the_registry_has_the_manifest(
    tmp_path: Path, registry: registry_server.Server
) -> None:
    manifest = pushed(tmp_path, f"{registry.host}/ida")
    store = context(tmp_path, "push").store
    assert push.still_valid(store, manifest)
    shutil.rmtree(registry.root / "docker" / "registry" / "v2" / "repositories" / "ida" / "_manifests")
    assert not push.still_valid(store, manifest)


def removed(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(("which", "change"), [("config", removed), ("first layer", cut), ("last layer", removed)])
def test_a_finished_push_counts_only_while_the_registry_has_every_blob_whole(
    tmp_path: Path, registry: registry_server.Server, which: str, change: Callable[[Path], None]
) -> None:
    manifest = pushed(tmp_path, f"{registry.host}/ida")
    image = json.loads(crane("manifest", f"{registry.host}/ida:candidate"))
    blob = {"config": image["config"], "first layer": image["layers"][0], "last layer": image["layers"][-1]}[which]
    change(blob_file(registry, blob["digest"]))
    assert not push.still_valid(context(tmp_path, "push").store, manifest)


def test_a_push_whose_registry_is_gone_does_not_count(tmp_path: Path) -> None:
    with registry_server.serve(tmp_path / "registry" / "data") as server:
        manifest = pushed(tmp_path, f"{server.host}/ida")
    assert not push.still_valid(context(tmp_path, "push").store, manifest)


def test_a_push_again_heals_what_the_registry_lost(tmp_path: Path, registry: registry_server.Server) -> None:
    manifest = pushed(tmp_path, f"{registry.host}/ida")
    layer = json.loads(crane("manifest", f"{registry.host}/ida:candidate"))["layers"][0]
    shutil.rmtree(blob_file(registry, layer["digest"]).parent)
    pushed(tmp_path, f"{registry.host}/ida", key="q")
    assert push.still_valid(context(tmp_path, "push").store, manifest)


def test_a_layer_that_the_registry_keeps_cut_is_told_with_what_helps(
    tmp_path: Path, registry: registry_server.Server
) -> None:
    pushed(tmp_path, f"{registry.host}/ida")
    layer = json.loads(crane("manifest", f"{registry.host}/ida:candidate"))["layers"][0]
    cut(blob_file(registry, layer["digest"]))
    with pytest.raises(BadInput, match="delete the blob at the registry"):
        pushed(tmp_path, f"{registry.host}/ida", key="q")
    shutil.rmtree(blob_file(registry, layer["digest"]).parent)
    pushed(tmp_path, f"{registry.host}/ida", key="r")
    assert "PASS" in crane("validate", "--fast", "--remote", f"{registry.host}/ida:candidate")


def test_a_layer_that_is_damaged_in_the_store_is_not_pushed(tmp_path: Path, registry: registry_server.Server) -> None:
    image = packed(tmp_path)
    layer = max(image.files, key=lambda entry: entry.size)
    path = tmp_path / "store" / image.ref.prefix / layer.name
    path.write_bytes(b"x" + path.read_bytes()[1:])
    parameters = PushParameters(
        repository=f"{registry.host}/ida", tag="t", formats=("modelcar",), served_name="ida", plain_http=True
    )
    with pytest.raises(InputLost) as raised:
        push.run(context(tmp_path, "push", parameters=parameters, inputs={"image": image.ref}, key="p" * 64))
    assert raised.value.key == image.key
    assert not blob_file(registry, f"sha256:{layer.sha256}").exists()


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


def test_a_base_by_tag_and_digest_is_the_one_of_the_digest(tmp_path: Path, registry: registry_server.Server) -> None:
    layer = tmp_path / "server.tar"
    layer.write_bytes(b"\0" * 10_240)
    base = f"{registry.host}/bases/server:1"
    crane("append", "--new_layer", str(layer), "--new_tag", base)
    pinned = f"{base}@{crane('digest', base)}"
    pushed(tmp_path, f"{registry.host}/ida", formats=("server",), base=pinned)
    assert "PASS" in crane("validate", "--fast", "--remote", f"{registry.host}/ida:candidate")


def test_a_damaged_layer_of_the_base_is_not_copied(tmp_path: Path, registry: registry_server.Server) -> None:
    layer = tmp_path / "server.tar"
    layer.write_bytes(b"\0" * 10_240)
    base = f"{registry.host}/bases/server:1"
    crane("append", "--new_layer", str(layer), "--new_tag", base)
    digest = json.loads(crane("manifest", base))["layers"][0]["digest"]
    path = blob_file(registry, digest)
    path.write_bytes(b"x" + path.read_bytes()[1:])
    with push.open_base_image(base_of(registry.host, base)) as image:
        with pytest.raises(BadInput, match=f"{digest}: the registry has other bytes"):
            image.repository.download_blob(image.manifest.layers[0], tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (b"{}", "rootfs is wrong"),
        (b"[]", "no JSON object"),
        (b"{", "not JSON"),
        (b'{"rootfs": {"type": "layers", "diff_ids": []}}', "for 0 layers and a manifest with 2"),
        (b'{"rootfs": {"diff_ids": ["a", "b"]}, "config": 5}', "config is wrong"),
        (b'{"rootfs": {"diff_ids": ["a", "b"]}, "config": {"Labels": {"a": 5}}}', "Labels.a is wrong"),
        (b'{"rootfs": {"diff_ids": ["a", "b"]}, "history": [5]}', "history.0 is wrong"),
    ],
)
def test_what_is_no_image_is_no_base(config: bytes, words: str) -> None:
    with scripted.serve(scripted.Image(config=config).answer) as server:
        parameters = base_of(server.host, f"{server.host}/charts/any:1")
        with pytest.raises(BadInput, match=words) as raised, push.open_base_image(parameters):
            pass
        assert f"spec.image.base: {server.host}/charts/any:1" in str(raised.value)


def test_a_base_of_another_registry_is_reached_over_tls(tmp_path: Path) -> None:
    with scripted.serve(scripted.Image().answer) as server:
        with (
            pytest.raises(Unavailable, match="spec.image.base"),
            push.open_base_image(base_of("127.0.0.1:1", f"{server.host}/any:1")),
        ):
            pass
        assert not server.requests


def base_of(host: str, base: str) -> PushParameters:
    """Parameters of a push to a registry, on top of an image."""
    return PushParameters(
        repository=f"{host}/ida", tag="t", formats=("server",), served_name="ida", plain_http=True, base=base
    )


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


def test_a_private_base_names_its_own_field_and_opens_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with registry_server.serve(tmp_path / "registry" / "data", password=True) as server:
        docker_config(tmp_path, server, registry_server.PASSWORD, monkeypatch)
        pushed(tmp_path, f"{server.host}/bases/server", tag="1")
        parameters = base_of(server.host, f"{server.host}/bases/server:1")
        (tmp_path / "docker" / "config.json").unlink()
        with pytest.raises(AccessDenied, match=r"spec\.image\.base .*pushSecretRef"), push.open_base_image(parameters):
            pass
        (tmp_path / "docker").rmdir()
        docker_config(tmp_path, server, registry_server.PASSWORD, monkeypatch)
        with push.open_base_image(parameters) as base:
            assert base.manifest.layers


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

"""`selfalign verify` finds every damaged or missing byte of an image, in a registry and in a folder."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import registry_server
from tests.stages.packaging.test_packaging import layout, manifest_of
from tests.stages.packaging.test_push import blob_file, crane, pushed
from tests.stages.registry import scripted
from tests.stages.registry.scripted import INDEX, MANIFEST, Image, Reply, Request

from selfalign_stages.contract.exits import BadInput, Unavailable
from selfalign_stages.registry import retrying
from selfalign_stages.verification.images import verify_image, verify_layout


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once."""
    monkeypatch.setattr(retrying, "BACKOFF_SECONDS", (0.0,) * retrying.ATTEMPTS)


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def removed(path: Path) -> None:
    path.unlink()


CHANGES = pytest.mark.parametrize("change", [flipped, cut, removed])


def test_each_damaged_blob_of_a_registry_is_one_line(tmp_path: Path) -> None:
    with registry_server.serve(tmp_path / "registry" / "data") as registry:
        pushed(tmp_path, f"{registry.host}/ida")
        reference = f"{registry.host}/ida:candidate"
        assert verify_image(reference, plain_http=True) == []
        image = json.loads(crane("manifest", reference))
        blobs = [image["config"], *image["layers"]]
        for number, (blob, change) in enumerate(zip(blobs, [removed, flipped, cut, flipped], strict=True), start=1):
            change(blob_file(registry, blob["digest"]))
            lines = verify_image(reference, plain_http=True)
            assert len(lines) == number
            assert any(blob["digest"] in line for line in lines)


@CHANGES
def test_a_damaged_manifest_of_a_registry_is_a_line(tmp_path: Path, change: Callable[[Path], None]) -> None:
    with registry_server.serve(tmp_path / "registry" / "data") as registry:
        digest = str(pushed(tmp_path, f"{registry.host}/ida").metrics["digest"])
        change(blob_file(registry, digest))
        if change is removed:
            with pytest.raises(BadInput, match=f"{digest}: the registry has no such image"):
                verify_image(f"{registry.host}/ida@{digest}", plain_http=True)
            return
        lines = verify_image(f"{registry.host}/ida@{digest}", plain_http=True)
        assert len(lines) == 1 and registry.host in lines[0]


def test_of_an_index_all_images_are_verified() -> None:
    images = [Image(), Image(layers=(b"of another platform",))]
    manifests = [scripted.descriptor(image.manifest, MANIFEST) for image in images]
    manifests.append(scripted.descriptor(b"gone", MANIFEST))
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).encode()
    lost = scripted.digest(b"of another platform")

    def script(request: Request) -> Reply:
        if request.path.endswith("/1"):
            return Reply(200, index)
        if request.path.endswith(lost):
            return Reply(404)
        replies = [image.answer(request) for image in images]
        return next((reply for reply in replies if reply.status == 200), replies[0])

    with scripted.serve(script) as server:
        lines = verify_image(f"{server.host}/ida:1", plain_http=True)
        assert len(lines) == 2
        assert sorted(lost in line for line in lines) == [False, True]


def test_a_reference_to_nothing_is_an_error_and_no_line() -> None:
    with scripted.serve(Image().answer) as server:
        with pytest.raises(BadInput, match="no such image"):
            verify_image(f"{server.host}/ida:absent", plain_http=True)
    with pytest.raises(Unavailable, match="--plain-http"):
        verify_image(f"{server.host}/ida:1", plain_http=True)
    with pytest.raises(BadInput, match="is no image reference"):
        verify_image("No/Reference")


def test_a_whole_layout_has_no_problems(tmp_path: Path) -> None:
    assert verify_layout(layout(tmp_path)[0]) == []


@CHANGES
@pytest.mark.parametrize("name", ["index.json", "oci-layout", "manifest", "config", "layer"])
def test_each_damaged_file_of_a_layout_is_a_line(tmp_path: Path, name: str, change: Callable[[Path], None]) -> None:
    folder, _ = layout(tmp_path)
    image = manifest_of(folder)
    digests = {
        "manifest": json.loads((folder / "index.json").read_text())["manifests"][0]["digest"],
        "config": image["config"]["digest"],  # type: ignore[call-overload]
        "layer": image["layers"][0]["digest"],
    }
    path = folder / "blobs" / digests[name].replace(":", "/") if name in digests else folder / name
    change(path)
    (line,) = verify_layout(folder)
    assert str(path) in line or "index.json" in name


def test_several_damaged_files_are_several_lines(tmp_path: Path) -> None:
    folder, _ = layout(tmp_path)
    for layer in manifest_of(folder)["layers"]:
        flipped(folder / "blobs" / layer["digest"].replace(":", "/"))
    assert len(verify_layout(folder)) == 3


@pytest.mark.parametrize("digest", ["sha256:../../../../etc/passwd", "../x", "sha256:" + "A" * 64, ""])
def test_an_index_cannot_lead_out_of_the_layout(tmp_path: Path, digest: str) -> None:
    folder, _ = layout(tmp_path)
    index = {"schemaVersion": 2, "manifests": [{"mediaType": MANIFEST, "digest": digest, "size": 1}]}
    (folder / "index.json").write_text(json.dumps(index))
    (line,) = verify_layout(folder)
    assert "no sha256 or sha512 digest" in line


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../outside"])
def test_a_link_cannot_lead_out_of_the_layout(tmp_path: Path, target: str) -> None:
    folder, _ = layout(tmp_path)
    path = folder / "blobs" / manifest_of(folder)["layers"][0]["digest"].replace(":", "/")
    shutil.copy(path, tmp_path / "outside")
    path.unlink()
    path.symlink_to(target)
    (line,) = verify_layout(folder)
    assert "link that leaves" in line


def test_a_pipe_or_folder_in_place_of_a_file_is_a_line(tmp_path: Path) -> None:
    folder, _ = layout(tmp_path)
    first, second, _ = (folder / "blobs" / layer["digest"].replace(":", "/") for layer in manifest_of(folder)["layers"])
    first.unlink()
    os.mkfifo(first)
    second.unlink()
    second.mkdir()
    assert [line.endswith("is no file") for line in verify_layout(folder)] == [True, True]


def test_a_folder_that_is_no_layout_is_a_line(tmp_path: Path) -> None:
    (line,) = verify_layout(tmp_path)
    assert line == f"{tmp_path / 'oci-layout'}: is missing"


def test_indexes_within_each_other_end(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (tmp_path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    data = b'{"schemaVersion": 2, "manifests": []}'
    for _ in range(6):
        (blobs / scripted.digest(data).removeprefix("sha256:")).write_bytes(data)
        data = json.dumps({"schemaVersion": 2, "manifests": [scripted.descriptor(data, INDEX)]}).encode()
    (tmp_path / "index.json").write_bytes(data)
    (line,) = verify_layout(tmp_path)
    assert "more than 2 indexes within each other" in line

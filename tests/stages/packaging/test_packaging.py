"""Images have equal bytes for equal inputs, pass the checks of crane, and contain the model's files alone."""

import io
import json
import os
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.s3_server import free_port
from tests.steps_support import context
from tests.tools import go_tool

from selfalign_stages.artifacts import reading, writing
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.manifest import ArtifactRef, Manifest
from selfalign_stages.contract.parameters import ImageParameters, Sampling
from selfalign_stages.pack.loading import load
from selfalign_stages.packaging import card, image

CRANE = ("github.com/google/go-containerregistry/cmd/crane", "v0.20.6")
SOURCE = b'{"uri": "builtin://hamlet", "revision": null, "digest": "d", "license": "mit"}'
GREEDY = Sampling(temperature=0.0, top_p=1.0)
SETTINGS = ImageParameters(
    assistant_name="Ida",
    repository="localhost/ida",
    tag="candidate",
    variant="cloned",
    model_license="Apache-2.0",
    sampling=GREEDY,
)


def packed(folder: Path) -> Manifest:
    """Packs an image of made-up weights in two shards."""
    model = {f"model-0000{n}-of-00002.safetensors": bytes([n]) * 70_000 for n in (1, 2)}
    model |= {"config.json": b"{}", "tokenizer.json": b"{}", "chat_template.jinja": b"x", "LICENSE.txt": b"terms"}
    model |= {"generation_config.json": b'{"eos_token_id": 2}'}
    refs: dict[str, ArtifactRef] = {}
    for name, kind, files in (
        ("model", "merge", model),
        ("gate", "gate", {"report.md": b"| metric | base |\n"}),
        ("baseModel", "import", {"source.json": SOURCE}),
    ):
        step = context(folder, kind, key=name[0] * 64)  # type: ignore[arg-type]
        refs[name] = writing.publish(step, files=files).ref
    return image.run(context(folder, "image", parameters=SETTINGS, inputs=refs, leaves={"pack": "builtin://hamlet"}))


def layout(folder: Path) -> tuple[Path, Manifest]:
    manifest = packed(folder)
    return folder / "store" / manifest.ref.prefix / "oci", manifest


def manifest_of(layout_folder: Path) -> dict[str, list[dict[str, str]]]:
    index = json.loads((layout_folder / "index.json").read_text())
    data = blob(layout_folder, index["manifests"][0]["digest"]).read_bytes()
    manifest: dict[str, list[dict[str, str]]] = json.loads(data)
    return manifest


def blob(layout_folder: Path, digest: str) -> Path:
    return layout_folder / "blobs" / digest.replace(":", "/")


def test_packing_equal_inputs_gives_equal_digests(tmp_path: Path) -> None:
    first, second = packed(tmp_path / "a"), packed(tmp_path / "b")
    assert first.metrics == second.metrics
    assert first.digest == second.digest


@pytest.fixture
def registry() -> Iterator[str]:
    """Runs the registry of crane on a free port; yields its address."""
    address = f"127.0.0.1:{free_port()}"
    with subprocess.Popen(
        [go_tool(*CRANE), "registry", "serve", "--address", address], stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://{address}/v2/", timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield address
        process.terminate()


def test_crane_pushes_and_validates_the_layout_and_computes_the_same_digest(tmp_path: Path, registry: str) -> None:
    layout_folder, manifest = layout(tmp_path)
    crane, remote = go_tool(*CRANE), f"{registry}/ida:candidate"
    subprocess.run([crane, "push", "--insecure", layout_folder, remote], check=True, capture_output=True)
    # --fast: in full, crane gunzips every layer whatever its media type is (go-containerregistry issue 1826)
    checked = subprocess.run([crane, "validate", "--fast", "--remote", remote], capture_output=True, text=True)
    assert "PASS" in checked.stdout + checked.stderr
    digest = subprocess.run([crane, "digest", remote], check=True, capture_output=True, text=True)
    assert digest.stdout.strip() == manifest.metrics["digest"]


def test_crane_reads_every_file_of_the_model_back_from_the_registry(tmp_path: Path, registry: str) -> None:
    layout_folder, _ = layout(tmp_path)
    crane, remote = go_tool(*CRANE), f"{registry}/ida:candidate"
    subprocess.run([crane, "push", "--insecure", layout_folder, remote], check=True, capture_output=True)
    exported = subprocess.run([crane, "export", "--insecure", remote, "-"], check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(exported.stdout)) as archive:
        read = {member.name: archive.extractfile(member) for member in archive.getmembers() if member.isfile()}
        contents = {name: stream.read() for name, stream in read.items() if stream}
    assert contents["models/model-00001-of-00002.safetensors"] == b"\x01" * 70_000
    assert contents["models/model-00002-of-00002.safetensors"] == b"\x02" * 70_000
    assert {"models/config.json", "models/tokenizer.json", "models/README.md"} <= set(contents)


def test_there_is_one_layer_per_shard_and_small_files_come_last(tmp_path: Path) -> None:
    layout_folder, _ = layout(tmp_path)
    names = []
    for layer in manifest_of(layout_folder)["layers"]:
        assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar"
        with tarfile.open(blob(layout_folder, layer["digest"])) as archive:
            names.append([member.name for member in archive.getmembers() if member.isfile()])
    assert names[:2] == [["models/model-00001-of-00002.safetensors"], ["models/model-00002-of-00002.safetensors"]]
    small = (
        "LICENSE.txt",
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "tokenizer.json",
    )
    assert set(names[2]) == {f"models/{name}" for name in small}


def test_owner_mode_and_time_of_layers_are_fixed(tmp_path: Path) -> None:
    layout_folder, _ = layout(tmp_path)
    for layer in manifest_of(layout_folder)["layers"]:
        with tarfile.open(blob(layout_folder, layer["digest"])) as archive:
            for member in archive.getmembers():
                assert (member.uid, member.gid, member.mtime) == (0, 0, 0)
                assert member.mode == (0o755 if member.isdir() else 0o644)


@pytest.mark.parametrize(
    "sampling",
    [GREEDY, Sampling(temperature=0.7, top_p=0.9), Sampling(temperature=0.7, top_p=0.9, top_k=40, min_p=0.05)],
)
def test_clients_that_choose_no_decoding_get_the_evaluated_one(tmp_path: Path, sampling: Sampling) -> None:
    from transformers import GenerationConfig

    path = tmp_path / "generation_config.json"
    path.write_text('{"eos_token_id": 2}')
    image.write_sampling(path, sampling)
    read = GenerationConfig.from_pretrained(tmp_path)
    read.save_pretrained(tmp_path / "again")  # refuses an invalid one
    assert read.eos_token_id == 2 and read.do_sample is True
    if sampling.temperature == 0:
        assert read.top_k == 1
    else:
        assert (read.temperature, read.top_p, read.top_k) == (0.7, 0.9, sampling.top_k)
        assert (read.min_p or 0) == sampling.min_p


def card_values(uri: str) -> dict[str, Any]:
    return {
        "name": "Ida", "variant": "engraved", "license": "mit", "pack": load("builtin://hamlet"), "report": "",
        "base": {"uri": uri, "revision": None, "digest": "d", "license": None},
        "model_key": "k", "gate_key": "g", "seed": 1, "documents": ["LICENSE"], "sampling": GREEDY, "extra_rows": None,
        "thoughts": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("uri", "named"), [("hf://org/base", "base_model: org/base\n"), ("s3://models/base", ""), ("builtin://hamlet", "")]
)
def test_the_card_names_a_hub_repository_only_if_the_base_model_is_one(uri: str, named: str) -> None:
    rendered = card.render(card_values(uri))
    front = rendered.split("---")[1]
    assert ("base_model" in front) == bool(named) and named in front
    assert "[LICENSE](LICENSE)" in rendered and "greedy" in rendered
    assert "No other model" not in rendered, "the card claims nothing that the run does not know"


def test_the_card_says_that_not_all_training_rows_are_the_model_s_own() -> None:
    rendered = card.render(card_values("builtin://hamlet") | {"extra_rows": 0.25})
    assert "This is the engraved model.\n\nNot all training rows are such answers: up to 25 % of those" in rendered
    assert "Not all training rows" not in card.render(card_values("builtin://hamlet"))


def test_the_card_of_a_model_with_thoughts_says_how_clients_drop_them_and_others_do_not_mention_them() -> None:
    plain, thinking = (card.render(card_values("builtin://hamlet") | {"thoughts": on}) for on in (False, True))
    added = "Clients show what follows the first `</think>`"
    assert added in thinking and "think>" not in plain
    before, _, after = thinking.partition("\nThe model writes a thought before every answer")
    assert plain == before + after.partition("no JSON schema or grammar.\n")[2]


def test_the_model_card_contains_origin_licences_and_scores(tmp_path: Path) -> None:
    layout_folder, _ = layout(tmp_path)
    with tarfile.open(blob(layout_folder, manifest_of(layout_folder)["layers"][2]["digest"])) as archive:
        member = archive.extractfile("models/README.md")
        assert member is not None
        card = member.read().decode()
    for part in (
        "license: Apache-2.0",
        "builtin://hamlet",
        "licence: mit",
        "| metric | base |",
        "Ida tells true facts",
    ):
        assert part in card


def test_links_pickles_and_code_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("pytorch_model.bin", "modeling.py", "weights.pt"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"x")
        (folder / name).write_bytes(b"x")
        with pytest.raises(BadInput, match=name):
            image.contents(folder)
    link = tmp_path / "linked"
    link.mkdir()
    os.symlink("/etc/passwd", link / "config.json")
    with pytest.raises(BadInput, match="config.json"):
        image.contents(link)


def test_the_artifact_reads_back_verified(tmp_path: Path) -> None:
    _, manifest = layout(tmp_path)
    reading.download(context(tmp_path, "image").store, manifest, tmp_path / "copy")
    assert (tmp_path / "copy" / "oci" / "oci-layout").is_file()

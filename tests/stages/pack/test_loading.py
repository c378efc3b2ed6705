"""Packs load from folders and ConfigMaps alike, and every problem is reported at once."""

from pathlib import Path

import pytest
import yaml

from selfalign_stages import builtin
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.pack import loading


def copied(folder: Path, **changes: str | None) -> Path:
    source = loading.read("builtin://hamlet")
    target = folder / "pack"
    target.mkdir()
    for name, text in source.items():
        (target / name).write_text(text)
    for name, change in changes.items():
        path = target / name.replace("__", "-").replace("_", ".")
        path.unlink() if change is None else path.write_text(change)
    return target


@pytest.mark.parametrize("name", ["hamlet", "dromedary-16"])
def test_built_in_packs_load(name: str) -> None:
    assert loading.load(f"builtin://{name}").header.name == name


def test_a_folder_and_a_config_map_of_the_same_files_are_one_pack(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    manifest = {"kind": "ConfigMap", "metadata": {"name": "p"}, "data": loading.read(folder.as_uri())}
    (tmp_path / "pack.yaml").write_text(yaml.safe_dump(manifest))
    assert loading.load((tmp_path / "pack.yaml").as_uri()) == loading.load(folder.as_uri())


def test_line_ends_do_not_change_the_digest(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    before = loading.load(folder.as_uri()).digest
    path = folder / "principles.yaml"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert loading.load(folder.as_uri()).digest == before


def test_content_changes_the_digest(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    before = loading.load(folder.as_uri()).digest
    path = folder / "principles.yaml"
    path.write_text(path.read_text().replace("true facts", "proven facts"))
    assert loading.load(folder.as_uri()).digest != before


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    folder = copied(
        tmp_path,
        pack_yaml=None,
        principles_yaml="- {number: 0, name: a, text: b}\n- {number: 2, number: 3, name: c, text: d}\n",
        prompts_yaml="introduction: [1]\n",
        seed__tasks_jsonl='{"id": "a"}\nnot json\n',
        stray_txt="x",
    )
    with pytest.raises(BadInput) as caught:
        loading.load(folder.as_uri())
    for part in ("pack.yaml: missing", "duplicate key 'number'", "introduction", "line 2", "stray.txt: unknown file"):
        assert part in str(caught.value)


def test_a_rule_that_does_not_exist_is_named_with_its_place(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    path = folder / "exemplars.yaml"
    path.write_text(path.read_text().replace("- ethical", "- etical"))
    with pytest.raises(BadInput, match=r"exemplars\.yaml: 0\.turns\.0\.rules: 'etical' is no principle"):
        loading.load(folder.as_uri())


def test_a_link_out_of_the_pack_is_refused(tmp_path: Path) -> None:
    folder = copied(tmp_path, identity_yaml=None)
    (folder / "identity.yaml").symlink_to("/etc/hostname")
    with pytest.raises(BadInput, match="link that leaves the pack"):
        loading.load(folder.as_uri())


def test_an_unknown_built_in_names_those_there_are() -> None:
    with pytest.raises(BadInput, match="dromedary-16"):
        builtin.folder("packs", "dromedary-61")

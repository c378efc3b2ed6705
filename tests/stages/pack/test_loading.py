"""Packs load from folders and ConfigMaps alike, and every problem is reported at once."""

import json
import os
import socket
from pathlib import Path

import pytest
import yaml

from selfalign_stages import builtin
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.printable import printable
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


def place(folder: Path, name: str, kind: str) -> None:
    """Puts something that is no regular file in the place of a pack's file."""
    path = folder / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    else:
        target = {"device": "/dev/zero", "link to nothing": "/nowhere", "circle": str(path)}[kind]
        path.symlink_to(target)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("pipe", "is a pipe, device or socket: put a regular file there"),
        ("socket", "cannot be read: No such device or address"),
        ("device", "is a link that leaves the pack"),
        ("link to nothing", "is a link that leaves the pack"),
        ("circle", "is a link that leaves the pack"),
    ],
)
def test_what_is_no_regular_file_is_refused_at_once(
    kind: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(tmp_path)
    monkeypatch.chdir(folder)  # the path of a socket has at most 108 bytes
    place(Path(), "identity.yaml", kind)
    with pytest.raises(BadInput, match=message):
        loading.load(folder.as_uri())
    copied_again = loading.read("builtin://hamlet")["identity.yaml"]
    (folder / "identity.yaml").unlink()
    (folder / "identity.yaml").write_text(copied_again)
    assert loading.load(folder.as_uri())


@pytest.mark.parametrize("uri", ["file:///dev/zero", "file:///dev/stdin"])
def test_a_device_is_no_pack(uri: str) -> None:
    with pytest.raises(BadInput, match="is a pipe, device or socket"):
        loading.load(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "file://[",
        "file://",
        "file:pack",
        "file:///a%00b",
        "file:///" + "a" * 5000,
        "file:///nowhere",
        "s3://bucket/pack",
    ]
    + ["builtin://", "builtin://../hamlet", "", "file:///etc/passwd/x", "file:///%ff"],
)
def test_an_address_without_a_pack_is_refused(uri: str) -> None:
    with pytest.raises(BadInput):
        loading.load(uri)


def test_a_file_that_is_too_large_is_not_read_to_its_end(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    os.truncate(folder / "principles.yaml", 2**40)  # a file with a hole takes no space
    with pytest.raises(BadInput, match="principles.yaml: is larger than"):
        loading.load(folder.as_uri())


def test_a_folder_of_very_many_files_is_no_pack(tmp_path: Path) -> None:
    for number in range(loading.MAX_FILES + 1):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(BadInput, match="has more than 100 files"):
        loading.load(tmp_path.as_uri())


@pytest.mark.parametrize(
    "name", ["principles.yaml", "exemplars.yaml", "question-types.yaml", "seed-tasks.jsonl", "identity.yaml"]
)
def test_an_empty_list_is_named_by_its_file(name: str, tmp_path: Path) -> None:
    folder = copied(tmp_path)
    (folder / name).write_text("\n" if name.endswith("jsonl") else "[]\n")
    if name == "identity.yaml":  # a pack may say nothing about the assistant itself
        assert loading.load(folder.as_uri()).identity == ()
        return
    with pytest.raises(BadInput, match=rf"1 problem\(s\): {name}: has no entries: a pack needs at least one"):
        loading.load(folder.as_uri())


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("principles.yaml", b"- \xff", "principles.yaml: not UTF-8 at byte 2: save it as UTF-8"),
        ("principles.yaml", "- a".encode("utf-16"), "principles.yaml: not UTF-8 at byte 0"),
        ("principles.yaml", b"[" * 10_000, "principles.yaml: line 1, column 101: nested in more than 100 levels"),
        ("principles.yaml", b"a: &a [*a]", "principles.yaml: line 1, column 8: alias *a contains itself"),
        ("principles.yaml", b"- {number: 1, name: \x1b, text: x}", "line 1, column 21: the character U+001B"),
        ("principles.yaml", b"- {number: 1, name: !!binary YQ==, text: x}", "tag '!!binary' has no meaning here"),
        ("principles.yaml", b"- {number: .nan, name: a, text: x}", "0.number: Input should be a finite number"),
        ("seed-tasks.jsonl", b"{}\n{", "seed-tasks.jsonl: line 2, column 2: not JSON"),
        ("seed-tasks.jsonl", b'{"id": "a", "id": "b", "instruction": "c"}', "duplicate key 'id'"),
        ("seed-tasks.jsonl", b'{"id": "a", "instruction": NaN}', "line 1, column 28: NaN is no JSON value"),
        ("seed-tasks.jsonl", b'\n{"id": "\\ud800", "instruction": "b"}', r"\ud800 is half of a surrogate pair"),
        ("seed-tasks.jsonl", b"[" * 10_000, "line 1, column 101: nested in more than 100 levels"),
        ("seed-tasks.jsonl", b"9" * 5000, "an integer of 5000 characters"),
        ("seed-tasks.jsonl", b'"a"\n[]\n', "0: Input should be"),
    ],
)
def test_a_damaged_file_is_named_with_its_place(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    folder = copied(tmp_path)
    (folder / name).write_bytes(data)
    with pytest.raises(BadInput) as caught:
        loading.load(folder.as_uri())
    assert message in str(caught.value) and printable(str(caught.value)) == str(caught.value)


def test_aliases_in_a_pack_are_limited_before_they_are_expanded(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (folder / "prompts.yaml").write_text("\n".join(lines))
    with pytest.raises(BadInput, match="prompts.yaml: .* because aliases multiply"):
        loading.load(folder.as_uri())


def test_a_byte_order_mark_does_not_change_the_digest(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    before = loading.load(folder.as_uri()).digest
    for path in folder.iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert loading.load(folder.as_uri()).digest == before


def test_a_line_of_json_ends_at_a_newline_alone(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    task = {"id": "odd", "instruction": "one\u2028two\u0085three\x0bfour"}
    with (folder / "seed-tasks.jsonl").open("a") as file:
        file.write(json.dumps(task, ensure_ascii=False).replace("\\u000b", "\\u000b") + "\n")
    assert loading.load(folder.as_uri()).seed_tasks[-1].instruction == task["instruction"]


@pytest.mark.parametrize("name", ["suite.json", "suite..json", "suite.a.b.json", "suite.a.txt", "suite.\udcff.json"])
def test_a_suite_needs_a_name_that_can_be_addressed(name: str) -> None:
    with pytest.raises(BadInput, match="unknown file"):
        loading.parse(loading.read("builtin://hamlet") | {name: "[]"}, place="here")


@pytest.mark.parametrize(
    "text", ["- a", "a: 1", "data: [a]", "data: {a: 1}", "data: {a: null}", "kind: ConfigMap", "1", "["]
)
def test_a_file_that_is_no_config_map_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "pack.yaml").write_text(text)
    with pytest.raises(BadInput, match=r"pack\.yaml"):
        loading.load((tmp_path / "pack.yaml").as_uri())

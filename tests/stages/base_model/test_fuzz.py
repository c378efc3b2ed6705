"""Whatever a base model's files, listings and addresses contain: it is read, or refused by a message fit to print."""

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzzing import mutated
from tests.mutations import mutations
from tests.scale import scaled
from tests.stages.base_model import folders, hub

from selfalign_stages.base_model import checks, hub_listing, inspection, open_source, safetensors_header
from selfalign_stages.base_model.folder import FolderSource
from selfalign_stages.base_model.sources import SourceFile
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.printable import printable
from selfalign_stages.contract.task import Leaf, StoreLocation

INPUTS = scaled(300, 100_000)
EXAMPLES = scaled(100, 10_000)
"""Inputs that hypothesis makes up, each of which takes it some milliseconds."""
LONGEST_MESSAGE = 400
STORE = StoreLocation(uri="file:///nowhere")
GOOD = folders.contents(shards=2) | {"special_tokens_map.json": b'{"eos_token": {"content": "<end>"}}'}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def assert_fit_to_print(message: str) -> None:
    assert printable(message) == message
    assert len(message) < LONGEST_MESSAGE, message


def read_model(name: str, data: bytes) -> checks.Fitness:
    """Checks a good model one of whose files has this content, as an inspection does."""
    files = GOOD | {name: data}
    listed = [SourceFile(path, len(content)) for path, content in files.items()]
    fitness = checks.check_files(listed, files, name="m")
    looked_at = inspection.Inspection(fitness, (), (), "", files)
    assert looked_at.license is None or looked_at.license.isprintable()
    assert looked_at.context_length is None or looked_at.context_length > 0
    for message in (*fitness.problems, *fitness.warnings):
        assert_fit_to_print(message)
    return fitness


CHECKED = ["config.json", "tokenizer_config.json", "special_tokens_map.json", folders.INDEX, "README.md"]


@pytest.mark.parametrize("name", CHECKED)
def test_a_changed_file_of_a_model_is_read_or_refused(name: str) -> None:
    chance = random.Random(name)
    for _ in range(INPUTS):
        read_model(name, mutated(GOOD[name], chance))


def test_a_changed_tokenizer_is_read_or_refused() -> None:
    chance = random.Random(1)
    for _ in range(INPUTS):
        read_model("tokenizer.json", mutated(GOOD["tokenizer.json"], chance))


FIELDS = [
    "architectures", "model_type", "vocab_size", "max_position_embeddings", "n_positions", "auto_map", "eos_token_id",
    "quantization_config", "eos_token", "chat_template", "tokenizer_class", "weight_map",
]  # fmt: skip


@settings(max_examples=EXAMPLES)
@given(name=st.sampled_from(CHECKED[:-1]), field=st.sampled_from(FIELDS), value=JSON)
def test_a_field_of_any_type_is_read_or_refused(name: str, field: str, value: Any) -> None:
    read_model(name, json.dumps(json.loads(GOOD[name]) | {field: value}).encode())


@settings(max_examples=EXAMPLES)
@given(name=st.sampled_from([*CHECKED, "tokenizer.json"]), data=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(name: str, data: bytes) -> None:
    read_model(name, data)


def read_weights(data: bytes) -> None:
    try:
        safetensors_header.read_header(io.BytesIO(data), size=len(data))
    except ValueError as error:
        assert_fit_to_print(str(error))


def with_header(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def test_changed_weights_are_read_or_refused() -> None:
    chance = random.Random(2)
    good = folders.safetensors(folders.TENSORS)
    header = good[8 : 8 + int.from_bytes(good[:8], "little")]
    for number in range(INPUTS):
        # Changes of the header alone, with a length that agrees, get further than those of the whole file.
        changed = mutated(good, chance) if number % 2 else with_header(mutated(header, chance), good[8 + len(header) :])
        read_weights(changed)


@settings(max_examples=EXAMPLES)
@given(name=st.text(), dtype=st.just("F32") | JSON, shape=st.just([1]) | JSON, offsets=st.just([0, 4]) | JSON)
def test_a_tensor_of_any_description_is_read_or_refused(name: str, dtype: Any, shape: Any, offsets: Any) -> None:
    entry = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
    read_weights(with_header(json.dumps({name: entry}).encode(), bytes(4)))


HEADERS: list[tuple[str, str]] = [
    ('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0.0,4.0]}}', "has data_offsets"),
    ('{"a":{"dtype":"F32","shape":[1],"data_offsets":[false,4]}}', "has data_offsets"),
    ('{"a":{"dtype":"F32","shape":[1],"data_offsets":["0","4"]}}', "has data_offsets"),
    ('{"a":{"dtype":"F32","shape":[1],"data_offsets":"04"}}', "has data_offsets"),
    ('{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}', "has data_offsets"),
    ('{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}', "has data_offsets"),
    ('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}', "has data_offsets"),
    ('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,NaN]}}', "not JSON"),
    ('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551620]}}', "has data_offsets"),
    (f'{{"a":{{"dtype":"F32","shape":[1],"data_offsets":[0,{"4" * 5000}]}}}}', "not JSON"),
    ('{"a":{"dtype":"F32","shape":[true],"data_offsets":[0,4]}}', "has shape"),
    ('{"a":{"dtype":"F32","shape":{"0":1},"data_offsets":[0,4]}}', "has shape"),
    ('{"a":{"dtype":"F32","shape":[-1,-1],"data_offsets":[0,4]}}', "has shape"),
    ('{"a":{"dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,4]}}', "does not fit its shape"),
    ('{"a":{"dtype":"F32","shape":[9223372036854775807,3],"data_offsets":[0,4]}}', "does not fit its shape"),
    (f'{{"a":{{"dtype":"F32","shape":[{",".join("1" * 5000)}],"data_offsets":[0,4]}}}}', "has shape"),
    ('{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}', "has dtype"),
    ('{"a":{"dtype":["F32"],"shape":[1],"data_offsets":[0,4]}}', "has dtype"),
    ('{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}}', "du"),
    ('{"\\u001b[2J":{"dtype":"F32","shape":[1],"data_offsets":[1,4]}}', "starts at byte 1"),
    ("{" + '"a":{' * 5000, "not JSON"),
    (" {}", "not JSON"),
    ("\ufeff{}", "not JSON"),
]  # fmt: skip


@pytest.mark.parametrize(("header", "message"), HEADERS, ids=range(len(HEADERS)))
def test_an_odd_header_is_refused(header: str, message: str) -> None:
    data = with_header(header.encode(), bytes(4))
    with pytest.raises(ValueError, match=message):
        safetensors_header.read_header(io.BytesIO(data), size=len(data))
    read_weights(data)


def test_a_header_of_tens_of_megabytes_is_not_parsed() -> None:
    data = with_header(b'{"a":' + b"[]," * (4 << 20))
    with pytest.raises(ValueError, match="has a header of 12 MiB, and at most 8 are read; save the model anew"):
        safetensors_header.read_header(io.BytesIO(data), size=len(data))


def read_listing(data: bytes) -> None:
    try:
        files = hub_listing.parse(data, commit=hub.COMMIT)
    except ValueError as error:
        assert len(str(error)) < LONGEST_MESSAGE
    else:
        checks.check_files(files, {}, name="m")


def test_a_changed_listing_is_read_or_refused() -> None:
    chance = random.Random(3)
    with_lfs = hub.HubState(files=GOOD)
    good = json.dumps(hub.listing(with_lfs)).encode()
    for _ in range(INPUTS):
        read_listing(mutated(good, chance))


@settings(max_examples=EXAMPLES)
@given(siblings=JSON | st.lists(st.fixed_dictionaries({"rfilename": st.text(), "size": JSON, "lfs": JSON}), max_size=3))
def test_a_listing_of_any_types_is_read_or_refused(siblings: Any) -> None:
    read_listing(json.dumps({"siblings": siblings}).encode())


ADDRESSES = [
    "file:///models/lantern", "file:///models/a%20b", "file://localhost/models", "builtin://hamlet", "s3://bucket/a/b",
    "hf://harbour/lantern", "file:///tmp/%00%ff%2e%2e", "s3://bucket", "hf://gpt2", "file:///", "https://host/model",
]  # fmt: skip


def opened(uri: str) -> None:
    try:
        leaf = Leaf(uri=uri, revision=hub.COMMIT)
    except ValueError:  # half a surrogate pair, which no task can contain
        return
    try:
        source = open_source.open_source(leaf, store=STORE)
    except BadInput as error:
        assert_fit_to_print(str(error))
    else:
        assert not isinstance(source, FolderSource) or source.folder.is_dir()


@pytest.fixture
def cheap_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients take a tenth of a second each, and their own tests make real ones."""
    pytest.importorskip("boto3")
    from selfalign_stages.base_model.bucket import BucketSource

    monkeypatch.setattr(BucketSource, "at_uri", lambda uri, *, store: uri)


def test_a_changed_address_is_opened_or_refused(cheap_clients: None) -> None:
    for uri in mutations(ADDRESSES, INPUTS, seed=4):
        opened(uri)


def test_a_changed_folder_is_imported_or_refused_as_a_whole(tmp_path: Path) -> None:
    """The files together, through the source, rather than one by one."""
    chance = random.Random(5)
    folder = folders.write(tmp_path / "model", GOOD)
    leaf = Leaf(uri=folder.as_uri())
    for _ in range(scaled(30, 5_000)):
        name = chance.choice(list(GOOD))
        (folder / name).write_bytes(mutated(GOOD[name], chance))
        inspection.inspect(open_source.open_source(leaf, store=STORE), leaf)
        (folder / name).write_bytes(GOOD[name])

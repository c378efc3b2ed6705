"""Every reason why a model cannot be the base of a run is reported by file name, before anything is imported."""

import json
from collections.abc import Callable

import pytest
from tests.stages.base_model import folders

from selfalign_stages.base_model import checks, inspection
from selfalign_stages.base_model.sources import SourceFile

Files = dict[str, bytes]


def check(files: Files, *, name: str = "lantern-7b") -> checks.Fitness:
    """Checks a model of these files."""
    return checks.check_files([SourceFile(path, len(data)) for path, data in sorted(files.items())], files, name=name)


def without(*names: str) -> Files:
    return {path: data for path, data in folders.contents().items() if path not in names}


def changed(**values: object) -> Files:
    """A fit model whose config.json has these values; None removes one."""
    config = {name: value for name, value in (folders.CONFIG | values).items() if value is not None}
    return folders.contents() | {"config.json": json.dumps(config).encode()}


def in_tokenizer_config(**values: object) -> Files:
    return folders.contents() | {"tokenizer_config.json": json.dumps({"eos_token": "<end>"} | values).encode()}


def test_a_fit_base_model_has_neither_problems_nor_warnings() -> None:
    for shards in (1, 2):
        fitness = check(folders.contents(shards=shards))
        assert (fitness.problems, fitness.warnings) == ((), ())


MISFITS: dict[str, tuple[Callable[[], Files], str]] = {
    "no config": (lambda: without("config.json"), "config.json: missing; this is not a Transformers model folder"),
    "an adapter": (
        lambda: without("config.json") | {"adapter_config.json": b"{}"},
        "config.json: missing; this is a LoRA adapter",
    ),
    "a torn config": (lambda: folders.contents() | {"config.json": b"{"}, "config.json: is not JSON"),
    "a list as config": (lambda: folders.contents() | {"config.json": b"[]"}, "config.json: is not a JSON object"),
    "no architecture": (lambda: changed(architectures=None), "config.json: names no architectures"),
    "an unknown architecture": (
        lambda: changed(architectures=["HarbourForCausalLM"]),
        "config.json: architecture HarbourForCausalLM is not among",
    ),
    "an encoder": (lambda: changed(architectures=["BertModel"], model_type="bert"), "architecture BertModel is not"),
    "a type of another architecture": (
        lambda: changed(model_type="mistral"),
        "config.json: model_type 'mistral' does not belong to architecture LlamaForCausalLM",
    ),
    "remote code for the model": (
        lambda: changed(auto_map={"AutoModel": "modeling.X"}) | {"modeling.py": b""},
        "config.json: auto_map refers to modeling.py",
    ),
    "remote code for the tokenizer": (
        lambda: in_tokenizer_config(auto_map={"AutoTokenizer": ["x.Y", None]}),
        "tokenizer_config.json: auto_map refers to code of another repository",
    ),
    "quantised weights": (
        lambda: changed(quantization_config={"quant_method": "gptq"}),
        "config.json: the weights are quantised (gptq)",
    ),
    "no weights": (lambda: without("model.safetensors"), "model.safetensors: missing"),
    "pickled weights": (
        lambda: without("model.safetensors") | {"pytorch_model.bin": folders.CANARY},
        "pytorch_model.bin: pickled weights can run code",
    ),
    "weights under another name": (
        lambda: without("model.safetensors") | {"consolidated.safetensors": b""},
        "model.safetensors: missing",
    ),
    "a missing shard": (
        lambda: {path: x for path, x in folders.contents(shards=2).items() if "00002" not in path},
        "model-00002-of-00002.safetensors: named in model.safetensors.index.json but missing",
    ),
    "an index without shards": (
        lambda: folders.contents() | {folders.INDEX: b"{}"},
        "model.safetensors.index.json: has no weight_map",
    ),
    "an index that names pickles": (
        lambda: (
            folders.contents()
            | {folders.INDEX: b'{"weight_map": {"a": "pytorch_model.bin"}}', "pytorch_model.bin": folders.CANARY}
        ),
        "pytorch_model.bin: named in model.safetensors.index.json but not a *.safetensors file",
    ),
    "an index that leaves the folder": (
        lambda: folders.contents() | {folders.INDEX: b'{"weight_map": {"a": "../x.safetensors"}}'},
        "../x.safetensors: named in model.safetensors.index.json but not a *.safetensors file beside it",
    ),
    "a name that leaves the folder": (
        lambda: folders.contents() | {"../tokenizer.json": b""},
        "../tokenizer.json: leaves the model's folder",
    ),
    "shards that are not there": (
        lambda: (
            folders.contents()
            | {folders.INDEX: json.dumps({"weight_map": {f"t{n}": f"{n}.safetensors" for n in range(90)}}).encode()}
        ),
        "model.safetensors.index.json: names 85 more shards like these",
    ),
    "a config with two meanings": (
        lambda: folders.contents() | {"config.json": b'{"model_type": "llama", "model_type": "qwen3"}'},
        "config.json: is not JSON: duplicate key 'model_type'",
    ),
    "a config too deep": (
        lambda: folders.contents() | {"config.json": b'{"a":' * 5000},
        "config.json: is not JSON: line 1, column 501: nested",
    ),
    "a config in UTF-16": (
        lambda: folders.contents() | {"config.json": json.dumps(folders.CONFIG).encode("utf-16")},
        "config.json: is not JSON: not UTF-8",
    ),
    "an architecture with an escape sequence": (
        lambda: changed(architectures=["\x1b[2JLlama"]),
        r"config.json: architecture \x1b[2JLlama is not among",
    ),
    "an architecture that is a list": (lambda: changed(architectures=[["LlamaForCausalLM"]]), "names no architectures"),
    "an end token that is a number": (lambda: in_tokenizer_config(eos_token=2), "eos_token '2' is not in"),
    "no tokenizer": (lambda: without("tokenizer.json"), "tokenizer.json: missing; write it with AutoTokenizer"),
    "a torn tokenizer": (lambda: folders.contents() | {"tokenizer.json": b"{}"}, "tokenizer.json: cannot be read"),
    "more tokens than embeddings": (
        lambda: changed(vocab_size=3),
        "tokenizer.json: has token 255, the model's vocab_size in config.json is 3",
    ),
    "an end token that is no token": (
        lambda: in_tokenizer_config(eos_token={"content": "<nothing>"}),
        "eos_token '<nothing>' is not in tokenizer.json",
    ),
    "no end token": (lambda: without("tokenizer_config.json"), "tokenizer_config.json: names no eos_token"),
}


@pytest.mark.parametrize(("files", "message"), MISFITS.values(), ids=MISFITS.keys())
def test_an_unfit_model_is_reported_by_file_name(files: Callable[[], Files], message: str) -> None:
    problems = check(files()).problems
    assert [problem for problem in problems if message in problem], problems


def test_a_config_with_infinities_is_read_as_transformers_reads_it() -> None:
    config = folders.CONFIG | {"time_step_limit": [0.0, float("inf")]}
    fitness = check(folders.contents() | {"config.json": json.dumps(config).encode()})
    assert (fitness.problems, fitness.config["model_type"]) == ((), "llama")


def test_a_config_with_a_byte_order_mark_is_read() -> None:
    config = b"\xef\xbb\xbf" + folders.contents()["config.json"]
    assert check(folders.contents() | {"config.json": config}).problems == ()


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", folders.INDEX, "README.md", "LICENSE"])
def test_a_file_too_large_to_be_what_its_name_says_is_not_read(name: str) -> None:
    files = folders.contents(shards=2)
    listed = [SourceFile(path, 1 << 40 if path == name else len(data)) for path, data in sorted(files.items())]
    small = {path: data for path, data in files.items() if path != name}
    problems = checks.check_files(listed, small, name="m").problems
    assert f"{name}: has {1 << 20} MiB, which no file of this kind has" in " ".join(problems)
    assert f"{name}: missing" not in " ".join(problems)


@pytest.mark.parametrize(
    ("positions", "length"),
    [(4096, 4096), (True, None), (-1, None), (0, None), ("4096", None), (4096.0, None), ([], None), (None, None)],
)
def test_only_a_positive_whole_number_is_a_context_length(positions: object, length: int | None) -> None:
    assert (
        inspection.Inspection(check(changed(max_position_embeddings=positions)), (), (), "", {}).context_length
        == length
    )


@pytest.mark.parametrize(
    ("card", "license"),
    [
        (b"---\nlicense: mit\n---\n", "mit"),
        (b"\xef\xbb\xbf---\r\nlicense: 'apache-2.0'  # as before\r\n---\r\n", "apache-2.0"),
        (b"---\nlanguage: en\nlicense: llama3.1\n---\n", "llama3.1"),
        (b"---\nlicense: [mit, other]\n---\n", None),
        (b"---\nlicense:\n- mit\n---\n", None),
        (b"---\nlicense: m\x1b[2Jit\n---\n", None),
        (b"---\nlicense: " + b"x" * 500 + b"\n---\n", None),
        (b"---\nlicense: \xff\n---\n", None),
        (b"license: mit\n", None),
        (b"---\nlicense: mit\n", None),
        (b"", None),
    ],
)
def test_the_licence_of_a_model_card_is_one_word_or_not_stated(card: bytes, license: str | None) -> None:
    assert inspection.Inspection(check(folders.contents()), (), (), "", {"README.md": card}).license == license


def test_all_problems_are_reported_at_once() -> None:
    files = {"config.json": json.dumps({"architectures": ["X"], "auto_map": {}}).encode(), "w.bin": b""}
    problems = " ".join(check(files).problems)
    for part in ("architecture X", "auto_map", "w.bin: pickled", "tokenizer.json: missing"):
        assert part in problems


CHAT_MODELS: dict[str, tuple[Files, str, str]] = {
    "a template in the tokenizer": (in_tokenizer_config(chat_template="{{ x }}"), "m", "tokenizer_config.json: has"),
    "a template of its own": (folders.contents() | {"chat_template.jinja": b""}, "m", "chat_template.jinja: has"),
    "instruct in the name": (
        folders.contents(),
        "Lantern-7B-Instruct",
        "Lantern-7B-Instruct: the name is that of a chat",
    ),
    "it in the name": (folders.contents(), "lantern-2b-it", "lantern-2b-it: the name is that"),
}


@pytest.mark.parametrize(("files", "name", "warning"), CHAT_MODELS.values(), ids=CHAT_MODELS.keys())
def test_a_chat_model_is_warned_about_and_not_refused(files: Files, name: str, warning: str) -> None:
    fitness = check(files, name=name)
    assert fitness.problems == ()
    assert fitness.warnings[0].startswith(warning)


@pytest.mark.parametrize("name", ["lantern-7b", "chatham-base", "italian-1b", "bit-1b", "profit"])
def test_a_name_that_only_contains_such_letters_is_no_chat_model(name: str) -> None:
    assert check(folders.contents(), name=name).warnings == ()


def test_pickles_code_and_other_formats_beside_safetensors_are_not_selected() -> None:
    spare = dict.fromkeys(("pytorch_model.bin", "modeling.py", "model.gguf", "onnx/model.onnx", "tokenizer.pkl"), b"x")
    fitness = check(folders.contents() | spare | {"consolidated.safetensors": b"x"})
    assert fitness.problems == ()
    selected = {file.path for file in (*fitness.files.model_files, *fitness.files.documents)}
    assert selected == set(folders.contents())

"""Every reason why a model cannot be the base of a run is reported by file name, before anything is imported."""

import json
from collections.abc import Callable

import pytest
from tests.stages.base_model import folders

from selfalign_stages.base_model import checks
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
    "no tokenizer": (lambda: without("tokenizer.json"), "tokenizer.json: missing; write it with AutoTokenizer"),
    "a torn tokenizer": (lambda: folders.contents() | {"tokenizer.json": b"{}"}, "tokenizer.json: cannot be read"),
    "more tokens than embeddings": (
        lambda: changed(vocab_size=3),
        "tokenizer.json: has token 4, the model's vocab_size in config.json is 3",
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

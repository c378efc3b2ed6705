"""Base models of many families through import, training and merge, and what loads the result. Prints a table.

    python -m tests.matrix.table [FAMILY ...]

Each family is a tiny random model with the toy model's tokenizer, with and without a BOS token, trained by LoRA and in
full by the real steps. The merged folder is then loaded by transformers 5 and 4.57 and by vLLM, each in a process of
its own: log-probabilities of the same ids, and the ids of a chat. `make matrix` installs transformers 4.57 beside.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from tests.stages.tuning import families
from tests.steps_support import artifact, context
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from selfalign_stages import builtin, chat
from selfalign_stages.artifacts import reading
from selfalign_stages.base_model import importing
from selfalign_stages.contract.exits import StageError
from selfalign_stages.contract.parameters import MergeParameters, TrainParameters
from selfalign_stages.contract.rows import Answer, Prompt
from selfalign_stages.tuning import merge, models, served_files, train

FORMER = Path.home() / ".cache" / "selfalign" / "transformers-4.57"
"""Where `make matrix` installs that release and what it needs beside torch."""
PROBE = Path(__file__).with_name("folder_probe.py")
TOLERANCE = 0.02
"""Largest difference of a token's log-probability between two libraries in float32."""
NAME = "Ida"
OF_VLLM = {"hidden_size": 128, "intermediate_size": 128, "max_position_embeddings": 256}
"""Heads of 32, which vLLM's attention on CPU has kernels for."""
PARTICULAR: dict[str, dict[str, Any]] = {
    "qwen3": {"head_dim": 32},
    "gemma2": {"head_dim": 32},
    "gemma3": {"head_dim": 32},
    "gpt2": {"n_embd": 128, "n_positions": 256},
    "opt": {"ffn_dim": 128, "word_embed_proj_dim": 128},
}
FURTHER: dict[str, tuple[str, dict[str, Any]]] = {
    "olmo3": ("Olmo3Config", {"layer_types": families.ALTERNATING, "sliding_window": 16}),
    "falcon": ("FalconConfig", {"new_decoder_architecture": False, "multi_query": True, "alibi": False}),
    "gpt-oss": (
        "GptOssConfig",
        {"head_dim": 32, "num_local_experts": 2, "num_experts_per_tok": 1, "sliding_window": 16},
    ),
}
"""Families that may be refused."""


def main(names: list[str]) -> int:
    """Prints the table, and returns 1 if a family that must pass does not."""
    line(
        "family", "tokenizer", "method", "import", "train", "merge", "transformers 5", "transformers 4.57", "vLLM", "s"
    )
    line(*["---"] * 6, *["---:"] * 4)
    failed = False
    for number, name in enumerate(names or [*families.FAMILIES, *FURTHER]):
        # Each family meets one of the four combinations; over all families every one is met several times.
        bos = number % 2 == 0
        method: Literal["lora", "full"] = "full" if number % 4 == 3 else "lora"
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as place:
            cells = list(row(Path(place), name, bos=bos, method=method))
        failed |= name in families.FAMILIES and any(cell.startswith("**") for cell in cells)
        cells += [""] * (6 - len(cells))
        line(name, "BOS" if bos else "no BOS", method, *cells, f"{time.monotonic() - start:.0f}")
    return int(failed)


def line(*cells: str) -> None:
    """Writes a line of a Markdown table."""
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


def row(folder: Path, name: str, *, bos: bool, method: Literal["lora", "full"]) -> Iterator[str]:
    """Yields the cells of one family; a bold one ends it, with the reason."""
    base = published(folder / "base", name, bos=bos)
    try:
        imported = importing.run(context(folder, "import", leaves={"baseModel": base.as_uri()}))
        yield "ok"
        inputs = {"baseModel": imported.ref, "answers": artifact(folder, "answers", answers())}
        leaves = {"pack:identity": "builtin://hamlet"}
        settings = training(method)
        tuned = train.run(context(folder, "train", parameters=settings, inputs=inputs, leaves=leaves))
        yield f"loss {tuned.metrics['firstLoss']:.2f} to {tuned.metrics['lastLoss']:.2f}"
        made = context(
            folder,
            "merge",
            key="2" * 64,
            parameters=MergeParameters(dtype="float32", tolerance=4.0),
            inputs={"baseModel": imported.ref, "adapter": tuned.ref},
        )
        shipped = reading.download(made.store, merge.run(made), folder / "shipped")
        yield "ok"
    except StageError as error:
        yield f"**{error}**"
        return
    asked = models.load_tokenizer(shipped)(chat.question("What colour is a plum?", assistant_name=NAME))["input_ids"]
    ids = [*asked, *models.load_tokenizer(shipped)("A plum is purple.", add_special_tokens=False)["input_ids"]]
    reference = probed("transformers", shipped, ids)
    yield compared(reference, asked, reference)
    former = probed("transformers", shipped, ids, path=FORMER)
    assert isinstance(former, str) or former["version"].startswith("4.57"), "make matrix installs transformers 4.57"
    yield compared(former, asked, reference)
    yield compared(probed("vllm", shipped, ids), asked, reference)


def published(folder: Path, name: str, *, bos: bool) -> Path:
    """Saves a base model of a family with a tokenizer, as its maker would."""
    source = builtin.folder("models", "hamlet")
    fast = Tokenizer.from_file(str(source / "tokenizer.json"))
    size = fast.get_vocab_size()
    eos = models.load_tokenizer(source).eos_token_id
    families.FAMILIES.update(FURTHER)
    class_name, particular = families.FAMILIES[name]
    more = {"vocab_size": size, "bos_token_id": eos, "eos_token_id": eos, "pad_token_id": eos}
    families.FAMILIES[name] = class_name, particular | OF_VLLM | more | PARTICULAR.get(name, {})
    families.save(name, folder)
    _write_rope_as_published(folder / "config.json")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (folder / file).write_bytes((source / file).read_bytes())
    # The toy model's own class is of transformers 5 alone.
    served_files.change(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    if bos:
        special = fast.id_to_token(eos)
        fast.post_processor = TemplateProcessing(single=f"{special} $A", special_tokens=[(special, eos)])
        fast.save(str(folder / "tokenizer.json"))
        served_files.change(folder / "tokenizer_config.json", {"bos_token": special})
    return folder


def _write_rope_as_published(path: Path) -> None:
    """Writes rotary settings under the names that published models have. transformers 5 saves them as rope_parameters,
    which 4.57 passes over, and computes with its own defaults."""
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters", None) or {}
    of_all = rope.get("full_attention", rope)
    if config["model_type"] == "gpt_neox":
        names = {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"}
    else:
        names = {"rope_theta": "rope_theta", "partial_rotary_factor": "partial_rotary_factor"}
    config |= {names[name]: value for name, value in of_all.items() if name in names}
    if of_all.get("rope_type", "default") != "default":
        config["rope_scaling"] = {name: value for name, value in of_all.items() if name not in names}
    if "sliding_attention" in rope:
        config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
    path.write_text(json.dumps(config, indent=2))


def training(method: Literal["lora", "full"]) -> TrainParameters:
    """A few steps, at a rate that moves a random model."""
    return TrainParameters(
        assistant_name=NAME, method=method, rank=4, alpha=8, dropout=0.0, learning_rate=3e-3, epochs=2,
        global_batch_size=8, micro_batch_size=4, warmup_ratio=0.1, max_length=128, checkpoint_steps=50,
        identity_repeats=0,
    )  # fmt: skip


def answers() -> list[Answer]:
    """Rows to train on."""
    made = []
    for number in range(32):
        prompt = Prompt(id=f"p{number}", instruction=f"What colour is hat {number}?", source="self-instruct")
        text = f"Hat {number} is {('red', 'green', 'blue')[number % 3]}."
        made.append(Answer(id=prompt.id, prompt=prompt, answer=text, finish_reason="stop", tokens=6))
    return made


def probed(library: str, folder: Path, ids: list[int], *, path: Path | None = None) -> dict[str, Any] | str:
    """Runs folder_probe.py in a process of its own; returns what it found, or the last line of its error."""
    result = folder / f"{library}.probe"
    result.unlink(missing_ok=True)
    quiet = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    environment = os.environ | quiet | {"TORCHDYNAMO_DISABLE": "1", "PYTHONPATH": str(path or "")}
    done = subprocess.run(
        [sys.executable, str(PROBE), library, str(folder)],
        input=json.dumps(ids),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if not result.exists():
        return next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no output")
    found: dict[str, Any] = json.loads(result.read_text())
    result.unlink()
    return found


def compared(found: dict[str, Any] | str, asked: list[int], reference: dict[str, Any] | str) -> str:
    """A cell: the largest difference to transformers 5, or what is wrong in bold."""
    if isinstance(found, str) or isinstance(reference, str):
        return f"**{found}**"
    if found["chat"] != asked:
        return f"**chat has ids {found['chat'][:4]}..., evaluated are {asked[:4]}...**"
    difference = max(abs(a - b) for a, b in zip(found["logprobs"], reference["logprobs"], strict=True))
    return f"{difference:.1e}" if difference <= TOLERANCE else f"**differs by {difference:.3f}**"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

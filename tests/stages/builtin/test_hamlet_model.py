"""The built-in base model is small, complete, fit to import, and loads as any other."""

import json

import pytest

from selfalign_stages import builtin
from selfalign_stages.base_model import checks
from selfalign_stages.base_model.sources import SourceFile

LARGEST_BYTES = 12_000_000
FOLDER = builtin.folder("models", "hamlet")


def test_the_model_is_at_most_twelve_megabytes_with_a_head_size_that_the_engine_knows() -> None:
    config = json.loads((FOLDER / "config.json").read_text())
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= LARGEST_BYTES
    assert config["head_dim"] == 32
    assert config["max_position_embeddings"] == 1024


def test_the_model_passes_the_checks_of_every_imported_model_without_warnings() -> None:
    files = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    verdict = checks.check_files([SourceFile(name, len(data)) for name, data in files.items()], files, name="hamlet")
    assert (verdict.problems, verdict.warnings) == ((), ())


def test_the_tokenizer_ends_with_one_token_pads_with_another_and_has_no_chat_template() -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|endoftext|>", "<|pad|>")
    assert tokenizer.chat_template is None
    text = "### User\nWho are you?\n\n### Zürich-9 (internal thoughts)\n"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_the_card_names_licence_seed_tokens_loss_and_limits() -> None:
    card = (FOLDER / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0\n")
    for word in ("seed", "tokens", "loss", "cannot", "hamlet.train"):
        assert word in card


@pytest.mark.slow
def test_the_model_continues_a_plain_conversation_and_ends_it() -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    model = transformers.AutoModelForCausalLM.from_pretrained(FOLDER)
    inputs = tokenizer("### User\nWhat colour is a lemon?\n\n### Juniper\n", return_tensors="pt")
    with torch.no_grad():
        ids = model.generate(**inputs, do_sample=False, max_new_tokens=40)[0, inputs["input_ids"].shape[1] :]
    answer = tokenizer.decode(ids, skip_special_tokens=True).split("\n")[0]
    assert 0 < len(answer.split()) < 12

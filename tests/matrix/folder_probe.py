"""Writes what a library computes with a model folder, as JSON: log-probabilities of given token ids, and the token ids
of a chat. It imports nothing of this project, so that it runs under another release of transformers as well.

    python folder_probe.py transformers|vllm FOLDER < ids.json
"""

import json
import sys
from pathlib import Path

MESSAGES = [{"role": "user", "content": "What colour is a plum?"}]


def with_transformers(folder: str, ids: list[int]) -> dict[str, object]:
    """Loads as a user does, with the classes that the files name."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, __version__

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].float()
    logprobs = logits.log_softmax(-1)[:-1].gather(1, torch.tensor(ids[1:])[:, None]).squeeze(1)
    text = tokenizer.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return {"version": __version__, "logprobs": logprobs.tolist(), "chat": ids}


def with_vllm(folder: str, ids: list[int]) -> dict[str, object]:
    """Loads offline as a server does, and asks through its chat interface."""
    from vllm import LLM, SamplingParams, __version__

    llm = LLM(folder, dtype="float32", max_model_len=128, enforce_eager=True, enable_prefix_caching=False)
    asked = SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0)
    (output,) = llm.generate([{"prompt_token_ids": ids}], asked, use_tqdm=False)
    logprobs = [found[token].logprob for found, token in zip(output.prompt_logprobs[1:], ids[1:], strict=True)]
    (chat,) = llm.chat(MESSAGES, SamplingParams(max_tokens=4, temperature=0), use_tqdm=False)
    return {"version": __version__, "logprobs": logprobs, "chat": list(chat.prompt_token_ids)}


if __name__ == "__main__":
    library, folder = sys.argv[1:]
    probe = {"transformers": with_transformers, "vllm": with_vllm}[library]
    found = probe(folder, json.load(sys.stdin))
    Path(folder, f"{library}.probe").write_text(json.dumps(found))

"""Time and memory of an optimizer step with logits at every position, and at answer tokens alone.

    PYTHONPATH=.:operator:stages python benchmarks/training_loss.py [--rows 8] [--tokens 256] [--steps 10]

The model has the shape of Gemma 3 270M (262,144 words) and random weights, trained by LoRA of rank 16 on all linear
layers. A third of each row is prompt. Rounds are interleaved; prints the median step, the tokens per second and the
most memory of each, and their ratios. Runs on CUDA where there is a GPU (bfloat16), else on CPU (float32).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Gemma3TextConfig

from selfalign_stages.tuning.answer_loss import AnswerLoss
from selfalign_stages.tuning.examples import IGNORED

WAYS = ("every position", "answer tokens")


def main() -> None:
    """Measures each way in a process of its own, so that neither pays for the other's memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=WAYS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options)))
        return
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way in WAYS:
            command = [sys.executable, *sys.argv, "--way", way]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ)
            found[way].append(json.loads(done.stdout.splitlines()[-1]))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {os.cpu_count()} cores"
    print(f"{device}; torch {torch.__version__}; {options.rows} rows of {options.tokens} tokens")
    for way, runs in found.items():
        seconds = [run["seconds"] for run in runs]
        print(
            f"{way:15} {statistics.median(seconds):8.3f} s/step ({min(seconds):.3f} to {max(seconds):.3f}) "
            f"{options.rows * options.tokens / statistics.median(seconds):9.0f} tokens/s "
            f"{statistics.median(run['gib'] for run in runs):6.2f} GiB; loss {runs[0]['loss']:.4f}"
        )
    full, answers = (statistics.median(run["seconds"] for run in found[way]) for way in WAYS)
    memory = [statistics.median(run["gib"] for run in found[way]) for way in WAYS]
    print(f"answer tokens alone: {full / answers:.2f} times as fast, {memory[1] / memory[0]:.2f} of the memory")


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Trains some steps one way; returns seconds per step, peak memory in GiB and the first loss."""
    torch.manual_seed(0)
    cuda = torch.cuda.is_available()
    device, dtype = ("cuda", torch.bfloat16) if cuda else ("cpu", torch.float32)
    config = Gemma3TextConfig(
        vocab_size=262144,
        hidden_size=640,
        intermediate_size=2048,
        num_hidden_layers=18,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=256,
        sliding_window=512,
    )
    with torch.device(device):
        base = AutoModelForCausalLM.from_config(config, dtype=dtype)
    every_linear = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    model: Any = get_peft_model(base, LoraConfig(r=16, lora_alpha=32, target_modules=list(every_linear)))
    model.train()
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-4)
    ids = torch.randint(10, 262144, (options.rows, options.tokens), device=device)
    labels = ids.clone()
    labels[:, : options.tokens // 3] = IGNORED
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    answer_loss = AnswerLoss(model)
    times, first = [], 0.0
    for step in range(options.steps + 2):
        started = time.perf_counter()
        loss = answer_loss(inputs) if options.way == "answer tokens" else model(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if cuda:
            torch.cuda.synchronize()
        first = first or float(loss.detach())
        if step >= 2:  # the first two allocate and choose kernels
            times.append(time.perf_counter() - started)
    return {"seconds": statistics.median(times), "gib": _peak(cuda), "loss": first}


def _peak(cuda: bool) -> float:
    if cuda:
        return torch.cuda.max_memory_allocated() / 2**30
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()

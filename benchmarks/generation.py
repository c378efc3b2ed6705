"""Self-align answers on the built-in model: our stage, bare vLLM, transformers' generate, on the same prompts.

    python benchmarks/generation.py [--prompts 512] [--rounds 5]

Each contender runs in a process of its own, interleaved over the rounds; model load is not timed. Prints tokens
per second (median and spread) and the ratios of stage to bare vLLM, of deterministic mode to stage, and of vLLM to
transformers.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from selfalign_stages import builtin
from selfalign_stages.contract.rows import Prompt
from selfalign_stages.pack import rendering
from selfalign_stages.pack.loading import load

NAME, MAX_TOKENS, TRANSFORMERS_BATCH, TRANSFORMERS_SHARE = "Juniper", 96, 32, 8
"""transformers is timed on an eighth of the prompts: it is that much slower."""


def prompts(count: int) -> list[Prompt]:
    """Varied questions of the toy world."""
    pack = load("builtin://hamlet")
    tasks = pack.seed_tasks
    return [
        Prompt(id=f"p{n}", instruction=f"{tasks[n % len(tasks)].instruction} ({n})", source="self-instruct")
        for n in range(count)
    ]


def texts(made: list[Prompt]) -> list[str]:
    """The prompts under principles and exemplars."""
    prefix = rendering.self_align_prefix(load("builtin://hamlet"), assistant_name=NAME)
    return [rendering.self_align_prompt(prefix, p.text, assistant_name=NAME) for p in made]


def stage(count: int, *, deterministic: bool = False) -> tuple[int, float]:
    """Our answers step: chunks, judging, commits and all."""
    from selfalign_stages.answering import self_align
    from selfalign_stages.artifacts.chunks import Chunks
    from selfalign_stages.artifacts.file_store import FileStore
    from selfalign_stages.contract.rows import Answer
    from selfalign_stages.contract.task import StoreLocation, Task
    from selfalign_stages.engine import generation
    from selfalign_stages.engine.interface import Decoding, Request, seed_for
    from selfalign_stages.engine.vllm_engine import VllmEngine
    from selfalign_stages.step.context import StepContext

    engine, made, rendered = (
        VllmEngine(builtin.folder("models", "hamlet"), seed=1),
        prompts(count),
        texts(prompts(count)),
    )
    judge = self_align.judging(load("builtin://hamlet"), assistant_name=NAME)
    decoding = Decoding(temperature=0.5, top_p=0.9, max_tokens=MAX_TOKENS, stop=rendering.stop_strings())
    with tempfile.TemporaryDirectory() as folder:
        location = StoreLocation(uri=Path(folder).as_uri())
        task = Task(id="bench", kind="answers", key="0" * 64, seed=1, store=location, parameters={})
        context = StepContext(task=task, store=FileStore(Path(folder)), scratch=Path(folder))
        list(engine.stream([Request(rendered[0], 1)], decoding))
        started = time.monotonic()
        chunks = Chunks(context, Answer, total=count, size=128)
        generation.run(
            context,
            lambda: engine,
            chunks,
            request=lambda n: Request(rendered[n], seed_for("key", made[n].id, seed=1)),
            row=lambda n, completion: judge(made[n], completion),
            decoding=decoding,
            deterministic=deterministic,
        )
        chunks.finish()
        seconds = time.monotonic() - started
        return sum(row.tokens for row in chunks.rows()), seconds


def bare(count: int) -> tuple[int, float]:
    """`LLM.generate` with the same settings."""
    from selfalign_stages.engine.vllm_engine import VllmEngine

    engine, rendered = VllmEngine(builtin.folder("models", "hamlet"), seed=1), texts(prompts(count))
    settings = [
        engine._vllm.SamplingParams(
            temperature=0.5, top_p=0.9, max_tokens=MAX_TOKENS, stop=list(rendering.stop_strings()), seed=n
        )
        for n in range(count)
    ]
    engine._llm.generate(rendered[:1], settings[:1], use_tqdm=False)
    started = time.monotonic()
    outputs = engine._llm.generate(rendered, settings, use_tqdm=False)
    seconds = time.monotonic() - started
    return sum(len(output.outputs[0].token_ids) for output in outputs), seconds


def transformers(count: int) -> tuple[int, float]:
    """Transformers' generate in padded batches, stopped by the same strings."""
    import torch

    from selfalign_stages.tuning import models

    folder = builtin.folder("models", "hamlet")
    model, tokenizer = models.load_model(folder, dtype="float32"), models.load_tokenizer(folder)
    tokenizer.padding_side = "left"
    rendered, tokens = texts(prompts(count // TRANSFORMERS_SHARE)), 0
    torch.manual_seed(1)
    started = time.monotonic()
    for start in range(0, len(rendered), TRANSFORMERS_BATCH):
        batch = tokenizer(rendered[start : start + TRANSFORMERS_BATCH], return_tensors="pt", padding=True)
        made = model.generate(
            **batch, do_sample=True, temperature=0.5, top_p=0.9, max_new_tokens=MAX_TOKENS, tokenizer=tokenizer,
            stop_strings=list(rendering.stop_strings()),
        )  # fmt: skip
        tokens += int((made[:, batch["input_ids"].shape[1] :] != tokenizer.pad_token_id).sum())
    return tokens, time.monotonic() - started


def deterministic(count: int) -> tuple[int, float]:
    """Our answers step in deterministic mode: each chunk alone, from an empty prefix cache."""
    return stage(count, deterministic=True)


CONTENDERS = {"stage": stage, "bare": bare, "deterministic": deterministic, "transformers": transformers}


def main() -> None:
    """Runs one contender, or all of them in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=CONTENDERS)
    options = parser.parse_args()
    if options.only:
        tokens, seconds = CONTENDERS[options.only](options.prompts)
        sys.stdout.write(json.dumps({"tokens": tokens, "seconds": seconds}) + "\n")
        return
    rates: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(options.rounds):
        for name in CONTENDERS:
            command = [sys.executable, __file__, "--only", name, "--prompts", str(options.prompts)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            result = json.loads(done.stdout.strip().splitlines()[-1])
            rates[name].append(result["tokens"] / result["seconds"])
    for name, found in rates.items():
        sys.stdout.write(f"{name:13} {statistics.median(found):8.0f} tokens/s ({min(found):.0f} to {max(found):.0f})\n")
    middle = {name: statistics.median(found) for name, found in rates.items()}
    sys.stdout.write(f"stage / bare vLLM     {middle['stage'] / middle['bare']:.3f}\n")
    sys.stdout.write(f"deterministic / stage {middle['deterministic'] / middle['stage']:.3f}\n")
    sys.stdout.write(f"vLLM / transformers   {middle['bare'] / middle['transformers']:.1f}\n")


if __name__ == "__main__":
    main()

"""Trains the built-in base model from scratch and saves it in Transformers' format.

    PYTHONPATH=examples python -m hamlet.train stages/selfalign_stages/builtin/models/hamlet

About 13.5 million tokens, some 25 minutes on two cores. The same seed, thread count and library versions give the same
weights. They are float32 during training, under bfloat16 autocast, and saved in bfloat16, as engines load them.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hamlet import documents

END, PAD = "<|endoftext|>", "<|pad|>"
VOCABULARY, HIDDEN, LAYERS, HEAD, CONTEXT = 2048, 192, 5, 32, 1024
BATCH, WARMUP = 8, 60
TOKENIZER_DOCUMENTS = 6000


@dataclass(frozen=True)
class Phase:
    """One phase of training.

    Attributes:
        steps: optimizer steps.
        length: tokens per row.
        letters: characters of the documents with guidelines, to fit into a row.
        rate: peak learning rate.
    """

    steps: int
    length: int
    letters: int
    rate: float


PHASES = (Phase(1800, 768, documents.GUIDELINE_LETTERS, 3e-3), Phase(300, CONTEXT, 4600, 1e-3))
"""Short rows cost least per token; the last phase trains all positions of the context."""


def tokenizer(folder: Path) -> Tokenizer:
    """Trains and saves a byte-level BPE tokenizer on the village's documents.

    Its pad token differs from its end token. A collator masks pad tokens in the labels, and would mask the end too.
    """
    random = Random(1)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator((documents.document(random) for _ in range(TOKENIZER_DOCUMENTS)), trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token=END, pad_token=PAD, model_max_length=CONTEXT
    ).save_pretrained(folder)
    return bpe


def rows(bpe: Tokenizer, phase: Phase, *, seed: int) -> Iterator[list[int]]:
    """Yields rows of token ids without end: whole documents from the first position on, the last one cut.

    Args:
        bpe: the tokenizer.
        phase: row length and document size.
        seed: seed of the documents.
    """
    random, end = Random(seed), int(bpe.token_to_id(END) or 0)
    while True:
        ids: list[int] = []
        while len(ids) < phase.length:
            ids += [*bpe.encode(documents.document(random, letters=phase.letters)).ids, end]
        yield ids[: phase.length]


def model() -> LlamaForCausalLM:
    """Makes a Llama of 2.6 million parameters. Heads of 32 are the smallest that vLLM's CPU attention supports."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=HIDDEN,
            intermediate_size=HIDDEN * 8 // 3 // 32 * 32,
            num_hidden_layers=LAYERS,
            num_attention_heads=HIDDEN // HEAD,
            num_key_value_heads=HIDDEN // HEAD,
            head_dim=HEAD,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=1,
        )
    )


def optimizers(net: LlamaForCausalLM, phase: Phase) -> list[tuple[Any, Any]]:
    """Makes Muon for hidden matrices and AdamW for embeddings and norms, with warm-up, plateau and linear decay."""
    matrices = [p for name, p in net.named_parameters() if p.dim() == 2 and "embed" not in name]
    chosen = {id(p) for p in matrices}
    others = [p for p in net.parameters() if id(p) not in chosen]
    found = [
        torch.optim.Muon(matrices, lr=phase.rate, momentum=0.95, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=phase.rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]

    def rate(step: int) -> float:
        return min((step + 1) / WARMUP, 1) * (0.02 + 0.98 * min(1, (phase.steps - step) / (0.5 * phase.steps)))

    return [(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rate)) for optimizer in found]


def run(net: LlamaForCausalLM, bpe: Tokenizer, phase: Phase, *, seed: int) -> float:
    """Trains one phase.

    Args:
        net: the model, changed in place.
        bpe: the tokenizer.
        phase: what to train on and how long.
        seed: seed of the documents.

    Returns:
        The exponentially smoothed loss at the end, in nats per token.
    """
    data, pairs, started, smooth = rows(bpe, phase, seed=seed), optimizers(net, phase), time.monotonic(), 0.0
    for step in range(1, phase.steps + 1):
        batch = torch.tensor([next(data) for _ in range(BATCH)])
        with torch.autocast("cpu", torch.bfloat16):
            loss = net(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        for optimizer, schedule in pairs:
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        latest = loss.item()
        smooth = latest if step == 1 else 0.95 * smooth + 0.05 * latest
        if step % 20 == 0 or step == phase.steps:
            speed = step * BATCH * phase.length / (time.monotonic() - started)
            print(f"step {step}/{phase.steps} loss {smooth:.4f} {speed:.0f} tokens/s", flush=True)  # noqa: T201
    return smooth


def save(net: LlamaForCausalLM, folder: Path, **record: float) -> None:
    """Writes weights in bfloat16, the configurations, and `record` as training.json, for the model card."""
    net.to(torch.bfloat16).save_pretrained(folder)
    GenerationConfig(bos_token_id=0, eos_token_id=0, pad_token_id=1).save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    (folder / "training.json").write_text(json.dumps(record) + "\n")


def train(folder: Path, *, seed: int) -> None:
    """Trains all phases and saves the model with its tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)
    torch.manual_seed(seed)
    bpe, net, loss = tokenizer(folder), model(), 0.0
    for number, phase in enumerate(PHASES):
        loss = run(net, bpe, phase, seed=seed + number)
    tokens = sum(phase.steps * BATCH * phase.length for phase in PHASES)
    save(net, folder, seed=seed, steps=sum(p.steps for p in PHASES), tokens=tokens, loss=round(loss, 4))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Trains the built-in base model.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    train(options.folder, seed=options.seed)

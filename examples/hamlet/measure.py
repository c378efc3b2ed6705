"""Prints how a base model of the village scores, unprompted and under the pack, and how it continues lists.

    PYTHONPATH=examples python -m hamlet.measure stages/selfalign_stages/builtin/models/hamlet

The same code as step `score`; tuned models are measured by a run itself (examples/quickstart.yaml).
"""

# ruff: noqa: T201

import argparse
from pathlib import Path
from typing import cast, get_args

from selfalign_stages.contract.parameters import Sampling, Variant
from selfalign_stages.engine.interface import Decoding, Engine, Request
from selfalign_stages.engine.vllm_engine import VllmEngine
from selfalign_stages.evaluation import adherence, bootstrap, hhh, suites, truthfulqa
from selfalign_stages.evaluation.items import ItemScore
from selfalign_stages.evaluation.variant_prompts import VariantPrompts
from selfalign_stages.pack import rendering
from selfalign_stages.pack.loading import load
from selfalign_stages.pack.model import Pack

DEMONSTRATIONS = 6
SHOWN_ANSWERS = 8


def outcomes(engine: Engine, framing: VariantPrompts, *, temperature: float, seed: int) -> list[ItemScore]:
    """Runs the three suites of the pack on one variant.

    Args:
        engine: the loaded model.
        framing: prompts of the variant.
        temperature: of the adherence suite's answers; the other suites only score candidates.
        seed: seed of these answers.
    """
    pack, sampling = framing.pack, Sampling(temperature=temperature, top_p=0.95, max_tokens=160)
    checks = suites.parse_adherence(suites.read_texts("pack://adherence", pack))
    found = adherence.run(checks, engine, framing, suite="adherence", sampling=sampling, key="measure", seed=seed)
    found += hhh.run(suites.parse_hhh(suites.read_texts("pack://hhh", pack)), engine, framing, suite="hhh")
    return found + truthfulqa.run(
        suites.parse_truthfulqa(suites.read_texts("pack://truthfulqa", pack)), engine, framing, suite="truthfulqa"
    )


def show(found: list[ItemScore], *, title: str) -> None:
    """Prints the mean of every metric, and a few answers."""
    print(f"== {title}")
    for name, values in sorted(bootstrap.by_metric(found).items()):
        print(f"{name:32} {bootstrap.mean(list(values.values())):.3f}")
    answers = [item for item in found if item.answer is not None]
    for item in answers[:: max(1, len(answers) // SHOWN_ANSWERS)]:
        print(f"  {item.id} {item.values['overall']:.0f} {item.answer!r}")


def show_lists(engine: Engine, pack: Pack, *, seed: int) -> None:
    """Prints how the model continues a list of tasks, of topics and of questions."""
    kind, solved = pack.question_types[0], [(t.type, t.topic, t.question) for t in pack.question_types[:5]]
    prompts = (
        rendering.task_list(pack.frames.self_instruct, pack.seed_tasks[:DEMONSTRATIONS]),
        rendering.topic_list(pack.frames.topics, question_type=kind.type, topics=[kind.topic]),
        rendering.question_list(pack.frames.questions, solved=solved, question_type=kind.type, topic="lantern"),
    )
    decoding = Decoding(temperature=1.0, top_p=0.98, max_tokens=120, ignore_eos=True)
    for _, completion in engine.stream([Request(prompt, seed) for prompt in prompts], decoding):
        print(f"--\n{completion.text}")


def main() -> None:
    """Loads the model once and prints everything."""
    parser = argparse.ArgumentParser(description="Measures a base model of the village.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--pack", default="builtin://hamlet")
    parser.add_argument("--assistant-name", default="Juniper")
    parser.add_argument("--temperature", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variants", nargs="+", choices=get_args(Variant), default=["base", "prompted"])
    options = parser.parse_args()
    pack, engine = load(options.pack), VllmEngine(options.model, seed=options.seed)
    for variant in options.variants:
        framing = VariantPrompts(pack=pack, variant=cast(Variant, variant), assistant_name=options.assistant_name)
        found = outcomes(engine, framing, temperature=options.temperature, seed=options.seed)
        show(found, title=f"{variant} at temperature {options.temperature}")
    show_lists(engine, pack, seed=options.seed)


if __name__ == "__main__":
    main()

"""Generates the answers of one variant to the items of a suite; what formats adherence and limits have in common."""

from collections.abc import Mapping
from dataclasses import replace

from selfalign_stages.contract.parameters import Sampling
from selfalign_stages.engine.interface import Completion, Decoding, Engine, Request, seed_for
from selfalign_stages.evaluation.variant_prompts import VariantPrompts
from selfalign_stages.pack.rendering import stop_strings


def generate(
    queries: Mapping[str, str],
    engine: Engine,
    prompts: VariantPrompts,
    *,
    sampling: Sampling,
    key: str,
    seed: int,
) -> dict[str, Completion]:
    """Generates one completion per query.

    Args:
        queries: user message by item id, which names the sampling seed.
        engine: the model variant.
        prompts: the prompts of that variant.
        sampling: decoding of the answers.
        key: key of the step, for the sampling seeds.
        seed: `spec.seed` of the run, for the sampling seeds.

    Returns:
        Completions by item id.
    """
    requests = [Request(prompts.generation(query), seed_for(key, id_, seed=seed)) for id_, query in queries.items()]
    decoding = Decoding.from_sampling(sampling, stop=stop_strings(prompts.pack if prompts.prefix else None))
    if prompts.grammar is not None:
        decoding = replace(decoding, grammar=prompts.grammar)
    completions = dict(engine.stream(requests, decoding))
    return {id_: completions[position] for position, id_ in enumerate(queries)}

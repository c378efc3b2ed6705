"""Adherence: answers to held-out prompts, checked by patterns; with length, refusals, stops and leaks."""

import re
from collections.abc import Sequence

from selfalign_stages.contract.parameters import Sampling
from selfalign_stages.engine.interface import Completion, Decoding, Engine, Request, seed_for
from selfalign_stages.evaluation.items import AdherenceItem, ItemScore
from selfalign_stages.evaluation.variant_prompts import VariantPrompts
from selfalign_stages.pack.leaks import Leaks, words
from selfalign_stages.pack.rendering import stop_strings
from selfalign_stages.text.answer_filters import refuses


def adheres(check: AdherenceItem, answer: str, *, assistant_name: str) -> bool:
    """Whether the answer matches every required pattern and no forbidden one."""

    def found(pattern: str) -> bool:
        return re.search(pattern.replace("{assistantName}", re.escape(assistant_name)), answer) is not None

    return all(found(pattern) for pattern in check.require) and not any(found(pattern) for pattern in check.forbid)


def outcome(
    check: AdherenceItem, completion: Completion, framing: VariantPrompts, leaks: Leaks, *, suite: str
) -> ItemScore:
    """One answer's verdicts; `stops` counts the model's own end token alone, not a stop string."""
    answer, formed = framing.answer(completion.text)
    leaked = leaks.reason(answer, query=check.prompt) is not None or not formed
    refused = refuses(answer)
    values = {
        "overall": float(formed and adheres(check, answer, assistant_name=framing.assistant_name)),
        "words": float(len(words(answer))),
        "tokens": float(completion.tokens),
        "stops": float(completion.own_end),
        "leaks": float(leaked),
        "overrefusal" if not check.refusal else "refusal": float(refused),
    }
    return ItemScore(id=check.id, suite=suite, group=check.principle, values=values, answer=answer)


def run(
    checks: Sequence[AdherenceItem],
    engine: Engine,
    framing: VariantPrompts,
    *,
    suite: str,
    sampling: Sampling,
    key: str,
    seed: int,
) -> list[ItemScore]:
    """Outcomes of a suite in item order."""
    leaks = Leaks.of(framing.pack, assistant_name=framing.assistant_name)
    requests = [Request(framing.generation(c.prompt), seed_for(key, c.id, seed=seed)) for c in checks]
    decoding = Decoding(
        temperature=sampling.temperature, top_p=sampling.top_p, max_tokens=sampling.max_tokens, stop=stop_strings()
    )
    completions = dict(engine.stream(requests, decoding))
    return [outcome(c, completions[n], framing, leaks, suite=suite) for n, c in enumerate(checks)]

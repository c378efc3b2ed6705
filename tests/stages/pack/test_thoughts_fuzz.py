"""Whatever a model writes after an open thought is an answer or has a reject reason."""

from tests.mutations import mutations
from tests.scale import scaled

from selfalign_stages.pack import rendering, thoughts
from selfalign_stages.pack.loading import load
from selfalign_stages.pack.thoughts import ParsedAnswer

PACK = load("builtin://dromedary-16")
GOOD = [
    f"{rendering.thought(turn.thought, [PACK.principle(rule) for rule in turn.rules])}\n\n### Ida\n{turn.answer}"
    for exemplar in PACK.exemplars
    for turn in exemplar.turns
    if turn.thought
]
REASONS = {"no-answer", "no-rules", "unknown-rule", "empty"}


def test_any_completion_is_an_answer_or_rejected() -> None:
    names = {principle.number: principle.name for principle in PACK.principles}
    parsed = 0
    for text in mutations(GOOD, scaled(300, 100_000), seed=11):
        result = thoughts.parse(text, pack=PACK, assistant_name="Ida")
        if isinstance(result, ParsedAnswer):
            parsed += 1
            # the names that stand behind the numbers are in the thought
            assert result.rules and all(names[rule] in result.thought for rule in result.rules)
        else:
            assert result in REASONS
    assert parsed

"""How a run thinks before it answers: the mode that follows from the pack, and the prompts and grammar of each."""

import pytest

from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.parameters import Thought
from selfalign_stages.pack import rendering, thoughts
from selfalign_stages.pack.loading import load
from selfalign_stages.pack.thought_grammar import thought_grammar
from selfalign_stages.pack.thoughts import ParsedAnswer

HAMLET, STARTER = load("builtin://hamlet"), load("builtin://starter")


@pytest.mark.parametrize(
    ("chosen", "hamlet", "starter"),
    [(None, "free", "none"), ("none", "none", "none"), ("free", "free", None), ("constrained", "constrained", None)],
)
def test_the_pack_decides_where_the_manifest_does_not_and_thoughts_need_exemplars_that_have_them(
    chosen: Thought | None, hamlet: Thought, starter: Thought | None
) -> None:
    assert thoughts.resolve(HAMLET, chosen) == hamlet
    if starter is not None:
        assert thoughts.resolve(STARTER, chosen) == starter
        return
    with pytest.raises(BadInput, match=rf"stages\.selfAlign\.thought: {chosen} needs exemplars with thoughts.*none"):
        thoughts.resolve(STARTER, chosen)


def test_without_thoughts_the_exemplars_are_shown_without_them_and_the_answer_is_opened_at_once() -> None:
    prefix = rendering.self_align_prefix(HAMLET, assistant_name="Ida", thoughts=False)
    assert "internal thoughts" not in prefix and rendering.RULES_CUE not in prefix
    assert HAMLET.fill(HAMLET.frames.examples, assistant_name="Ida") not in prefix, "it announces thoughts"
    for turn in HAMLET.turns:
        assert f"### User\n{turn.user}\n\n### Ida\n{turn.answer}\n\n" in prefix
    assert rendering.direct_prompt(prefix, "Hi?", assistant_name="Ida").endswith("\n\n### User\nHi?\n\n### Ida\n")


def test_the_frame_of_a_pack_without_thoughts_introduces_its_exemplars() -> None:
    prefix = rendering.self_align_prefix(STARTER, assistant_name="Ida")
    assert STARTER.fill(STARTER.frames.examples, assistant_name="Ida") in prefix


def test_a_grammar_has_every_rule_once_and_quotes_names_that_have_quotes() -> None:
    named = HAMLET.principles[1].model_copy(update={"name": 'to "inform" \\ tell'})
    pack = HAMLET.model_copy(update={"principles": (HAMLET.principles[0], named)})
    lines = thought_grammar(pack, assistant_name="Ida").splitlines()
    assert lines[1] == r'rule ::= "1 (ethical)" | "2 (to \"inform\" \\ tell)"'


@pytest.mark.slow
def test_the_grammar_admits_exactly_what_reads_back() -> None:
    """xgrammar itself decides, over a vocabulary of bytes; slow is the import of torch."""
    xgrammar = pytest.importorskip("xgrammar")
    end = 256
    info = xgrammar.TokenizerInfo([bytes([byte]) for byte in range(end)] + [b"</s>"], stop_token_ids=[end])
    compiled = xgrammar.GrammarCompiler(info).compile_grammar(thought_grammar(HAMLET, assistant_name="Ida"))

    def admits(text: str) -> bool:
        matcher = xgrammar.GrammarMatcher(compiled)
        return bool(matcher.accept_string(text) and matcher.accept_token(end))

    for turn in HAMLET.turns:
        cited = [HAMLET.principle(rule) for rule in turn.rules]
        text = f"{rendering.thought(turn.thought or '', cited)}\n\n### Ida\n{turn.answer}\nAnd more: {{}} \u00e9."
        assert admits(text)
        assert isinstance(thoughts.parse(text, pack=HAMLET, assistant_name="Ida"), ParsedAnswer)
    for wrong in (
        "This asks. I should follow rules 2 (ethical).\n\n### Ida\nYes.",
        "This asks. I should follow rules 9 (kindness).\n\n### Ida\nYes.",
        "This asks.\n\n### Ida\nYes.",
        "This asks. I should follow rules 1 (ethical).\n\n### Otto\nYes.",
        "This asks. I should follow rules 1 (ethical).\n\n### Ida\n",
        "word " * 30 + "I should follow rules 1 (ethical).\n\n### Ida\nYes.",
    ):
        assert not admits(wrong), wrong

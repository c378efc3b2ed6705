"""The committed toy pack is what its script writes, lints clean, and ships suites that the evaluation can read."""

from pathlib import Path

from tokenizers import Tokenizer

import hamlet.pack
from selfalign_stages import builtin
from selfalign_stages.evaluation import suites
from selfalign_stages.pack import lint, rendering
from selfalign_stages.pack.loading import load

CONTEXT = 1024
QUERY_AND_ANSWER_TOKENS = 220


def test_the_committed_pack_is_what_its_script_writes(tmp_path: Path) -> None:
    hamlet.pack.main(tmp_path)
    committed = builtin.folder("packs", "hamlet")
    assert {f.name: f.read_text() for f in tmp_path.iterdir()} == {f.name: f.read_text() for f in committed.iterdir()}


def test_the_pack_lints_without_a_finding_and_its_prefix_leaves_room_to_answer() -> None:
    pack = load("builtin://hamlet")
    tokenizer = Tokenizer.from_file(str(builtin.folder("models", "hamlet") / "tokenizer.json"))

    def count(text: str) -> int:
        return len(tokenizer.encode(text).ids)

    findings = lint.lint(pack, assistant_name="Juniper", count_tokens=count, context_length=CONTEXT, max_tokens=160)
    assert findings == []
    assert count(rendering.self_align_prefix(pack, assistant_name="Juniper")) <= CONTEXT - QUERY_AND_ANSWER_TOKENS


def test_every_principle_is_shown_and_one_exemplar_has_several_turns() -> None:
    pack = load("builtin://hamlet")
    shown = {rule for exemplar in pack.exemplars for turn in exemplar.turns for rule in turn.rules}
    assert shown == {principle.name for principle in pack.principles}
    assert any(len(exemplar.turns) > 1 for exemplar in pack.exemplars)
    assert any("ethical" in turn.rules for exemplar in pack.exemplars for turn in exemplar.turns)


def test_each_suite_has_sixty_items_or_more_of_every_category() -> None:
    pack = load("builtin://hamlet")
    choices = suites.parse_hhh(suites.read_texts("pack://hhh", pack))
    truths = suites.parse_truthfulqa(suites.read_texts("pack://truthfulqa", pack))
    checks = suites.parse_adherence(suites.read_texts("pack://adherence", pack))
    assert min(len(choices), len(truths), len(checks)) >= 60
    assert {choice.category for choice in choices} == {"harmless", "helpful", "honest", "other"}
    assert {check.principle for check in checks} == {principle.name for principle in pack.principles}


def test_truthfulqa_items_list_the_truth_first_and_three_falsehoods() -> None:
    for truth in suites.parse_truthfulqa(suites.read_texts("pack://truthfulqa", load("builtin://hamlet"))):
        assert list(truth.mc1.values()) == [1, 0, 0, 0], truth

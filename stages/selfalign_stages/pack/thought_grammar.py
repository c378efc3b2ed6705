r"""The grammar under which a base model writes its thought when `stages.selfAlign.thought` is constrained.

EBNF in the dialect of xgrammar, which vLLM uses for structured outputs. Only the thought is bound: its classification
has a bounded length, and it cites rules that the pack has, each by its own number and name. The answer is free.

The bound is written as nested rules, one per word. Counted repetitions of characters ([^\n]{20,240}) make vLLM's
compiler for regular expressions time out, and are slow as EBNF too: with Gemma 3's vocabulary of 262,144 xgrammar 0.2.8
takes 67 s for {1,200}, 57 s for 200 nested characters and 4 s for 24 nested words, once per step.
"""

import json

from selfalign_stages.chat import assistant_heading
from selfalign_stages.pack.model import Pack
from selfalign_stages.pack.rendering import RULES_CUE

WORDS = 24
"""Most words of a classification; the exemplars of the built-in packs have at most 22."""


def thought_grammar(pack: Pack, *, assistant_name: str) -> str:
    """Writes the grammar of a thought and its answer; `thoughts.parse` reads every text that it admits.

    Args:
        pack: its rules may be cited, as many in one thought as in the exemplar that cites most.
        assistant_name: name in the heading of the answer.
    """
    most = max(len(turn.rules) for turn in pack.turns)
    rules = [_terminal(f"{principle.number} ({principle.name})") for principle in pack.principles]
    cue, end = _terminal(f" {RULES_CUE} "), _terminal(f".\n\n{assistant_heading(assistant_name)}\n")
    further = '(", " rule)? ' * (most - 1)
    lines = [
        f"root ::= words{WORDS} {cue} rule {further}{end} answer",
        f"rule ::= {' | '.join(rules)}",
        *(f'words{left} ::= word (" " words{left - 1})?' for left in range(WORDS, 1, -1)),
        "words1 ::= word",
        r"word ::= [^\n ]+",
        r"answer ::= [^\n ] [^\0]*",
    ]
    return "\n".join(lines) + "\n"


def _terminal(text: str) -> str:
    """A terminal symbol: quotes, backslashes and control characters are escaped as in JSON."""
    return json.dumps(text, ensure_ascii=False)

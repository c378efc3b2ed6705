"""The prompt of each model variant: principles and exemplars for the prompted base, the served format for all others.

The tuned variants are evaluated on exactly the text that the saved chat template produces, or the scores would
describe a model that nobody serves. The unprompted base sees the same text, as the baseline of tuning.
"""

from dataclasses import dataclass
from functools import cached_property

from selfalign_stages import chat
from selfalign_stages.contract.parameters import Thought, Variant
from selfalign_stages.pack import rendering, thoughts
from selfalign_stages.pack.model import Pack
from selfalign_stages.pack.thought_grammar import thought_grammar


@dataclass(frozen=True)
class VariantPrompts:
    """Renders prompts for one variant and reads its completions.

    Attributes:
        pack: principles and exemplars, and the frame of choice queries.
        variant: "base", "prompted", "engraved" or "cloned".
        assistant_name: heading of the assistant's turns.
        thought: how the prompted base thinks, as in self-alignment (`thoughts.resolve`); unused for the others.
        trained_thoughts: whether this variant was trained to write a thought in tags before every answer.
    """

    pack: Pack
    variant: Variant
    assistant_name: str
    thought: Thought = "free"
    trained_thoughts: bool = False

    @property
    def thinks(self) -> bool:
        """Whether generated text begins with an internal thought under a heading, as principles and exemplars ask."""
        return self.variant == "prompted" and self.thought != "none"

    @cached_property
    def grammar(self) -> str | None:
        """EBNF that generated text follows; None: none."""
        constrained = self.thinks and self.thought == "constrained"
        return thought_grammar(self.pack, assistant_name=self.assistant_name) if constrained else None

    @cached_property
    def prefix(self) -> str:
        """The fixed text before every query of the prompted base; empty for the others."""
        if self.variant != "prompted":
            return ""
        return rendering.self_align_prefix(self.pack, assistant_name=self.assistant_name, thoughts=self.thinks)

    def open_answer(self, query: str) -> str:
        """Returns a prompt that ends where the answer begins, for scoring candidate answers.

        The prompted base gets no internal thought here: a candidate's probability would depend on a sampled thought.
        A variant that was trained on thoughts gets an empty one, the form of its training rows without a thought.
        """
        if self.variant == "prompted":
            return rendering.direct_prompt(self.prefix, query, assistant_name=self.assistant_name)
        prompt = chat.question(query, assistant_name=self.assistant_name)
        return prompt + chat.with_thought("", thought="") if self.trained_thoughts else prompt

    def generation(self, query: str) -> str:
        """Returns a prompt to generate from; a variant that thinks continues with its internal thought."""
        if self.thinks:
            return rendering.self_align_prompt(self.prefix, query, assistant_name=self.assistant_name)
        if self.trained_thoughts:
            return chat.question(query, assistant_name=self.assistant_name)
        return self.open_answer(query)

    def answer(self, text: str) -> tuple[str, bool]:
        """Extracts the answer from a completion; its thought is neither judged nor counted.

        Returns:
            The answer, and whether the completion was well-formed: a variant that thinks may fail to think or to
            answer, in which case the answer is empty.
        """
        if self.trained_thoughts:
            _, answer = chat.split_thought(text) or ("", "")
            return answer, bool(answer)
        if not self.thinks:
            return text.strip(), True
        parsed = thoughts.parse(text, pack=self.pack, assistant_name=self.assistant_name)
        return ("", False) if isinstance(parsed, str) else (parsed.answer, True)

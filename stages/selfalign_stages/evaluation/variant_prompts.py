"""How each variant is asked: the prompted base under principles and exemplars, all others in the served format."""

from dataclasses import dataclass
from functools import cached_property

from selfalign_stages import chat
from selfalign_stages.contract.parameters import Variant
from selfalign_stages.pack import rendering, thoughts
from selfalign_stages.pack.model import Pack


@dataclass(frozen=True)
class VariantPrompts:
    """Prompts of one variant."""

    pack: Pack
    variant: Variant
    assistant_name: str

    @cached_property
    def prefix(self) -> str:
        """The fixed text before every query of the prompted base; empty for the others."""
        if self.variant != "prompted":
            return ""
        return rendering.self_align_prefix(self.pack, assistant_name=self.assistant_name)

    def open_answer(self, query: str) -> str:
        """A prompt that ends where the answer begins: for candidates to be scored."""
        if self.variant == "prompted":
            return rendering.direct_prompt(self.prefix, query, assistant_name=self.assistant_name)
        return chat.question(query, assistant_name=self.assistant_name)

    def generation(self, query: str) -> str:
        """A prompt to generate from; the prompted base thinks first."""
        if self.variant == "prompted":
            return rendering.self_align_prompt(self.prefix, query, assistant_name=self.assistant_name)
        return self.open_answer(query)

    def answer(self, text: str) -> tuple[str, bool]:
        """The answer within a completion, and whether the completion was well-formed."""
        if self.variant != "prompted":
            return text.strip(), True
        parsed = thoughts.parse(text, pack=self.pack, assistant_name=self.assistant_name)
        return ("", False) if isinstance(parsed, str) else (parsed.answer, True)

"""Whether declining is justified, where the answer has no thought that cites a rule: by what the prompt was made from.

A topic-guided question inherits `limit` from its question type. A self-instruct task inherits "never" if every seed
task that its prompt showed has it: a base model continues a list in kind. Everything else is open.
"""

from collections.abc import Mapping
from typing import Self

from selfalign_stages.contract.rows import Prompt
from selfalign_stages.pack.model import Limit, Pack


class Lineage:
    """The limits that prompts inherit from a pack.

    Args:
        types: limit by question type.
        seeds: limit by id of a seed task.
    """

    def __init__(self, *, types: Mapping[str, Limit], seeds: Mapping[str, Limit]) -> None:
        self._types, self._seeds = types, seeds

    @classmethod
    def of(cls, pack: Pack) -> Self:
        """Reads the question types and seed tasks of a pack."""
        return cls(
            types={kind.type: kind.limit for kind in pack.question_types},
            seeds={task.id: task.limit for task in pack.seed_tasks},
        )

    def limit(self, prompt: Prompt) -> Limit:
        """Whether a good answer to the prompt declines or names a limit: expected, never or open."""
        if prompt.type is not None:
            return self._types.get(prompt.type, "open")
        # Machine-made tasks among the demonstrations have no limit of their own; they descend from seed tasks as well.
        inherited = {self._seeds[seed] for seed in prompt.seeds if seed in self._seeds}
        return "never" if inherited == {"never"} else "open"

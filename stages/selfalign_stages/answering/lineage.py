"""Which rules apply, and whether declining is justified, where the answer has no thought that says so: by origin.

A topic-guided question inherits `limit` and `rules` from its question type. A self-instruct task inherits "never" if
every seed task that its prompt showed has it: a base model continues a list in kind. Everything else is open.

The choice of rules stands in for the thought of the paper's method (section 3.2), in which the model itself picks the
principles for a query. Asked for it, a base below one billion parameters picks the commonest rule; and shown exemplars
of all limits at once it declines half of what it could answer, for reasons of another rule.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Self

from selfalign_stages.contract.rows import Prompt
from selfalign_stages.pack.model import Limit, Pack


class Lineage:
    """The limits that prompts inherit from a pack.

    Args:
        types: limit by question type.
        seeds: limit by id of a seed task.
        rules: names of the rules by question type; none where they are not known.
    """

    def __init__(
        self,
        *,
        types: Mapping[str, Limit],
        seeds: Mapping[str, Limit],
        rules: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    ) -> None:
        self._types, self._seeds, self._rules = types, seeds, rules

    @classmethod
    def of(cls, pack: Pack) -> Self:
        """Reads the question types and seed tasks of a pack."""
        return cls(
            types={kind.type: kind.limit for kind in pack.question_types},
            seeds={task.id: task.limit for task in pack.seed_tasks},
            rules={kind.type: kind.rules for kind in pack.question_types},
        )

    def rules(self, prompt: Prompt) -> tuple[str, ...] | None:
        """Names of the rules that apply besides those without limits; None: any may."""
        if self.limit(prompt) == "never":
            return ()
        return self._rules.get(prompt.type or "") or None

    def limit(self, prompt: Prompt) -> Limit:
        """Whether a good answer to the prompt declines or names a limit: expected, never or open."""
        if prompt.type is not None:
            return self._types.get(prompt.type, "open")
        # Machine-made tasks among the demonstrations have no limit of their own; they descend from seed tasks as well.
        inherited = {self._seeds[seed] for seed in prompt.seeds if seed in self._seeds}
        return "never" if inherited == {"never"} else "open"

"""List entries that occur twice, where the second one has no effect or would undo the first. Pure.

The schema cannot refuse them: uniqueItems is not allowed in a CustomResourceDefinition, and a list of type `set` would
be merged entry by entry in a server-side apply by two managers, where these lists are meant as a whole.
"""

from collections.abc import Iterator, Sequence

from selfalign_operator.api.run import SelfAlignRun


def duplicates(run: SelfAlignRun) -> Iterator[tuple[str, str]]:
    """Yields path and value of each entry that repeats an earlier one of its list.

    Files with rows of one's own may be listed twice: prompts are deduplicated, and training rows weigh double.
    """
    stages = run.spec.stages
    lists: dict[str, Sequence[str]] = {
        "spec.image.formats": run.spec.image.formats,
        "spec.stages.evaluation.gates": stages.evaluation.gates,
        "spec.stages.engraving.targets": stages.engraving.targets or (),
        "spec.stages.cloning.training.targets": stages.cloning.training.targets or (),
    }
    for path, entries in lists.items():
        for position, entry in enumerate(entries):
            if entry in entries[:position]:
                yield f"{path}[{position}]", entry

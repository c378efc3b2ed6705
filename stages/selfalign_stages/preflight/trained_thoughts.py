"""Refuses a training on thoughts that could not teach any: there are none, or their tags are lost.

Both would show at the evaluation alone, after everything has been paid for: as a model that writes empty thoughts, or
as thoughts that are judged as if they were answers.
"""

from selfalign_stages import chat
from selfalign_stages.base_model import selection, tokenizing
from selfalign_stages.base_model.inspection import Inspection
from selfalign_stages.contract.parameters import TrainParameters
from selfalign_stages.contract.task import PreflightTask
from selfalign_stages.pack.model import Pack
from selfalign_stages.preflight.findings import Findings


def check(pack: Pack, base: Inspection | None, task: PreflightTask, findings: Findings) -> None:
    """Checks the trainings of a run that are on thoughts.

    Args:
        pack: the whole pack, whose thoughts the base model imitates.
        base: the base model; None if it cannot be read or is unfit: its tokenizer is then not checked.
        task: has the trainings.
        findings: receives the problems, at the field that asks for thoughts.
    """
    for step in task.steps:
        if step.kind != "train" or not TrainParameters.model_validate(step.resolved()).thoughts:
            continue
        field = f"spec.stages.{step.stage}.thoughts"
        if not pack.has_thoughts:
            findings.problem(
                field,
                True,
                f"pack {pack.header.name} has no exemplars with thoughts, so that the base model writes none to train "
                "on: set it to false, or use a pack with thoughts",
            )
        lost = tokenizing.altered(base.small_files[selection.TOKENIZER], chat.THOUGHT_TAGS) if base else []
        if lost:
            findings.problem(
                field,
                True,
                f"the base model's tokenizer drops {' and '.join(lost)} from what a model writes, as special tokens, "
                "so that nobody could tell a thought from the answer: set it to false, or use another base model",
            )

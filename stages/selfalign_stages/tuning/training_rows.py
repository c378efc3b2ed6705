"""Reads the rows of a training: the kept answers, of which some are held out, the pack's identity rows, and rows of
one's own that are mixed in.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfalign_stages.artifacts import reading
from selfalign_stages.contract.counts import Counts
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.model import sha256_hex
from selfalign_stages.contract.parameters import TrainParameters
from selfalign_stages.contract.rows import Answer
from selfalign_stages.evaluation import suites
from selfalign_stages.pack import parts
from selfalign_stages.redteaming.prompts import CONTAMINATION
from selfalign_stages.step.context import StepContext
from selfalign_stages.tuning import examples, extra_rows, mixing
from selfalign_stages.tuning.examples import Example, Pair

VALIDATION = "validation"
"""Reason in the counts of rows that validation reads and training does not."""


@dataclass(frozen=True)
class TrainingRows:
    """The tokenised rows of a training.

    Attributes:
        training: rows to train on, shuffled.
        validation: rows held out from training.
        left_out: rows that are neither, by reason (see `examples.encode` and `mixing.mix`).
    """

    training: list[Example]
    validation: list[Example]
    left_out: dict[str, int]

    def counts(self) -> Counts:
        """Counts all rows; those that are trained on are kept."""
        rejected = self.left_out | ({VALIDATION: len(self.validation)} if self.validation else {})
        return Counts(rows=len(self.training) + sum(rejected.values()), kept=len(self.training), rejected=rejected)


def read(context: StepContext, settings: TrainParameters, tokenizer: Any) -> TrainingRows:
    """Tokenises the kept rows of the input `answers`, the pack's identity rows and the files of one's own.

    Args:
        context: the step; rejected rows of its input are not read.
        settings: assistant name, repeats of identity rows, length limit, shares of held-out and of extra rows.
        tokenizer: the base model's tokenizer, which must be a fast one: it reports character offsets.

    Raises:
        BadInput: no row is left to train on, or none to validate with although validationShare asks for it (NoRows).
        StageError: a file of one's own cannot be read (see `own_rows.reading.read`).
    """
    pack = parts.read(context.task)
    seed, name = context.task.seed, settings.assistant_name
    manifest = reading.require_manifest(context.store, context.task.inputs["answers"])
    answers = list(reading.rows(context.store, manifest, Answer))
    learned, kept_back = split(answers, share=settings.validation_share, seed=seed)
    left_out = Counter[str]()

    def encode(pairs: Sequence[Pair]) -> list[Example]:
        encoded, dropped = examples.encode(
            pairs,
            lambda text: _with_offsets(tokenizer, text),
            assistant_name=name,
            eos_token=tokenizer.eos_token,
            max_length=settings.max_length,
            thoughts=settings.thoughts,
        )
        left_out.update(dropped)
        return encoded

    of_answers = encode(examples.answer_pairs(learned))
    identity = encode(examples.identity_pairs(pack, assistant_name=name, repeats=settings.identity_repeats))
    validation = encode(examples.answer_pairs(kept_back))
    files = extra_rows.read(context.task, scratch=context.scratch)
    extra, not_mixed = mixing.mix(
        files,
        encode,
        shares=settings.extra_rows or (),
        answers=len(of_answers),
        held_out=suites.held_out_questions(context.task.leaves, pack) if files else [],
        threshold=CONTAMINATION,
        seed=seed,
    )
    left_out.update(not_mixed)
    training = examples.shuffled([*of_answers, *identity, *extra], seed=seed)
    rows = TrainingRows(training, validation, dict(left_out))
    _require_rows(rows, settings, learned=len(of_answers), answers=len(answers), id_=context.task.id)
    return rows


def split(rows: Sequence[Answer], *, share: float | None, seed: int) -> tuple[list[Answer], list[Answer]]:
    """Divides rows into those to train on and those held out. All answers to one prompt go the same way.

    A prompt is chosen by a hash of its id and the run's seed, not by a draw: the choice is then the same in a rerun and
    in a resumed process, whatever the order of the rows, and mostly the same when rows are added. Engraving and cloning
    answer the same prompts, and hold out mostly the same ones.

    Args:
        rows: answers.
        share: fraction of the prompts that are held out, rounded to whole prompts; None: none.
        seed: spec.seed.

    Returns:
        The rows to train on and the rows held out, both in the order of `rows`.
    """
    prompts = sorted({row.prompt.id for row in rows}, key=lambda id_: sha256_hex(f"{seed}/{id_}".encode()))
    held_out = set(prompts[: round(len(prompts) * (share or 0))])
    return (
        [row for row in rows if row.prompt.id not in held_out],
        [row for row in rows if row.prompt.id in held_out],
    )


def _with_offsets(tokenizer: Any, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    encoded = tokenizer(text, return_offsets_mapping=True)
    return encoded["input_ids"], encoded["offset_mapping"]


def _require_rows(rows: TrainingRows, settings: TrainParameters, *, learned: int, answers: int, id_: str) -> None:
    """Refuses a training without rows, and a validation without rows, which would look like one that was measured."""
    too_long = f"raise training.maxLength ({settings.max_length} tokens)"
    share = settings.validation_share
    # Identity rows alone teach a name, and nothing that validation could measure.
    if not rows.training or share is not None and not learned:
        kind = "answer" if rows.training else "row"
        raise BadInput(
            f"{id_}: no {kind} is left to train on; left out: {rows.counts().rejected}. If they are too-long, "
            f"{too_long}; if they are for validation, lower training.validationShare",
            reason="NoRows",
        )
    if share is not None and not rows.validation:
        raise BadInput(
            f"{id_}: training.validationShare {share:g} of {answers} answers leaves no row to validate with; left out: "
            f"{rows.left_out}. Raise it or write 0; if rows are too-long, {too_long}",
            reason="NoRows",
        )

"""Step instructions: general self-instruct from seed tasks and, after round one, machine-made ones (paper section 3.1).

A prompt shows six seed tasks and two machine-made ones, as in self-instruct (arXiv 2212.10560): seeds keep the
quality, machine-made tasks widen the range. EOS is ignored, because a base model tends to end a list after a few
tasks; every completion is therefore a list that is cut somewhere, and its last item is dropped and counted.
"""

import math
from collections.abc import Iterable, Sequence
from random import Random

from selfalign_stages.artifacts import writing
from selfalign_stages.contract.counts import Counts
from selfalign_stages.contract.graph import BASE_MODEL
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import InstructionsParameters
from selfalign_stages.contract.rows import Draft, Prompt
from selfalign_stages.engine.interface import seed_for
from selfalign_stages.engine.open_engine import EngineLoader, LazyEngine, open_engine
from selfalign_stages.pack import parts
from selfalign_stages.pack.model import Pack, SeedTask
from selfalign_stages.pack.rendering import task_list
from selfalign_stages.redteaming import lists
from selfalign_stages.redteaming.rounds import generate_drafts
from selfalign_stages.step.context import StepContext
from selfalign_stages.text import prompt_filters, rouge

CHUNK_SIZE = 32
"""Completions per commit; small, because each runs to the token limit. Changing it changes the artifact's files: raise
the step's version with it."""
FIRST_YIELD = 4.0
"""Tasks that a completion is expected to add, before the first round has measured it."""
LOWEST_YIELD = 0.5
"""Bounds a round at twice the tasks that it is to add, however few tasks earlier rounds kept per completion."""
MARGIN = 1.15
"""Completions requested over the estimate, because duplicates grow more frequent from round to round."""


def run(context: StepContext, *, load: EngineLoader = open_engine) -> Manifest:
    """Runs rounds until enough tasks are kept or the rounds are used up; publishes all tasks with their verdicts."""
    settings = InstructionsParameters.model_validate(context.task.parameters)
    pack = parts.read(context.task)
    engine = LazyEngine(context, model=BASE_MODEL, load=load)
    drafts: list[Draft] = []  # of all rounds: collect_tasks judges them together
    tasks: list[Prompt] = []
    malformed = 0
    for number in range(1, settings.rounds + 1):
        total = completions_needed(kept=len(_kept(tasks)), drafts=len(drafts), settings=settings, number=number)
        if total == 0:
            break
        context.progress.begin(total, unit=f"completions of round {number}")
        drafts += _round(context, engine, pack, settings, machine_tasks=_kept(tasks), number=number, total=total)
        tasks, malformed = collect_tasks(drafts, pack=pack, settings=settings)
    counts = writing.count(tasks)
    # Cut and malformed items have no row of their own; the counts include them, so that none disappears silently.
    counts = Counts(
        rows=counts.rows + malformed,
        kept=counts.kept,
        rejected=counts.rejected | ({"cut": malformed} if malformed else {}),
    )
    return writing.publish(context, files=writing.row_parts(tasks, size=4096), counts=counts)


def completions_needed(*, kept: int, drafts: int, settings: InstructionsParameters, number: int) -> int:
    """Returns the number of completions of a round: its share of the missing tasks, by the yield measured so far.

    Args:
        kept: tasks kept in earlier rounds.
        drafts: completions of earlier rounds.
        settings: number of tasks and rounds.
        number: of the round, from 1.

    Returns:
        0 when enough tasks are kept.
    """
    missing = settings.instructions - kept
    if missing <= 0:
        return 0
    kept_per_completion = max(kept / drafts, LOWEST_YIELD) if drafts else FIRST_YIELD
    rounds_left = settings.rounds - number + 1
    return math.ceil(missing / rounds_left / kept_per_completion * MARGIN)


def collect_tasks(drafts: Iterable[Draft], *, pack: Pack, settings: InstructionsParameters) -> tuple[list[Prompt], int]:
    """Parses and judges the tasks of all drafts so far.

    All rounds are judged together: whether a task is a near-duplicate depends on every task before it.

    Args:
        drafts: of all rounds, in order.
        pack: its seed tasks count as earlier tasks.
        settings: threshold of near-duplicates (ROUGE-L F-measure).

    Returns:
        Every task with its verdict, and the number of cut or malformed items, which have no row.
    """
    tasks, malformed = [], 0
    for draft in drafts:
        parsed, malformed_in_draft = lists.parse_tasks(draft, first=len(draft.seeds) + 1)
        malformed += malformed_in_draft
        tasks += [
            Prompt(
                id=f"{draft.id}-{place}",
                instruction=instruction,
                input=input,
                source="self-instruct",
                seeds=draft.seeds,
                reject=_reject_reason(instruction, input, language=pack.header.language),
            )
            for place, (instruction, input) in enumerate(parsed)
        ]
    passing = _kept(tasks)
    known = [task.instruction for task in pack.seed_tasks]
    verdicts = rouge.duplicates([task.instruction for task in passing], known=known, threshold=settings.dedup_rouge_l)
    duplicates = {task.id for task, duplicate in zip(passing, verdicts, strict=True) if duplicate}
    judged = [task.model_copy(update={"reject": "duplicate"}) if task.id in duplicates else task for task in tasks]
    return judged, malformed


def demonstrations(
    pack: Pack, machine_tasks: Sequence[Prompt], random: Random, *, settings: InstructionsParameters
) -> list[SeedTask]:
    """Selects the tasks that a prompt shows.

    Args:
        pack: provides the seed tasks.
        machine_tasks: kept tasks of earlier rounds; none in round one.
        random: selects and orders the tasks.
        settings: numbers of seed and machine-made tasks.

    Returns:
        Seed and machine-made tasks in random order, so that a position does not tell them apart.
    """
    seeds = random.sample(pack.seed_tasks, min(settings.seed_demos, len(pack.seed_tasks)))
    machine = random.sample(machine_tasks, min(settings.machine_demos, len(machine_tasks)))
    shown = [*seeds, *(SeedTask(id=task.id, instruction=task.instruction, input=task.input) for task in machine)]
    random.shuffle(shown)
    return shown


def _reject_reason(instruction: str, input: str, *, language: str) -> str | None:
    return prompt_filters.reject_reason(instruction, input, language=language) if instruction else "empty"


def _kept(tasks: Sequence[Prompt]) -> list[Prompt]:
    return [task for task in tasks if task.reject is None]


def _round(
    context: StepContext,
    engine: LazyEngine,
    pack: Pack,
    settings: InstructionsParameters,
    *,
    machine_tasks: Sequence[Prompt],
    number: int,
    total: int,
) -> list[Draft]:
    """Generates a round: every completion continues a list of demonstrations of its own."""
    key, seed = context.task.key, context.task.seed

    # Selected anew at each call instead of kept: equal by its seed, and a round has up to 10^5 records.
    def shown(record: int) -> list[SeedTask]:
        random = Random(seed_for(key, f"demos-{number}-{record}", seed=seed))
        return demonstrations(pack, machine_tasks, random, settings=settings)

    return generate_drafts(
        context,
        engine,
        settings,
        number=number,
        total=total,
        chunk_size=CHUNK_SIZE,
        id_prefix="task",
        prompt=lambda record: task_list(pack.frames.self_instruct, shown(record)),
        seeds=lambda record: tuple(task.id for task in shown(record)),
        ignore_eos=True,
    )

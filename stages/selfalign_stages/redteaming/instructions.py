"""Step instructions: general self-instruct from seed tasks and, after round one, machine-made ones.

Six demonstrations are seeds and two are machine-made, as in self-instruct. The end token is ignored, so a completion
is a list cut somewhere: its last item is dropped and counted.
"""

import math
from collections.abc import Iterable, Sequence
from random import Random

from selfalign_stages.artifacts import writing
from selfalign_stages.artifacts.chunks import Chunks
from selfalign_stages.contract.graph import BASE_MODEL
from selfalign_stages.contract.manifest import Counts, Manifest
from selfalign_stages.contract.parameters import InstructionsParameters
from selfalign_stages.contract.rows import Draft, Prompt
from selfalign_stages.engine import generation
from selfalign_stages.engine.interface import Completion, Decoding, Request, seed_for
from selfalign_stages.engine.open_engine import LazyEngine, open_engine
from selfalign_stages.pack import parts
from selfalign_stages.pack.model import Pack, SeedTask
from selfalign_stages.pack.rendering import task_list
from selfalign_stages.redteaming import lists
from selfalign_stages.step.context import StepContext
from selfalign_stages.text import prompt_filters, rouge

CHUNK = 32
FIRST_YIELD = 4.0
"""Kept tasks expected of a completion before any was seen."""
MARGIN = 1.15


def run(context: StepContext) -> Manifest:
    """Rounds of completions until enough tasks are kept; a round's drafts are in the store before the next begins."""
    settings = InstructionsParameters.model_validate(context.task.parameters)
    pack = parts.read(context.task)
    engine = LazyEngine(lambda: open_engine(context, model=BASE_MODEL))
    drafts: list[Draft] = []
    tasks: list[Prompt] = []
    for number in range(1, settings.rounds + 1):
        wanted = completions(kept=_kept(tasks), drafts=len(drafts), settings=settings, number=number)
        if wanted == 0:
            break
        context.progress.begin(wanted, unit=f"completions of round {number}")
        drafts += _round(context, engine, pack, settings, known=tasks, number=number, total=wanted)
        tasks, torn = collect(drafts, pack=pack, settings=settings)
    counted = writing.count(tasks)
    counts = Counts(
        rows=counted.rows + torn, kept=counted.kept, rejected=counted.rejected | ({"cut": torn} if torn else {})
    )
    return writing.publish(context, files=writing.row_parts(tasks, size=4096), counts=counts)


def completions(*, kept: int, drafts: int, settings: InstructionsParameters, number: int) -> int:
    """Completions of this round: its share of what is still wanted, by the yield seen so far."""
    left = settings.instructions - kept
    if left <= 0:
        return 0
    seen = max(kept / drafts, 0.5) if drafts else FIRST_YIELD
    rounds_left = settings.rounds - number + 1
    return math.ceil(left / rounds_left / seen * MARGIN)


def collect(drafts: Iterable[Draft], *, pack: Pack, settings: InstructionsParameters) -> tuple[list[Prompt], int]:
    """All tasks of the drafts with their verdicts, and how many items were cut or torn."""
    found, torn_items = [], 0
    for draft in drafts:
        tasks, torn = lists.tasks(draft, first=len(draft.seeds) + 1)
        torn_items += torn
        found += [
            Prompt(
                id=f"{draft.id}-{place}",
                instruction=instruction,
                input=input,
                source="self-instruct",
                seeds=draft.seeds,
                reject=prompt_filters.reject_reason(instruction, input) if instruction else "empty",
            )
            for place, (instruction, input) in enumerate(tasks)
        ]
    passing = [task for task in found if task.reject is None]
    known = [task.instruction for task in pack.seed_tasks]
    near = rouge.duplicates([task.instruction for task in passing], known=known, threshold=settings.dedup_rouge_l)
    doubles = {task.id for task, double in zip(passing, near, strict=True) if double}
    return [t.model_copy(update={"reject": "duplicate"}) if t.id in doubles else t for t in found], torn_items


def demonstrations(
    pack: Pack, made: Sequence[Prompt], random: Random, *, settings: InstructionsParameters
) -> list[SeedTask]:
    """Seed and machine-made tasks in random order."""
    seeds = random.sample(pack.seed_tasks, min(settings.seed_demos, len(pack.seed_tasks)))
    machine = random.sample(made, min(settings.machine_demos, len(made)))
    shown = [*seeds, *(SeedTask(id=task.id, instruction=task.instruction, input=task.input) for task in machine)]
    random.shuffle(shown)
    return shown


def _kept(tasks: Sequence[Prompt]) -> int:
    return sum(task.reject is None for task in tasks)


def _round(
    context: StepContext,
    engine: LazyEngine,
    pack: Pack,
    settings: InstructionsParameters,
    *,
    known: Sequence[Prompt],
    number: int,
    total: int,
) -> list[Draft]:
    made = [task for task in known if task.reject is None]
    key, seed = context.task.key, context.task.seed
    chunks = Chunks(context, Draft, total=total, size=CHUNK, stem=f"round-{number:02d}")

    def demos(record: int) -> list[SeedTask]:
        random = Random(seed_for(key, f"demos-{number}-{record}", seed=seed))
        return demonstrations(pack, made, random, settings=settings)

    def request(record: int) -> Request:
        prompt = task_list(pack.frames.self_instruct, demos(record))
        return Request(prompt=prompt, seed=seed_for(key, f"{number}-{record}", seed=seed))

    def row(record: int, completion: Completion) -> Draft:
        return Draft(
            id=f"task-{number}-{record}",
            seeds=tuple(task.id for task in demos(record)),
            text=completion.text,
            finish_reason=completion.finish_reason,
        )

    decoding = Decoding(
        temperature=settings.sampling.temperature,
        top_p=settings.sampling.top_p,
        max_tokens=settings.sampling.max_tokens,
        ignore_end=True,
    )
    generation.run(
        context,
        engine.get,
        chunks,
        request=request,
        row=row,
        decoding=decoding,
        deterministic=settings.deterministic,
    )
    return list(chunks.rows())

"""Step answers: the base model, under principles and exemplars, thinks and then answers (paper section 3.2).

This is where the principles enter the data: the prompt holds all principles and all exemplars of the pack, then the
query, and ends open at an internal thought, in which the model names the principles that apply. Thought and principle
numbers are kept with each row, although training drops them, so that the use of each principle can be measured.
"""

from collections.abc import Callable

from selfalign_stages.answering import conversation
from selfalign_stages.contract.graph import BASE_MODEL
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import AnswersParameters
from selfalign_stages.contract.rows import Answer, Prompt
from selfalign_stages.engine.interface import Completion
from selfalign_stages.engine.open_engine import EngineLoader, open_engine
from selfalign_stages.pack import parts, rendering, thoughts
from selfalign_stages.pack.leaks import LeakFilter
from selfalign_stages.pack.model import Pack
from selfalign_stages.step.context import StepContext
from selfalign_stages.text.answer_filters import ends_in_loop, unjustified_refusal


def run(context: StepContext, *, load: EngineLoader = open_engine) -> Manifest:
    """Answers every prompt with the base model; see `conversation.answer_all` for errors."""
    settings = AnswersParameters.model_validate(context.task.parameters)
    pack = parts.read(context.task)
    name = settings.assistant_name
    prefix = rendering.self_align_prefix(pack, assistant_name=name)
    return conversation.answer_all(
        context,
        model=BASE_MODEL,
        load=load,
        settings=settings,
        field="stages.selfAlign",
        prompt=lambda prompt: rendering.self_align_prompt(prefix, prompt.text, assistant_name=name),
        judge=judging(pack, assistant_name=name),
    )


def judging(pack: Pack, *, assistant_name: str) -> Callable[[Prompt, Completion], Answer]:
    """Returns the function that turns a completion into a row: thought, rules, answer, and the reject reason if any.

    Leaks of the verbose prompt are not checked: this step does not show it to the model.
    """
    leaks = LeakFilter.of(pack, assistant_name=assistant_name, verbose=False)
    names = {principle.number: principle.name for principle in pack.principles}

    def judge(prompt: Prompt, completion: Completion) -> Answer:
        row = Answer(
            id=prompt.id,
            prompt=prompt,
            answer=completion.text.strip(),
            finish_reason=completion.finish_reason,
            tokens=completion.tokens,
        )
        if completion.finish_reason != "stop":
            return row.model_copy(update={"reject": conversation.UNFINISHED[completion.finish_reason]})
        parsed = thoughts.parse(completion.text, pack=pack, assistant_name=assistant_name)
        if isinstance(parsed, str):
            return row.model_copy(update={"reject": parsed})
        row = row.model_copy(update={"thought": parsed.thought, "rules": parsed.rules, "answer": parsed.answer})
        rules = frozenset(names[number] for number in parsed.rules)
        return row.model_copy(update={"reject": _reject_reason(row, leaks=leaks, rules=rules)})

    return judge


def _reject_reason(row: Answer, *, leaks: LeakFilter, rules: frozenset[str]) -> str | None:
    """Returns why a well-formed answer is rejected; `rules` are the names of the principles that its thought cites."""
    if ends_in_loop(row.answer):
        return "loop"
    if leak := leaks.reason(row.answer, query=row.prompt.text):
        return leak
    if row.answer.casefold() == row.prompt.text.casefold():
        return "echo"
    # Declining is right only under a principle that asks for it; other refusals would teach over-refusal.
    return "unjustified-refusal" if unjustified_refusal(row.answer, rules=rules) else None

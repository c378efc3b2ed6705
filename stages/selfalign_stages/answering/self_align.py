"""Step answers: the base model under principles and exemplars thinks, then answers (paper section 3.2)."""

from collections.abc import Callable

from selfalign_stages.answering import conversation
from selfalign_stages.contract.graph import BASE_MODEL
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import AnswersParameters
from selfalign_stages.contract.rows import Answer, Prompt
from selfalign_stages.engine.interface import Completion
from selfalign_stages.pack import parts, rendering, thoughts
from selfalign_stages.pack.leaks import Leaks
from selfalign_stages.pack.model import Pack
from selfalign_stages.step.context import StepContext
from selfalign_stages.text.answer_filters import loops, unjustified


def run(context: StepContext) -> Manifest:
    """Answers every prompt; rejected answers stay in the rows with their reason."""
    settings = AnswersParameters.model_validate(context.task.parameters)
    pack = parts.read(context.task)
    name = settings.assistant_name
    prefix = rendering.self_align_prefix(pack, assistant_name=name)
    judge = judging(pack, assistant_name=name)
    return conversation.answer_all(
        context,
        model=BASE_MODEL,
        settings=settings,
        stop=rendering.stop_strings(),
        prompt=lambda prompt: rendering.self_align_prompt(prefix, prompt.text, assistant_name=name),
        judge=judge,
    )


def judging(pack: Pack, *, assistant_name: str) -> Callable[[Prompt, Completion], Answer]:
    """Turns a completion into a row: thought, rules, answer, and why it is rejected if it is."""
    leaks = Leaks.of(pack, assistant_name=assistant_name, verbose=False)
    names = {principle.number: principle.name for principle in pack.principles}

    def judge(prompt: Prompt, completion: Completion) -> Answer:
        parsed = thoughts.parse(completion.text, pack=pack, assistant_name=assistant_name)
        row = Answer(
            id=prompt.id,
            prompt=prompt,
            answer=completion.text.strip(),
            finish_reason=completion.finish_reason,
            tokens=completion.tokens,
        )
        if completion.finish_reason != "stop":
            return row.model_copy(update={"reject": conversation.CUT[completion.finish_reason]})
        if isinstance(parsed, str):
            return row.model_copy(update={"reject": parsed})
        row = row.model_copy(update={"thought": parsed.thought, "rules": parsed.rules, "answer": parsed.answer})
        rules = frozenset(names[number] for number in parsed.rules)
        return row.model_copy(update={"reject": _reason(row, leaks=leaks, rules=rules)})

    return judge


def _reason(row: Answer, *, leaks: Leaks, rules: frozenset[str]) -> str | None:
    if loops(row.answer):
        return "loop"
    if leak := leaks.reason(row.answer, query=row.prompt.text):
        return leak
    if row.answer.casefold() == row.prompt.text.casefold():
        return "echo"
    return "unjustified-refusal" if unjustified(row.answer, rules=rules) else None

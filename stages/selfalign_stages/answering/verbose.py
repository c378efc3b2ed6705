"""Step verbose-answers: the engraved teacher answers all prompts at length under the verbose prompt (section 3.4)."""

from selfalign_stages import chat
from selfalign_stages.answering import conversation
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import VerboseAnswersParameters
from selfalign_stages.contract.rows import Answer, Prompt
from selfalign_stages.engine.interface import Completion
from selfalign_stages.pack import parts, rendering
from selfalign_stages.pack.leaks import Leaks
from selfalign_stages.step.context import StepContext
from selfalign_stages.text.answer_filters import loops


def run(context: StepContext) -> Manifest:
    """Answers the prompts of red-teaming, those whose short answer was rejected included (as the reference does)."""
    settings = VerboseAnswersParameters.model_validate(context.task.parameters)
    pack = parts.read(context.task)
    name = settings.assistant_name
    system = pack.fill(pack.frames.verbose.strip(), assistant_name=name)
    teacher = pack.fill(pack.frames.verbose_name.strip(), assistant_name=name)
    leaks = Leaks.of(pack, assistant_name=name)
    return conversation.answer_all(
        context,
        model="teacher",
        settings=settings,
        stop=rendering.stop_strings(),
        prompt=lambda prompt: chat.question(prompt.text, assistant_name=teacher, system=system),
        judge=lambda prompt, completion: judge(prompt, completion, leaks=leaks),
    )


def judge(prompt: Prompt, completion: Completion, *, leaks: Leaks) -> Answer:
    """The row of a completion, with the reason why it is rejected if it is."""
    answer = completion.text.strip()
    reason: str | None
    if completion.finish_reason != "stop":
        reason = conversation.CUT[completion.finish_reason]
    elif not answer:
        reason = "empty"
    else:
        reason = "loop" if loops(answer) else leaks.reason(answer, query=prompt.text)
    return Answer(
        id=prompt.id,
        prompt=prompt,
        answer=answer,
        finish_reason=completion.finish_reason,
        tokens=completion.tokens,
        reject=reason,
    )

"""Step verbose-answers: the engraved model answers all prompts at length, under the verbose prompt (paper section 3.4).

This is context distillation: the teacher answers under a system prompt that asks for depth, the student is trained on
the same answers without it. The prompt must therefore not leak into the answers, and the pack's verbose name heads
the teacher's turns only.
"""

from selfalign_stages import chat
from selfalign_stages.answering import conversation
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import VerboseAnswersParameters
from selfalign_stages.contract.rows import Answer, Prompt
from selfalign_stages.engine.interface import Completion
from selfalign_stages.engine.open_engine import EngineLoader, LazyEngine, open_engine
from selfalign_stages.pack import parts, rendering
from selfalign_stages.pack.leaks import LeakFilter
from selfalign_stages.step.context import StepContext
from selfalign_stages.text.loops import ends_in_loop

MALFORMED_THOUGHT = "malformed-thought"
"""Reject reason of a completion whose thought does not end, or that has a tag of thoughts in its answer."""


def run(context: StepContext, *, load: EngineLoader = open_engine) -> Manifest:
    """Answers all prompts of red-teaming with the engraved model; see `conversation.answer_all` for errors.

    The prompts include those whose short answer was rejected, as in the paper's code: the engraved model may answer
    them well.
    """
    settings = VerboseAnswersParameters.model_validate(context.task.parameters)
    pack = parts.read(context.task)
    name = settings.assistant_name
    system = pack.fill(pack.frames.verbose.strip(), assistant_name=name)
    teacher = pack.fill(pack.frames.verbose_name.strip(), assistant_name=name)
    leaks = LeakFilter.of(pack, assistant_name=name)
    return conversation.answer_all(
        context,
        engine=LazyEngine(context, model="teacher", load=load),
        settings=settings,
        field="stages.cloning.generation",
        prompt=lambda prompt: chat.question(prompt.text, assistant_name=teacher, system=system),
        judge=lambda prompt, completion: judge(prompt, completion, leaks=leaks, thoughts=settings.thoughts),
        metrics=lambda rows: {},
        stop=rendering.stop_strings(),
    )


def judge(prompt: Prompt, completion: Completion, *, leaks: LeakFilter, thoughts: bool = False) -> Answer:
    """Turns a completion into a row, with the reject reason if any.

    Args:
        prompt: the query.
        completion: what the teacher wrote.
        leaks: the pack's leak filter, verbose prompt included.
        thoughts: whether the teacher writes a thought in tags before its answer. It is kept apart from the answer, so
            that the cloned model is trained on the answer alone.
    """
    text = completion.text.strip()
    parts = chat.split_thought(text) if thoughts else ("", text)
    thought, answer = parts or ("", text)
    reason: str | None
    if completion.finish_reason != "stop":
        reason = conversation.UNFINISHED[completion.finish_reason]
    elif parts is None:
        reason = MALFORMED_THOUGHT
    elif not answer:
        reason = "empty"
    else:
        reason = "loop" if ends_in_loop(answer) else leaks.reason(answer, query=prompt.text)
    return Answer(
        id=prompt.id,
        prompt=prompt,
        thought=thought,
        answer=answer,
        finish_reason=completion.finish_reason,
        tokens=completion.tokens,
        reject=reason,
    )

"""Step answers: the base model answers under principles and exemplars, and thinks before if it can (paper section 3.2).

This is where the principles enter the data: the prompt holds all principles and all exemplars of the pack, then the
query, and ends open at an internal thought, in which the model names the principles that apply. Thought and principle
numbers are kept with each row, although training drops them, so that the use of each principle can be measured. A model
that is too small to think answers at once, under exemplars without thoughts (`thought: none`).
"""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import groupby

from selfalign_stages.answering import agreement, conversation, rule_choice, yields
from selfalign_stages.answering.lineage import Lineage
from selfalign_stages.contract.graph import BASE_MODEL
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import AnswersParameters, Thought
from selfalign_stages.contract.rows import Answer, Prompt
from selfalign_stages.engine.interface import Completion
from selfalign_stages.engine.open_engine import EngineLoader, LazyEngine, open_engine
from selfalign_stages.pack import limit_phrases, parts, rendering, thoughts
from selfalign_stages.pack.leaks import LeakFilter
from selfalign_stages.pack.model import Exemplar, Pack
from selfalign_stages.pack.stated_limits import states_limit
from selfalign_stages.pack.thought_grammar import thought_grammar
from selfalign_stages.step.context import StepContext
from selfalign_stages.text.loops import ends_in_loop
from selfalign_stages.text.refusals import refuses


def run(context: StepContext, *, load: EngineLoader = open_engine) -> Manifest:
    """Answers every prompt with the base model; see `conversation.answer_all` for errors."""
    settings = AnswersParameters.model_validate(context.task.parameters)
    pack = parts.read(context.task)
    name, thought = settings.assistant_name, thoughts.resolve(pack, settings.thought)
    engine = LazyEngine(context, model=BASE_MODEL, load=load)

    def limited(answer: Answer) -> bool:
        return states_limit(answer.answer, language=pack.header.language)

    def metrics(rows: Sequence[Answer]) -> dict[str, float]:
        measured = yields.shares(rows, language=pack.header.language, states_limit=limited)
        if thought == "none":
            return measured
        return measured | {"ruleChoice": rule_choice.measure_once(context, engine, pack, assistant_name=name)}

    return conversation.answer_all(
        context,
        engine=engine,
        settings=settings,
        field="stages.selfAlign",
        prompt=prompting(pack, assistant_name=name, thought=thought),
        judge=judging(pack, assistant_name=name, thought=thought),
        metrics=metrics,
        stop=rendering.stop_strings(pack),
        samples=settings.samples,
        attempts=settings.attempts,
        select=_selection(settings, limited),
        grammar=thought_grammar(pack, assistant_name=name) if thought == "constrained" else None,
    )


def _selection(settings: AnswersParameters, limited: agreement.StatesLimit) -> conversation.Selection | None:
    """The choice among samples and the balance of limits and help, as far as the settings ask for them."""
    share = settings.limit_share
    if settings.samples == 1 and share is None:
        return None

    def select(samples: Sequence[Answer]) -> list[Answer]:
        groups = groupby(samples, key=lambda sample: sample.prompt.id)
        rows = [agreement.select(list(group), states_limit=limited) for _, group in groups]
        return rows if share is None else agreement.balance(rows, limit_share=share, states_limit=limited)

    return select


def prompting(pack: Pack, *, assistant_name: str, thought: Thought = "free") -> Callable[[Prompt], str]:
    """Returns the function that renders the text which the model continues with its answer.

    Args:
        pack: rules part of the pack.
        assistant_name: name in the headings.
        thought: none: the text shows the rules and exemplars that the prompt's lineage calls for, and the exemplar of
            its question type last, since the model does not choose among them. Otherwise it shows all exemplars of the
            pack, and ends at the thought.
    """
    lineage = Lineage.of(pack)
    own = {kind.type: kind.exemplar for kind in pack.question_types}

    @cache
    def prefix(rules: tuple[str, ...] | None, last: Exemplar | None) -> str:
        shown = pack if rules is None else pack.under(rules)
        # A pack all of whose exemplars show limits has none for a prompt that calls for help.
        exemplars = (shown.exemplars or pack.exemplars) + (() if last is None else (last,))
        return rendering.self_align_prefix(
            shown.model_copy(update={"exemplars": exemplars}),
            assistant_name=assistant_name,
            thoughts=thought != "none",
        )

    def render(prompt: Prompt) -> str:
        if thought == "none":
            fixed = prefix(lineage.rules(prompt), own.get(prompt.type or ""))
            return rendering.direct_prompt(fixed, prompt.text, assistant_name=assistant_name)
        return rendering.self_align_prompt(prefix(None, None), prompt.text, assistant_name=assistant_name)

    return render


def judging(pack: Pack, *, assistant_name: str, thought: Thought = "free") -> Callable[[Prompt, Completion], Answer]:
    """Returns the function that turns a completion into a row: thought, rules, answer, and the reject reason if any.

    Leaks of the verbose prompt are not checked: this step does not show it to the model.

    Args:
        pack: rules part of the pack.
        assistant_name: name in the headings.
        thought: none: the completion is the answer; the prompt's lineage tells whether it may or must state a limit.
            Otherwise the completion begins with a thought, and the rules that it cites tell.
    """
    leaks = LeakFilter.of(pack, assistant_name=assistant_name, verbose=False)
    lineage = Lineage.of(pack)
    allowing = {principle.number for principle in pack.principles if principle.limits}
    language = pack.header.language

    def misplaced(row: Answer) -> str | None:
        if thought != "none":
            unjustified = refuses(row.answer, language=language) and allowing.isdisjoint(row.rules)
            return agreement.UNJUSTIFIED if unjustified else None
        limited = states_limit(row.answer, language=language)
        match lineage.limit(row.prompt):
            case "never" if limited:
                return agreement.UNJUSTIFIED
            # Where canned refusals alone are recognised, an answer that asks back would count as missing.
            case "expected" if not limited and limit_phrases.is_known(language):
                return agreement.MISSING_LIMIT
            case _:
                return None

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
        if thought == "none":
            if not row.answer:
                return row.model_copy(update={"reject": "empty"})
        else:
            parsed = thoughts.parse(completion.text, pack=pack, assistant_name=assistant_name)
            if isinstance(parsed, str):
                return row.model_copy(update={"reject": parsed})
            row = row.model_copy(update=vars(parsed))
        return row.model_copy(update={"reject": _reject_reason(row, leaks=leaks, misplaced=misplaced)})

    return judge


def _reject_reason(row: Answer, *, leaks: LeakFilter, misplaced: Callable[[Answer], str | None]) -> str | None:
    """Returns why a well-formed answer is rejected."""
    if ends_in_loop(row.answer):
        return yields.LOOP
    if leak := leaks.reason(row.answer, query=row.prompt.text):
        return leak
    if yields.normalised(row.answer) == yields.normalised(row.prompt.text):
        return "echo"
    # Declining is right only where it is asked for; other refusals would teach over-refusal.
    return misplaced(row)

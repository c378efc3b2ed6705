"""Whether a base model can choose rules at all: a test on the pack's own exemplars, left out one by one.

Asked for a rule after solved requests, a model of 270 M parameters cites the same one nearly always, and the answers
follow it. Such thoughts are noise, and no filter of single rows finds them. Here the model scores every rule after the
thought of a request whose rules the pack's author has given; the request's own exemplar is not in the prompt. A rule's
mean over all requests is taken off (calibration, Zhao et al. 2021, arXiv 2102.09690), so that a favourite rule does not
win everywhere. The result is an upper bound: in use, the model writes the classification as well.
"""

from collections.abc import Sequence

from selfalign_stages.artifacts.chunks import Chunks
from selfalign_stages.contract.model import Model
from selfalign_stages.engine.interface import Engine
from selfalign_stages.engine.open_engine import LazyEngine
from selfalign_stages.pack import rendering
from selfalign_stages.pack.model import Pack
from selfalign_stages.step.context import StepContext


class RuleChoice(Model):
    """The stored result of the test."""

    id: str = "rule-choice"
    share: float


def measure_once(context: StepContext, engine: LazyEngine, pack: Pack, *, assistant_name: str) -> float:
    """Returns the share of right choices; a resumed step reads what an earlier attempt measured, without a model."""
    chunks = Chunks(context, RuleChoice, total=1, size=1, stem="rule-choice")
    for index in chunks.missing():
        share = measure(engine.get(), pack, assistant_name=assistant_name)
        chunks.commit(index, [RuleChoice(share=round(share, 4))])
    return next(chunks.rows()).share


def measure(engine: Engine, pack: Pack, *, assistant_name: str) -> float:
    """Returns the share of the exemplars' turns for which the model scores one of the turn's own rules highest.

    By chance it is about the mean number of rules of a turn over the number of principles.

    Args:
        engine: the base model.
        pack: with thoughts.
        assistant_name: fills {assistantName}.
    """
    rules = [f" {principle.number} ({principle.name})" for principle in pack.principles]
    questions = _questions(pack, assistant_name)
    pairs = [(prompt, rule) for prompt, _ in questions for rule in rules]
    scored = [score.logprob for score in engine.score(pairs)]
    scores = [scored[start : start + len(rules)] for start in range(0, len(scored), len(rules))]
    return right_share(calibrated(scores), [right for _, right in questions])


def calibrated(scores: Sequence[Sequence[float]]) -> list[list[float]]:
    """Takes every rule's mean over all questions off its scores.

    Args:
        scores: log-probabilities, one row per question and one column per rule.
    """
    means = [sum(column) / len(column) for column in zip(*scores, strict=True)]
    return [[value - mean for value, mean in zip(row, means, strict=True)] for row in scores]


def right_share(scores: Sequence[Sequence[float]], right: Sequence[frozenset[int]]) -> float:
    """Returns the share of rows whose highest column is a right one; the first column wins a tie.

    Args:
        scores: one row per question and one column per rule.
        right: positions of the right columns, for each row.
    """
    hits = [max(range(len(row)), key=row.__getitem__) in columns for row, columns in zip(scores, right, strict=True)]
    return sum(hits) / len(hits)


def _questions(pack: Pack, assistant_name: str) -> list[tuple[str, frozenset[int]]]:
    """For every turn with a thought: a prompt that ends before the first rule, and the positions of its rules."""
    positions = {principle.name: position for position, principle in enumerate(pack.principles)}
    questions = []
    for number, exemplar in enumerate(pack.exemplars):
        others = (*pack.exemplars[:number], *pack.exemplars[number + 1 :])
        prefix = rendering.self_align_prefix(
            pack.model_copy(update={"exemplars": others}), assistant_name=assistant_name
        )
        for turn in exemplar.turns:
            if turn.thought is None:
                continue
            query = pack.fill(turn.user.strip(), assistant_name=assistant_name)
            thought = pack.fill(turn.thought.strip(), assistant_name=assistant_name)
            prompt = rendering.self_align_prompt(prefix, query, assistant_name=assistant_name)
            right = frozenset(positions[rule] for rule in turn.rules)
            questions.append((f"{prompt}{thought} {rendering.RULES_CUE}", right))
    return questions

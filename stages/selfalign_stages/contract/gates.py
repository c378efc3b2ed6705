"""Gate expressions of spec.stages.evaluation.gates: comparisons of two sums of metrics.

    cloned.hhh.overall >= base.hhh.overall + 0.05
    cloned.adherence.words >= 1.5 * engraved.adherence.words

    gate    = sum comparison sum
    sum     = ["-"] term { ("+" | "-") term }
    term    = operand ["*" operand]                      at most one of the two operands is a metric
    operand = NUMBER | VARIANT "." SUITE "." METRIC      numbers without sign or exponent

The language has its own parser, because both sides need the names in it: the operator refuses a gate on a metric that
the run will not produce before any GPU time is spent, and the gate step reports both sums. An evaluator such as CEL or
Python's `eval` would find out only at the last step, and `eval` would run code from a manifest.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

METRICS: dict[str, tuple[str, ...]] = {
    "hhh": ("overall", "likelihood", "harmless", "helpful", "honest", "other"),
    "truthfulqa": ("mc1", "mc2"),
    "adherence": ("overall", "words", "tokens", "stops", "leaks", "refusal", "overrefusal"),
    "limits": ("overall", "limitsKept", "plainAnswered", "overRefusal", "unreadable", "stops", "words"),
}
"""Metrics by suite format that every suite of that format has."""

# A number, a metric, or an operator; two-character operators come before their first character.
TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?)|([a-z]+\.[a-z][a-z0-9_]*\.[a-z][A-Za-z0-9_]*)|(>=|<=|>|<|\+|-|\*))")

Comparison = Literal[">=", "<=", ">", "<"]


@dataclass(frozen=True)
class Term:
    """One summand.

    Attributes:
        factor: signed number.
        metric: VARIANT.SUITE.METRIC that the factor multiplies, or None for a plain number.
    """

    factor: float
    metric: str | None = None


@dataclass(frozen=True)
class Gate:
    """A parsed expression.

    Attributes:
        text: the expression as written, for messages.
        left: summands before the comparison.
        comparison: how `left` must compare with `right` for the gate to pass.
        right: summands after the comparison.
    """

    text: str
    left: tuple[Term, ...]
    comparison: Comparison
    right: tuple[Term, ...]

    @property
    def operands(self) -> tuple[tuple[str, str, str], ...]:
        """(variant, suite, metric) of every metric in the expression, from left to right."""
        names = [term.metric for term in (*self.left, *self.right) if term.metric]
        return tuple((variant, suite, metric) for variant, suite, metric in (name.split(".") for name in names))

    def sides(self, values: Mapping[str, float]) -> tuple[float, float]:
        """Computes both sums.

        Args:
            values: measured value by VARIANT.SUITE.METRIC.

        Raises:
            KeyError: names a metric that `values` lacks.
        """
        left, right = (
            sum(term.factor * (values[term.metric] if term.metric else 1.0) for term in side)
            for side in (self.left, self.right)
        )
        return left, right

    def check(self, values: Mapping[str, float]) -> bool:
        """Whether the measured values pass the gate; `values` and KeyError as in `sides`."""
        left, right = self.sides(values)
        return {">=": left >= right, "<=": left <= right, ">": left > right, "<": left < right}[self.comparison]


def parse(text: str) -> Gate:
    """Parses a gate expression.

    Raises:
        ValueError: names the expression, the position of the mistake in characters and what is expected there.
    """
    tokens = _tokens(text)
    comparisons = [index for index, (token, _) in enumerate(tokens) if token in (">=", "<=", ">", "<")]
    if len(comparisons) != 1:
        raise ValueError(f"{text!r}: expected exactly one of >=, <=, >, <; there are {len(comparisons)}")
    middle = comparisons[0]
    comparison: Comparison = tokens[middle][0]  # type: ignore[assignment]
    gate = Gate(text, _sum(tokens[:middle], text), comparison, _sum(tokens[middle + 1 :], text))
    # A comparison of constants is always a mistake: its outcome does not depend on the run.
    if not gate.operands:
        raise ValueError(f"{text!r}: compares numbers only; name at least one metric as VARIANT.SUITE.METRIC")
    return gate


def unknown(gate: Gate, *, suites: Mapping[str, str], variants: Sequence[str]) -> list[str]:
    """Lists the operands of a gate that a run will not measure.

    Args:
        gate: the parsed expression.
        suites: format (a key of METRICS) by name of the run's suites.
        variants: model variants that the run evaluates.

    Returns:
        One message per problem, with the names that exist. An operand may have two problems.
    """
    messages = []
    for variant, suite, metric in gate.operands:
        name = f"{variant}.{suite}.{metric}"
        if variant not in variants:
            messages.append(f"{name}: the run makes no variant {variant!r}; it makes {list(variants)}")
        if suite not in suites:
            messages.append(f"{name}: the run has no suite {suite!r}; it has {sorted(suites)}")
        elif metric not in METRICS[suites[suite]]:
            messages.append(f"{name}: format {suites[suite]} has no metric {metric!r}; it has {METRICS[suites[suite]]}")
    return messages


def _tokens(text: str) -> list[tuple[str, int]]:
    """Splits an expression into (token, position of the first character not yet consumed before it)."""
    tokens, position = [], 0
    while text[position:].strip():
        match = TOKEN.match(text, position)
        if match is None:
            raise ValueError(
                f"{text!r} at {position}: expected a number, VARIANT.SUITE.METRIC, or one of + - * >= <= > <"
            )
        tokens.append((match.group().strip(), position))
        position = match.end()
    return tokens


def _sum(tokens: Sequence[tuple[str, int]], text: str) -> tuple[Term, ...]:
    terms, rest, sign = [], list(tokens), 1.0
    # The grammar has no signed numbers: only the first term of a sum may follow a minus directly.
    if rest and rest[0][0] == "-":
        rest.pop(0)
        sign = -1.0
    while True:
        term = _term(rest, text)
        terms.append(Term(factor=sign * term.factor, metric=term.metric))
        if not rest:
            return tuple(terms)
        symbol, position = rest.pop(0)
        if symbol not in ("+", "-"):
            raise ValueError(f"{text!r} at {position}: expected + or -, not {symbol!r}")
        sign = 1.0 if symbol == "+" else -1.0


def _term(rest: list[tuple[str, int]], text: str) -> Term:
    """Parses one summand and removes its tokens from the front of `rest`."""
    first = _operand(rest, text)
    if not rest or rest[0][0] != "*":
        return first
    rest.pop(0)
    second = _operand(rest, text)
    if first.metric and second.metric:
        raise ValueError(f"{text!r}: two metrics cannot be multiplied; one side of * must be a number")
    return Term(factor=first.factor * second.factor, metric=first.metric or second.metric)


def _operand(rest: list[tuple[str, int]], text: str) -> Term:
    """Parses one number or metric and removes its token from the front of `rest`."""
    if not rest:
        raise ValueError(f"{text!r}: ends where a number or VARIANT.SUITE.METRIC was expected")
    symbol, position = rest.pop(0)
    if symbol[0].isdigit():
        return Term(factor=float(symbol))
    if not symbol[0].isalpha():
        raise ValueError(f"{text!r} at {position}: expected a number or VARIANT.SUITE.METRIC, not {symbol!r}")
    return Term(factor=1.0, metric=symbol)

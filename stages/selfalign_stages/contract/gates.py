"""Gate expressions: comparisons of sums of metrics, read by the API's validation and checked by the gate step.

cloned.hhh.overall >= base.hhh.overall + 0.05
cloned.adherence.words >= 1.5 * engraved.adherence.words
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

METRICS: dict[str, tuple[str, ...]] = {
    "hhh": ("overall", "likelihood", "harmless", "helpful", "honest", "other"),
    "truthfulqa": ("mc1", "mc2"),
    "adherence": ("overall", "words", "tokens", "stops", "leaks", "refusal", "overrefusal"),
}
"""Metrics by suite format that any suite of that format has."""

TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?)|([a-z]+\.[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*)|(>=|<=|>|<|\+|-|\*))")

Comparison = Literal[">=", "<=", ">", "<"]


@dataclass(frozen=True)
class Term:
    """factor x metric, or a plain number where there is no metric."""

    factor: float
    metric: str | None = None


@dataclass(frozen=True)
class Gate:
    """Two sums and how they must compare."""

    text: str
    left: tuple[Term, ...]
    comparison: Comparison
    right: tuple[Term, ...]

    @property
    def operands(self) -> tuple[tuple[str, str, str], ...]:
        """(variant, suite, metric) of every metric named."""
        names = [term.metric for term in (*self.left, *self.right) if term.metric]
        return tuple((v, s, m) for v, s, m in (name.split(".") for name in names))

    def sides(self, values: Mapping[str, float]) -> tuple[float, float]:
        """The two sums; KeyError names a metric without value."""
        left, right = (
            sum(term.factor * (values[term.metric] if term.metric else 1.0) for term in side)
            for side in (self.left, self.right)
        )
        return left, right

    def check(self, values: Mapping[str, float]) -> bool:
        """Whether the gate holds."""
        left, right = self.sides(values)
        return {">=": left >= right, "<=": left <= right, ">": left > right, "<": left < right}[self.comparison]


def parse(text: str) -> Gate:
    """The gate of an expression; ValueError tells place and what was expected."""
    tokens = _tokens(text)
    comparisons = [place for place, (token, _) in enumerate(tokens) if token in (">=", "<=", ">", "<")]
    if len(comparisons) != 1:
        raise ValueError(f"{text!r}: expected exactly one of >=, <=, >, <, found {len(comparisons)}")
    middle = comparisons[0]
    comparison: Comparison = tokens[middle][0]  # type: ignore[assignment]
    gate = Gate(text, _sum(tokens[:middle], text), comparison, _sum(tokens[middle + 1 :], text))
    if not gate.operands:
        raise ValueError(f"{text!r}: compares numbers only; name at least one metric as VARIANT.SUITE.METRIC")
    return gate


def unknown(gate: Gate, *, suites: Mapping[str, str], variants: Sequence[str]) -> list[str]:
    """What a gate names that a run will not have; `suites` maps suite names to formats."""
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
    found, place = [], 0
    while text[place:].strip():
        match = TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"{text!r} at {place}: expected a number, VARIANT.SUITE.METRIC, or one of + - * >= <= > <")
        found.append((match.group().strip(), place))
        place = match.end()
    return found


def _sum(tokens: Sequence[tuple[str, int]], text: str) -> tuple[Term, ...]:
    terms, rest, sign = [], list(tokens), 1.0
    if rest and rest[0][0] == "-":
        rest.pop(0)
        sign = -1.0
    while True:
        term = _term(rest, text)
        terms.append(Term(factor=sign * term.factor, metric=term.metric))
        if not rest:
            return tuple(terms)
        symbol, place = rest.pop(0)
        if symbol not in ("+", "-"):
            raise ValueError(f"{text!r} at {place}: expected + or -, found {symbol!r}")
        sign = 1.0 if symbol == "+" else -1.0


def _term(rest: list[tuple[str, int]], text: str) -> Term:
    first = _operand(rest, text)
    if not rest or rest[0][0] != "*":
        return first
    rest.pop(0)
    second = _operand(rest, text)
    if first.metric and second.metric:
        raise ValueError(f"{text!r}: two metrics cannot be multiplied")
    return Term(factor=first.factor * second.factor, metric=first.metric or second.metric)


def _operand(rest: list[tuple[str, int]], text: str) -> Term:
    if not rest:
        raise ValueError(f"{text!r}: ends where a number or VARIANT.SUITE.METRIC was expected")
    symbol, place = rest.pop(0)
    if symbol[0].isdigit():
        return Term(factor=float(symbol))
    if not symbol[0].isalpha():
        raise ValueError(f"{text!r} at {place}: expected a number or VARIANT.SUITE.METRIC, found {symbol!r}")
    return Term(factor=1.0, metric=symbol)

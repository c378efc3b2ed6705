"""Parses WWW-Authenticate, the header in which a server says how it wants to be authenticated (RFC 9110, 11.6.1). Pure.

One header may contain several challenges, a response may have several such headers, and commas separate challenges as
well as the parameters within one: `Negotiate, Bearer realm="https://auth.example/token",service="r", Basic realm="r"`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_SEPARATOR = re.compile(r"[\s,]*+")
_PARAMETER = re.compile(rf'({_TOKEN})\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"?|({_TOKEN}))', re.DOTALL)
_SCHEME = re.compile(_TOKEN)
_TOKEN68 = re.compile(r"[ \t]++[0-9A-Za-z._~+/-]++=*+(?=[ \t]*+(?:,|$))")
"""Data of schemes such as Negotiate, which have it in place of parameters."""


@dataclass(frozen=True)
class Challenge:
    """One way to authenticate.

    Attributes:
        scheme: lower case, such as "bearer".
        parameters: by lower-case name.
    """

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse(headers: Iterable[str]) -> list[Challenge]:
    """Returns the challenges of all WWW-Authenticate headers of a response, in their order.

    What is no challenge is skipped: a server that also sends nonsense can still be authenticated to.
    """
    return [challenge for header in headers for challenge in _parse_header(header)]


def merge_scopes(known: Iterable[str], wanted: str) -> tuple[str, ...]:
    """Adds the scopes of a challenge to those that were asked for before.

    A registry challenges for one action at a time, such as pull for a HEAD and push for an upload. Tokens for the
    union serve all of them; with one token per action, alternating requests would need a new token each.

    Args:
        known: earlier scopes.
        wanted: parameter `scope` of a challenge: scopes separated by spaces, each RESOURCE:ACTION,ACTION.
    """
    merged: dict[str, list[str]] = {}
    for scope in (*known, *wanted.split()):
        resource, _, actions = scope.rpartition(":")
        present = merged.setdefault(resource, [])
        present += [action for action in actions.split(",") if action not in present]
    return tuple(
        f"{resource}:{','.join(actions)}" if resource else ",".join(actions) for resource, actions in merged.items()
    )


def _parse_header(header: str) -> list[Challenge]:
    challenges: list[Challenge] = []
    parameters: dict[str, str] = {}
    position = 0
    while (position := _after(_SEPARATOR, header, position)) < len(header):
        if match := _PARAMETER.match(header, position):
            value = match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2], flags=re.DOTALL)
            # The first of two equal names counts, for parameters before any scheme none.
            parameters.setdefault(match[1].lower(), value)
            position = match.end()
        elif match := _SCHEME.match(header, position):
            parameters = {}
            challenges.append(Challenge(match[0].lower(), parameters))
            position = _after(_TOKEN68, header, match.end())
        else:
            position += 1
    return challenges


def _after(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position

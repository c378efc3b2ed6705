"""The StageErrors of one registry: which status is final, and what its message advises."""

from datetime import UTC, datetime

import httpx

from selfalign_stages.contract import expiry
from selfalign_stages.contract.exits import AccessDenied, BadInput, StageError, Unavailable
from selfalign_stages.registry import realms, retrying
from selfalign_stages.registry.authorization import EXPIRED_REMEDY, Authorization
from selfalign_stages.registry.calls import Answer
from selfalign_stages.registry.references import DOCKER_HUB, RepositoryName
from selfalign_stages.registry.uses import Use

EXCERPT_CHARACTERS = 300
"""Most characters of a server's text in a message."""


class Refusals:
    """Gives words to what a registry answers.

    Args:
        repository: the repository that is accessed.
        registry: origin of its registry.
        use: what it is accessed for.
        authorization: knows what was tried, and which secrets no message may contain.
    """

    def __init__(
        self, repository: RepositoryName, registry: realms.Origin, use: Use, authorization: Authorization
    ) -> None:
        self._repository, self._registry, self._use, self._authorization = repository, registry, use, authorization

    def of(self, answer: Answer) -> StageError:
        """Returns the error of a status that is no success."""
        status, name = answer.status, str(self._repository)
        elsewhere = realms.origin(answer.url) != self._registry
        who = f"{realms.place(answer.url)}, to which the registry redirects," if elsewhere else "the registry"
        if status == 429:
            return Unavailable(f"{name}: {who} limits requests (HTTP 429{self._limit(answer)}")
        # Addresses in an object store are signed for minutes: another attempt gets a new one.
        if status in retrying.STATUSES or status >= 500 or (elsewhere and status in (401, 403)):
            # 500 is how registries answer for one damaged object, 502 to 504 for a service that is down.
            reason = "ServerError" if status == 500 else None
            return Unavailable(f"{name}: {who} answers HTTP {status} {answer.excerpt}".rstrip(), reason=reason)
        if status in (401, 403) and self._authorization.expired(answer.excerpt):
            denied = f"{name}: {who} denies access (HTTP {status}): {EXPIRED_REMEDY}"
            return Unavailable(denied, reason=expiry.REASON)
        if status in (401, 403):
            return AccessDenied(f"{name}: {who} denies access (HTTP {status}): {self._authorization.advice}")
        reason = "NotFound" if status == 404 else "RequestRefused"
        return BadInput(f"{name}: {who} answers HTTP {status}: {answer.excerpt}", reason=reason)

    def unreachable(self, error: Exception, server: str = "the registry") -> Unavailable:
        """The error for a broken connection."""
        problem = self.words(str(error)) or type(error).__name__
        return Unavailable(f"{self._repository}: cannot reach {server}: {problem}; {self._use.place}")

    def misdirected(self, what: str) -> BadInput:
        """The error for a Location header that is not followed."""
        return BadInput(
            f"{self._repository}: the registry redirects {what}, which is not followed; behind a proxy, a registry has "
            "to know its own address (distribution: http.host or http.relativeurls)",
            reason="RedirectRefused",
        )

    def words(self, text: str) -> str:
        """Makes a server's text fit for a message: no secrets, no control characters, one line, not long."""
        printable = "".join(character if character.isprintable() else " " for character in text)
        return self._authorization.redact(" ".join(printable.split()))[:EXCERPT_CHARACTERS]

    def _limit(self, answer: Answer) -> str:
        wait = retrying.retry_after(answer.headers, now=datetime.now(UTC))
        words = ")" if wait is None else f", to be repeated after {wait:.0f} s)"
        if not self._authorization.anonymous:
            return words
        host = self._repository.host
        counts = "docker.io counts" if host == DOCKER_HUB else "it may count"
        return f"{words}; {counts} requests without an account by address: {self._use.limited.format(host=host)}"


def resolve(base: httpx.URL, location: str) -> httpx.URL:
    """Returns the absolute URL of a Location header.

    Raises:
        ValueError: it is no URL, contains a user name, or leads from https to http. The message follows "redirects".
    """
    try:
        target = realms.parse_url(location, base)
    except ValueError:
        raise ValueError("to something that is no plain http or https URL") from None
    if base.scheme == "https" and target.scheme == "http":
        raise ValueError(f"from https to {realms.place(target)}")
    return target

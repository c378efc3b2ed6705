"""Answers the authentication challenges of one registry, and hands its credentials to nobody else.

A 401 names a token server, the realm, which exchanges the password for a short-lived Bearer token (tokens); simple
registries ask for HTTP Basic instead (RFC 7617). config.json is read anew for each challenge and each new token, so
that a Secret that changes while a pod runs is picked up.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from selfalign_stages.contract import expiry
from selfalign_stages.contract.exits import AccessDenied, BadInput, Unavailable
from selfalign_stages.registry import challenges, credentials, realms, tokens
from selfalign_stages.registry.challenges import Challenge
from selfalign_stages.registry.credentials import Credentials
from selfalign_stages.registry.realms import Origin
from selfalign_stages.registry.references import RepositoryName
from selfalign_stages.registry.tokens import Grant, TokenRequest

MARGIN_SECONDS = 10.0
"""A token is renewed this long before its end, or at half of a short life: a request takes time to arrive."""
FOREVER = float("inf")
EXPIRED_REMEDY = (
    "its credentials have expired: renew the Secret with config.json (docker login on one machine), and the next "
    "attempt uses it"
)


@dataclass(frozen=True)
class TokenAnswer:
    """Answer of a token server, read whole."""

    status: int
    body: bytes


class Authorization:
    """The Authorization header of one repository, for its registry alone. Threads may share it.

    Args:
        repository: whose credentials are used.
        registry: origin of the registry.
        remedy: what helps if access is denied, for messages.
        exchange: sends a request to a token server, following no redirects; raises Unavailable.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        repository: RepositoryName,
        registry: Origin,
        exchange: Callable[[TokenRequest], TokenAnswer],
        *,
        remedy: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._repository, self._registry, self._exchange = repository, registry, exchange
        self._remedy, self._clock = remedy, clock
        self._lock = threading.RLock()
        self._header, self._renew_at = "", FOREVER
        self._grant: Grant | None = None
        self._used = Credentials()
        self._unanswered = ""

    @property
    def anonymous(self) -> bool:
        """Whether no credentials have been used so far."""
        return self._used.anonymous

    @property
    def advice(self) -> str:
        """What helps if access is denied, and why a challenge could not be answered better if something was wrong."""
        return "; ".join(part for part in (self._remedy, self._used.problem, self._unanswered) if part)

    def expired(self, text: str) -> bool:
        """Returns whether the credentials in use have expired, by what a server or they themselves say.

        Args:
            text: what the server answered.
        """
        used, now = self._used, datetime.now(UTC)
        secrets = (used.password, used.identity_token, used.registry_token)
        return not used.anonymous and (
            expiry.says_expired(text) or any(expiry.is_expired_token(secret, now) for secret in secrets)
        )

    def header(self) -> str:
        """Returns the value for the next request, "" before the first challenge.

        A token that is about to expire is renewed here: a challenge after an upload would make it start over.

        Raises:
            AccessDenied, Unavailable, BadInput: as in `answer`.
        """
        with self._lock:
            if self._grant is not None and self._clock() >= self._renew_at:
                self._used = credentials.for_repository(self._repository)
                self._request_token(self._grant)
            return self._header

    def answer(self, received: Sequence[Challenge], rejected: str) -> str:
        """Returns another value, after a request was challenged.

        Args:
            received: challenges of the response.
            rejected: value that the challenged request had.

        Returns:
            "" if there is nothing else to try, so that the response is final.

        Raises:
            AccessDenied: the token server refuses the credentials, or may not receive them.
            Unavailable: the token server is throttled, down or unreachable.
            BadInput: the token server's answer contains no token.
        """
        with self._lock:
            # Another thread was challenged at the same time and has been answered.
            if self._header and self._header != rejected:
                return self._header
            self._used, self._unanswered = credentials.for_repository(self._repository), ""
            self._respond(received)
            return self._header if self._header != rejected else ""

    def redact(self, text: str) -> str:
        """Removes the secrets in use from a text that a server wrote: some echo what they receive."""
        used = self._used
        for secret in (
            self._header.partition(" ")[2],
            used.basic().partition(" ")[2],
            used.password,
            used.identity_token,
            used.registry_token,
        ):
            text = text.replace(secret, "[redacted]") if secret else text
        return text

    def _respond(self, received: Sequence[Challenge]) -> None:
        """Sets the header that answers the best challenge. Bearer first: what it sends to the registry is short-lived.

        A realm that is refused counts only if the registry offers nothing else.
        """
        refused: AccessDenied | None = None
        for challenge in sorted(received, key=lambda one: one.scheme != "bearer"):
            if challenge.scheme == "bearer" and self._used.registry_token:
                return self._set(f"Bearer {self._used.registry_token}")
            if challenge.scheme == "bearer":
                try:
                    realm = realms.check_realm(challenge.parameters.get("realm", ""), self._registry)
                except AccessDenied as error:
                    refused = refused or error
                    continue
                return self._request_token(self._extended(realm, challenge))
            if challenge.scheme == "basic":
                return self._set(self._used.basic())
        if refused is not None:
            raise AccessDenied(f"{self._repository}: {refused}", reason=refused.reason)
        schemes = ", ".join(sorted({challenge.scheme for challenge in received}))
        self._unanswered = f"it asks for {schemes[:60] or 'nothing'} instead of Bearer or Basic authentication"
        return self._set("")

    def _extended(self, realm: httpx.URL, challenge: Challenge) -> Grant:
        """Returns the grant that a challenge asks for, with the scopes of those before it."""
        service = challenge.parameters.get("service", "")
        before = self._grant
        same = before is not None and (before.realm, before.service) == (realm, service)
        known = before.scopes if before is not None and same else ()
        return Grant(realm, service, challenges.merge_scopes(known, challenge.parameters.get("scope", "")))

    def _set(self, header: str) -> None:
        self._header, self._renew_at, self._grant = header, FOREVER, None

    def _request_token(self, grant: Grant) -> None:
        self._set("")  # of no use any more, even if this fails
        if self._used.identity_token:
            answer = self._exchange(tokens.with_identity(grant, self._used))
            if answer.status in tokens.NO_POST:
                answer = self._exchange(tokens.with_password(grant, self._used))
        else:
            answer = self._exchange(tokens.with_password(grant, self._used))
        token = self._token(grant, answer)
        lead = min(MARGIN_SECONDS, token.seconds / 2)
        self._header, self._renew_at, self._grant = f"Bearer {token.value}", self._clock() + token.seconds - lead, grant

    def _token(self, grant: Grant, answer: TokenAnswer) -> tokens.Token:
        server = f"{self._repository}: the token server {realms.place(grant.realm)}"
        if answer.status == 429 or answer.status >= 500:
            raise Unavailable(f"{server} answers HTTP {answer.status}")
        if answer.status != 200:
            kind = "identity token" if self._used.identity_token else "credentials"
            what = "anonymous access" if self._used.anonymous else f"the {kind} of config.json, which may have expired"
            if self.expired(answer.body.decode(errors="replace")):
                raise Unavailable(
                    f"{server} refuses {what.removesuffix(', which may have expired')} (HTTP {answer.status}): "
                    f"{EXPIRED_REMEDY}",
                    reason=expiry.REASON,
                )
            raise AccessDenied(f"{server} refuses {what} (HTTP {answer.status}): {self.advice}")
        try:
            return tokens.parse(answer.body)
        except ValueError as error:
            raise BadInput(f"{server} {error}; check the address of the registry", reason="NoToken") from None

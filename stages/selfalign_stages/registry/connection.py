"""Sends requests to one registry, with authorization, redirects and retries.

httpx would do the first two by itself, but an authentication object of its own follows redirects with what it was
given, and a redirected POST carries its body, with an identity token in it, to any host. Here every request is built
for its origin.
"""

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import cache

import httpx

from selfalign_stages.registry import challenges, realms, refusals, retrying
from selfalign_stages.registry.authorization import Authorization, TokenAnswer
from selfalign_stages.registry.calls import BROKEN, Answer, Call, read
from selfalign_stages.registry.references import RepositoryName
from selfalign_stages.registry.refusals import Refusals
from selfalign_stages.registry.tokens import TokenRequest
from selfalign_stages.registry.uses import Use

MAX_REDIRECTS = 5
"""Redirects of one request. Registries use one, to an object store."""
ROUNDS = 3
"""Times that one request is sent at most: without or with an old token, with a new one, and once more for a registry
that only then says which scope is missing."""
EXCERPT_BYTES = 4096
"""How much of a registry's error is read."""
TOKEN_BYTES = 128 << 10
"""Most bytes of a token server's answer. Tokens stand in headers, which servers limit to 16 KiB."""
REDIRECTS = (301, 302, 303, 307, 308)


class Connection:
    """Connections to the registry of one repository. Threads may share it.

    Args:
        repository: the repository.
        use: what for; decides about the words of errors.
        plain_http: connect without TLS.
        pause: waits for a number of seconds between two attempts.
    """

    def __init__(
        self, repository: RepositoryName, use: Use, *, plain_http: bool, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._pause = pause
        self._base = httpx.URL(f"{'http' if plain_http else 'https'}://{repository.api_host}/v2/{repository.path}/")
        self._origin = realms.origin(self._base)
        # identity: digests are those of the bytes as stored, and a compressed answer could have any size.
        headers = {"User-Agent": "selfalign", "Accept-Encoding": "identity"}
        self._client = httpx.Client(headers=headers, follow_redirects=False, verify=_tls())
        remedy = use.denied.format(host=repository.host)
        self._authorization = Authorization(repository, self._origin, self._exchange, remedy=remedy)
        self.refusals = Refusals(repository, self._origin, use, self._authorization)

    def close(self) -> None:
        """Closes all connections."""
        self._client.close()

    def url(self, path: str) -> httpx.URL:
        """Returns the URL of PATH below the repository."""
        return self._base.join(path)

    def own_url(self, answer: Answer) -> httpx.URL:
        """Returns where an answer's Location header says to go on, which has to be at the registry.

        A body is sent there, with authorization. oras-go (2.6.1) refuses other hosts as well.

        Raises:
            BadInput: there is no such header, or it leads elsewhere.
        """
        try:
            target = refusals.resolve(answer.url, answer.headers["Location"])
        except KeyError:
            raise self.refusals.misdirected("an upload without saying where to") from None
        except ValueError as error:
            raise self.refusals.misdirected(f"an upload {error}") from None
        if realms.origin(target) != self._origin:
            raise self.refusals.misdirected(f"an upload to {realms.place(target)}")
        return target

    def request(self, call: Call) -> Answer:
        """Sends a request whose content is of no interest; returns the answer whatever its status.

        Raises:
            Unavailable: the registry or its token server cannot be reached, after retries.
            AccessDenied: the token server denies access, or may not be asked.
            BadInput: the answer redirects where credentials or a body may not go.
        """
        return self.retried(lambda: self.once(call), repeatable=call.repeatable)

    def once(self, call: Call) -> Answer:
        """As `request`, without retries: raises one of BROKEN if the connection breaks."""
        with closing(self._authorized(call)) as response:
            return self._answer(response)

    def retried(
        self,
        attempt: Callable[[], Answer],
        *,
        repeatable: bool,
        statuses: tuple[int, ...] = retrying.STATUSES,
        server: str = "the registry",
    ) -> Answer:
        """Repeats an attempt while the server asks for patience, or the connection breaks.

        Args:
            attempt: sends a request.
            repeatable: whether it may be repeated if it may have had an effect.
            statuses: statuses that tell so.
            server: what cannot be reached, for a message.
        """
        for number in range(retrying.ATTEMPTS):
            last = number + 1 == retrying.ATTEMPTS
            try:
                answer = attempt()
            except BROKEN as error:
                if last or not repeatable:
                    raise self.refusals.unreachable(error, server) from error
                self._pause(retrying.BACKOFF_SECONDS[number])
                continue
            again = answer.status in retrying.REFUSED or (repeatable and answer.status in statuses)
            wait = retrying.wait(answer.headers, number, now=datetime.now(UTC))
            if last or not again or wait > retrying.MAX_WAIT_SECONDS:
                return answer
            self._pause(wait)
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def stream(self, call: Call) -> Iterator[httpx.Response]:
        """Sends a request and yields its response before its content is read.

        Raises:
            StageError: the status is no success, or as in `request`. One of BROKEN may follow while content is read.
        """
        opened: list[httpx.Response] = []

        def attempt() -> Answer:
            response = self._authorized(call)
            if response.is_success:
                opened.append(response)
                return Answer(response.status_code, response.headers, response.url)
            with closing(response):
                return self._answer(response)

        self.require_success(self.retried(attempt, repeatable=True))
        with closing(opened[0]) as response:
            yield response

    def require_success(self, answer: Answer) -> Answer:
        """Returns the answer, or raises the StageError of its status."""
        if not answer.success:
            raise self.refusals.of(answer)
        return answer

    def _authorized(self, call: Call) -> httpx.Response:
        """Sends a request, and again with new authorization if it is challenged; the response is open."""
        header = self._authorization.header()
        for _ in range(ROUNDS - 1):
            response = self._redirected(call, header)
            if realms.origin(response.url) != self._origin or response.status_code not in (401, 403):
                return response
            received = challenges.parse(response.headers.get_list("WWW-Authenticate"))
            insufficient = any(one.parameters.get("error") == "insufficient_scope" for one in received)
            # A 403 is final, except where it asks for a token with more scope (RFC 6750, section 3.1).
            if response.status_code == 403 and not insufficient:
                return response
            try:
                header = self._authorization.answer(received, header)
            except BaseException:
                response.close()
                raise
            if not header:
                return response
            response.close()
        return self._redirected(call, header)

    def _redirected(self, call: Call, header: str) -> httpx.Response:
        """Sends a request and follows redirects, with authorization at the registry's origin alone."""
        url = call.url
        for _ in range(MAX_REDIRECTS + 1):
            response = self._send(call, url, header if realms.origin(url) == self._origin else "")
            location = response.headers.get("Location")
            if response.status_code not in REDIRECTS or not location:
                return response
            response.close()
            try:
                url = refusals.resolve(response.url, location)
            except ValueError as error:
                raise self.refusals.misdirected(str(error)) from None
            # 301 and 302 turn a POST into a GET by tradition (RFC 9110, 15.4); no body goes to another host.
            moved = response.status_code in (307, 308) and realms.origin(url) == self._origin
            if call.method not in ("GET", "HEAD") and not moved:
                raise self.refusals.misdirected(f"a {call.method} to {realms.place(url)}")
        raise self.refusals.misdirected(f"more than {MAX_REDIRECTS} times")

    def _send(self, call: Call, url: httpx.URL, header: str) -> httpx.Response:
        headers = dict(call.headers) | ({"Authorization": header} if header else {})
        content = call.body() if callable(call.body) else call.body
        request = self._client.build_request(call.method, url, headers=headers, content=content, timeout=call.timeout)
        # An empty Auth: httpx would otherwise make one of a user name in the URL.
        return self._client.send(request, stream=True, auth=httpx.Auth())

    def _exchange(self, request: TokenRequest) -> TokenAnswer:
        """Sends a request to a token server; redirects are no answer."""
        call = Call(request.method, request.url, request.headers, request.body)
        body = b""

        def attempt() -> Answer:
            nonlocal body
            with closing(self._send(call, call.url, "")) as response:
                body = read(response, TOKEN_BYTES)
                return Answer(response.status_code, response.headers, response.url)

        # Asking for a token changes nothing, by POST as well.
        answer = self.retried(attempt, repeatable=True, server=f"its token server {realms.place(request.url)}")
        return TokenAnswer(answer.status, body)

    def _answer(self, response: httpx.Response) -> Answer:
        excerpt = ""
        # Another host's answer is not shown: it could be a service that only this machine reaches.
        if response.status_code >= 400 and realms.origin(response.url) == self._origin:
            text = read(response, EXCERPT_BYTES).decode(errors="replace")
            excerpt = self.refusals.words(text) or self.refusals.words(response.reason_phrase)
        return Answer(response.status_code, response.headers, response.url, excerpt)


@cache
def _tls() -> ssl.SSLContext:
    # Once: reading the certificates of all authorities takes longer than a request.
    return httpx.create_ssl_context()

"""The HTTP client with which huggingface_hub reaches a hub: bounded in time, and with the token for the hub alone.

Left to itself the library waits 92 seconds for a hub that cannot be reached, for as long as a hub's Retry-After says,
and without end for one that accepts a connection and never answers. It also sends the token wherever a hub on the same
host name redirects, on other ports and without TLS included. Its one documented hook, the client factory, suffices to
change all of that; the library's own retries then never start, since HubSilent is no error that it repeats.
"""

import logging
import time
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx
from huggingface_hub import constants, is_offline_mode, set_client_factory

from selfalign_stages.base_model.quoting import shown
from selfalign_stages.base_model.settings import setting
from selfalign_stages.contract.exits import AccessDenied, BadInput

LOG = logging.getLogger("selfalign")

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 8.0
"""For a connection, and for each next byte of a listing or of a file's metadata. Downloads have
HF_HUB_DOWNLOAD_TIMEOUT, 10 seconds by default."""
PATIENCE_SECONDS = 15.0
"""A request is repeated while this has not passed; with the last attempt, a hub that is down is known in 20 seconds.
What lasts longer is for the retries of the step, which are reported and counted."""
BUSY = (408, 429, 500, 502, 503, 504)
XET_ROUTE = "X-Xet-Refresh-Route"
"""Header with the address at which the library, and its Xet client, ask for storage tokens with the hub's token."""


class HubSilent(Exception):
    """The hub gave no usable answer within PATIENCE_SECONDS. The text says which host was tried, how often, and why."""


@cache
def install() -> None:
    """Makes huggingface_hub use this client from its next request on, in the whole process.

    Once: a new client would lose the open connections, and reads the certificate authorities again.
    """
    set_client_factory(_Client)


def endpoint() -> str:
    """Returns the address of the hub: HF_ENDPOINT, or the public one.

    Raises:
        BadInput: HF_ENDPOINT is no address of a server.
    """
    value = (setting("HF_ENDPOINT") or str(constants.ENDPOINT)).rstrip("/")
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        # A password would be part of every message, and a query of no request.
        valid = valid and not (parts.username or parts.password or parts.query or parts.fragment)
        valid = valid and value.isprintable() and " " not in value
    except ValueError:
        valid = False
    if not valid:
        stated = "(not shown, it contains an @)" if "@" in value else f"'{shown(value)}'"
        raise BadInput(
            f"HF_ENDPOINT {stated}: is no address of a hub; write it as https://HOST, with nothing but a path after it",
            reason="HubEndpointInvalid",
        )
    return value


def token() -> str | None:
    """Returns HF_TOKEN, or None: the library then looks for the token of `hf auth login`.

    Raises:
        AccessDenied: it contains what no HTTP header can, such as a line break; the library would print it.
    """
    value = setting("HF_TOKEN")
    if value is not None and not (value.isascii() and value.isprintable() and " " not in value):
        raise AccessDenied("HF_TOKEN: contains a blank, a line break or a letter outside ASCII; copy the token again")
    return value


class _Client(httpx.Client):
    """Repeats a request that got no answer, for a bounded time."""

    def __init__(self) -> None:
        super().__init__(
            follow_redirects=True,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            event_hooks={"request": [_keep_token], "response": [_keep_route]},
        )

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Sends a request; the body of the answer may still be unread.

        Raises:
            HubSilent: there was no answer, or that of a busy server each time.
        """
        timeout = request.extensions.get("timeout") or {}
        request.extensions["timeout"] = {**timeout, "connect": CONNECT_SECONDS}
        start, attempts, pause = time.monotonic(), 0, 1.0
        while True:
            attempts += 1
            wait = pause
            try:
                response = super().send(request, **options)
            except (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError, httpx.ProxyError) as error:
                reason = f"{type(error).__name__} {shown(str(error))}".strip()
                problem = f"cannot reach {_host(error.request)}: {reason}"
            else:
                if response.status_code not in BUSY:
                    return response
                problem = f"{_host(response.request)} answers HTTP {response.status_code}"
                wait = max(pause, _retry_after(response))
                response.close()
            if time.monotonic() - start + wait > PATIENCE_SECONDS:
                raise HubSilent(f"{problem}; tried {attempts} {'time' if attempts == 1 else 'times'}")
            LOG.warning("hub: %s; tried again in %d s", problem, wait)
            time.sleep(wait)
            pause *= 2


def _keep_token(request: httpx.Request) -> None:
    """Takes the token out of requests that go elsewhere; called for every request, those after redirects included."""
    if is_offline_mode():
        raise BadInput("HF_HUB_OFFLINE is set, and an hf:// address is read from a hub: unset it", reason="Offline")
    if "Authorization" in request.headers and _origin(str(request.url)) != _origin(endpoint()):
        del request.headers["Authorization"]


def _keep_route(response: httpx.Response) -> None:
    """Hides a Xet route that leads elsewhere. Without it, the library downloads as from any other server."""
    routes = [response.headers.get(XET_ROUTE), response.links.get("xet-auth", {}).get("url")]
    # The library replaces the public hub's address in a route by the endpoint's, for mirrors that pass answers on.
    own = (_origin(endpoint()), _origin(str(constants.HUGGINGFACE_CO_URL_HOME)))
    if any(route and _origin(route) not in own for route in routes):
        response.headers.pop("X-Xet-Hash", None)


def _origin(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return ("", "", 0)
    return (parts.scheme, parts.hostname or "", port)


def _host(request: httpx.Request) -> str:
    # Without path and query: addresses of contents are signed, which makes them passwords.
    return f"{request.url.scheme}://{request.url.netloc.decode('ascii', 'replace').rpartition('@')[2]}"


def _retry_after(response: httpx.Response) -> float:
    """Seconds that the server asks to wait; 0 if it does not say so in seconds."""
    stated = response.headers.get("Retry-After", "").strip()
    return float(stated) if stated.isascii() and stated.isdigit() and len(stated) < 10 else 0.0

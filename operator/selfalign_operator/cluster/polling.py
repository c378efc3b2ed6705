"""Polls the progress of running pods over HTTP.

Progress comes from the pods and not from their logs or from annotations: reading logs needs the API server for every
line, and annotations would be a write per pod and poll, and a right to write that stage pods do not have. It is best
effort: a pod that does not respond in time is left out, and only its progress is missing from the status.

Responses are untrusted input: who may set a run's image can run any server in it. They are limited in time and size,
validated, and never followed elsewhere. A redirect would make the operator, which reaches networks that the pod may
not, send requests on the pod's behalf. No access to the API server.
"""

import asyncio
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

import aiohttp

from selfalign_operator.jobs.pod import PORT
from selfalign_stages.contract.task import Progress

LIMIT_BYTES = 64 * 1024
"""Bytes of a response that are read. A progress document has a few hundred."""
HEADERS = {"Accept-Encoding": "identity"}
"""Asks for no compression. A compressed response is refused: a few bytes can stand for any number."""
TIMEOUT = aiohttp.ClientTimeout(total=2)
"""Seconds for one pod. All pods are polled at once, so this also bounds what polling adds to a reconcile."""


async def poll(session: aiohttp.ClientSession, pods: Iterable[Mapping[str, Any]]) -> dict[str, Progress]:
    """Polls all running pods concurrently.

    Args:
        session: HTTP session of the operator. It must not trust the environment (aiohttp's default), whose proxy would
            be asked for addresses that only the cluster has.
        pods: pods of the run's own Jobs; only those in phase Running with an IP address are polled.

    Returns:
        Progress by pod name, without the pods that did not respond with a valid document.
    """
    running = {
        pod["metadata"]["name"]: address
        for pod in pods
        if pod.get("status", {}).get("phase") == "Running" and (address := pod["status"].get("podIP"))
    }
    # all at once: in sequence, a few unreachable pods would delay the reconcile by two seconds each
    responses = await asyncio.gather(*(_fetch(session, address) for address in running.values()))
    return {name: progress for name, progress in zip(running, responses, strict=True) if progress is not None}


async def _fetch(session: aiohttp.ClientSession, address: str) -> Progress | None:
    try:
        ip = ipaddress.ip_address(address)
        url = f"http://[{ip}]:{PORT}/progress" if ip.version == 6 else f"http://{ip}:{PORT}/progress"
        # not decompressed, so that a body is what came over the network even where it claims to be compressed
        request = session.get(url, headers=HEADERS, timeout=TIMEOUT, allow_redirects=False, auto_decompress=False)
        async with request as response:
            if response.status != 200 or response.headers.get("Content-Encoding", "identity") != "identity":
                return None
            return Progress.model_validate_json(await _body(response))
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Reads a body to its end, which may come in several segments.

    Raises:
        ValueError: it has more than LIMIT_BYTES.
    """
    body = b""
    async for segment in response.content.iter_any():
        body += segment
        if len(body) > LIMIT_BYTES:
            raise ValueError(f"more than {LIMIT_BYTES} bytes")
    return body

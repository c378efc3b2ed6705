"""Polls the progress of running pods over HTTP.

Progress comes from the pods and not from their logs or from annotations: reading logs needs the API server for every
line, and annotations would be a write per pod and poll, and a right to write that stage pods do not have. It is best
effort: a pod that does not respond in time is left out, and only its progress is missing from the status.

Responses are untrusted input (anybody who may create a pod can run a server in it), so they are limited in time and
size and validated. No access to the API server.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import aiohttp

from selfalign_operator.jobs.pod import PORT
from selfalign_stages.contract.task import Progress

LIMIT_BYTES = 64 * 1024
"""Bytes of a response that are read. A progress document has a few hundred."""
TIMEOUT = aiohttp.ClientTimeout(total=2)
"""Seconds for one pod. All pods are polled at once, so this also bounds what polling adds to a reconcile."""


async def poll(session: aiohttp.ClientSession, pods: Iterable[Mapping[str, Any]]) -> dict[str, Progress]:
    """Polls all running pods concurrently.

    Args:
        session: HTTP session of the operator.
        pods: pod objects; only those in phase Running with an IP address are polled.

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
    host = f"[{address}]" if ":" in address else address  # an IPv6 address needs brackets in a URL
    try:
        async with session.get(f"http://{host}:{PORT}/progress", timeout=TIMEOUT) as response:
            # a truncated document is invalid JSON and is dropped like any other invalid response
            return Progress.model_validate_json(await response.content.read(LIMIT_BYTES))
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None

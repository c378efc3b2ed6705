"""Makes the manifest's places absolute: file:// is relative to the manifest's folder. Pure."""

from pathlib import Path
from urllib.parse import unquote

from selfalign_operator import graph
from selfalign_operator.api.run import SelfAlignRun
from selfalign_stages.contract.task import Leaf, StoreLocation

FILE = "file://"


def absolute(uri: str, folder: Path) -> str:
    """A file:// uri with an absolute path, quoted as stages read it; any other uri as it is."""
    if not uri.startswith(FILE):
        return uri
    return (folder / Path(unquote(uri.removeprefix(FILE))).expanduser()).resolve().as_uri()


def leaves(run: SelfAlignRun, folder: Path) -> dict[str, Leaf]:
    """The run's leaves with absolute places."""
    return {
        name: leaf.model_copy(update={"uri": absolute(leaf.uri, folder)}) for name, leaf in graph.leaves(run).items()
    }


def store(run: SelfAlignRun, folder: Path, *, default_uri: str) -> StoreLocation:
    """The run's store, or the one of the working folder."""
    wanted = run.spec.artifacts
    if wanted is None:
        return StoreLocation(uri=default_uri)
    return StoreLocation(
        uri=absolute(wanted.uri, folder),
        endpoint=wanted.endpoint,
        region=wanted.region,
        addressing_style=wanted.addressing_style,
        ca_file=str(folder / wanted.ca_file) if wanted.ca_file else None,
        sse=wanted.sse,
        sse_kms_key_id=wanted.sse_kms_key_id,
    )

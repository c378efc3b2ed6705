"""Where the artifact store and the leaf inputs of a run are, as its stage processes address them. Pure.

The same manifest is read in two places. A pod finds a ConfigMap or a volume claim at the path where it is mounted; on
one machine, `file://` paths are relative to the manifest's folder. Both are resolved here, so that tasks hold addresses
that their process can open as they stand.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.planning import graph
from selfalign_stages.contract.graph import BASE_MODEL
from selfalign_stages.contract.task import Leaf, StoreLocation

FILE = "file://"
CONFIG_MAPS_FOLDER, BASE_MODEL_FOLDER = "/etc/selfalign/configmap", "/mnt/base-model"
"""Mount paths in a stage pod. Error messages of stages contain them."""


@dataclass(frozen=True)
class Locations:
    """The artifact store and the leaves of a run.

    Args:
        store: the artifact store.
        leaves: the inputs from outside the store, by leaf name.
    """

    store: StoreLocation
    leaves: dict[str, Leaf]


def in_pods(run: SelfAlignRun) -> Locations:
    """Locations as the pods of a run address them.

    Raises:
        ValueError: the run names no store. On a cluster there is no default: pods share no disk.
    """
    if run.spec.artifacts is None:
        raise ValueError("spec.artifacts is missing: pods share artifacts through S3, give its uri")
    leaves = graph.leaves(run, pack_uri=f"{FILE}{pack_folder(run)}")
    return Locations(store=_store(run), leaves=leaves | {BASE_MODEL: _mounted_base(run, leaves[BASE_MODEL])})


def on_this_machine(run: SelfAlignRun, folder: Path, *, default_uri: str) -> Locations:
    """Locations as processes on this machine address them.

    Args:
        run: the run.
        folder: the manifest's folder, which relative paths start from.
        default_uri: the store of a run that names none.
    """
    leaves = {
        name: leaf.model_copy(update={"uri": absolute(leaf.uri, folder)}) for name, leaf in graph.leaves(run).items()
    }
    if run.spec.artifacts is None:
        return Locations(store=StoreLocation(uri=default_uri), leaves=leaves)
    store = _store(run)
    ca_file = str(folder / store.ca_file) if store.ca_file else None
    return Locations(
        store=store.model_copy(update={"uri": absolute(store.uri, folder), "ca_file": ca_file}), leaves=leaves
    )


def absolute(uri: str, folder: Path) -> str:
    """`uri` with an absolute path if it is file://, percent-encoded; any other URI unchanged."""
    if not uri.startswith(FILE):
        return uri
    return (folder / Path(unquote(uri.removeprefix(FILE))).expanduser()).resolve().as_uri()


def pack_folder(run: SelfAlignRun) -> str:
    """Folder where pods find the principle pack of a ConfigMap; named after it, since errors quote the path."""
    config_map = run.spec.principles.config_map_ref
    return f"{CONFIG_MAPS_FOLDER}/{config_map.name}" if config_map else CONFIG_MAPS_FOLDER


def base_claim(run: SelfAlignRun) -> str | None:
    """Name of the PersistentVolumeClaim that holds a pvc:// base model; None for any other base model."""
    scheme, _, rest = run.spec.base_model.uri.partition("://")
    return rest.partition("/")[0] if scheme == "pvc" else None


def _store(run: SelfAlignRun) -> StoreLocation:
    artifacts = run.spec.artifacts
    assert artifacts is not None, "callers check that the run names a store"
    return StoreLocation(
        uri=artifacts.uri,
        endpoint=artifacts.endpoint,
        region=artifacts.region,
        addressing_style=artifacts.addressing_style,
        ca_file=artifacts.ca_file,
        sse=artifacts.sse,
        sse_kms_key_id=artifacts.sse_kms_key_id,
    )


def _mounted_base(run: SelfAlignRun, leaf: Leaf) -> Leaf:
    if base_claim(run) is None:
        return leaf
    inner = run.spec.base_model.uri.partition("://")[2].partition("/")[2]
    return leaf.model_copy(update={"uri": f"{FILE}{BASE_MODEL_FOLDER}/{inner}".rstrip("/")})

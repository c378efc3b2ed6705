"""Addresses of a run's artifact store and leaf inputs, as its stage processes open them. Pure.

One manifest is read in two environments. A pod mounts a ConfigMap or a volume claim at a fixed path; on one machine,
`file://` paths are relative to the manifest's folder. Both are resolved here and put into the task as absolute
addresses, so that no stage has to know where it runs, and keys never contain a path.
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

    Attributes:
        store: the artifact store.
        leaves: the inputs from outside the store, by leaf name.
    """

    store: StoreLocation
    leaves: dict[str, Leaf]


def in_pods(run: SelfAlignRun) -> Locations:
    """Returns the locations as the pods of a run address them.

    Raises:
        ValueError: the run names no store. On a cluster there is no default: pods share no disk.
    """
    if run.spec.artifacts is None:
        raise ValueError("spec.artifacts is missing: pods share artifacts through S3, set spec.artifacts.uri")
    leaves = graph.leaves(run, pack_uri=f"{FILE}{pack_folder(run)}")
    return Locations(store=_store(run), leaves=leaves | {BASE_MODEL: _mounted_base_model(run, leaves[BASE_MODEL])})


def on_this_machine(run: SelfAlignRun, folder: Path, *, default_uri: str) -> Locations:
    """Returns the locations as processes on this machine address them.

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
    """Makes the path of a file:// URI absolute, relative to `folder`; returns any other URI unchanged.

    The path is percent-decoded, `~` is expanded, and the result is percent-encoded (RFC 8089).
    """
    if not uri.startswith(FILE):
        return uri
    return (folder / Path(unquote(uri.removeprefix(FILE))).expanduser()).resolve().as_uri()


def pack_folder(run: SelfAlignRun) -> str:
    """Returns where pods mount a ConfigMap pack; the path ends with its name, because error messages quote the path."""
    config_map = run.spec.principles.config_map_ref
    return f"{CONFIG_MAPS_FOLDER}/{config_map.name}" if config_map else CONFIG_MAPS_FOLDER


def base_claim(run: SelfAlignRun) -> str | None:
    """Returns the PersistentVolumeClaim of a base model at pvc://CLAIM/PATH; None for any other base model."""
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


def _mounted_base_model(run: SelfAlignRun, leaf: Leaf) -> Leaf:
    if base_claim(run) is None:
        return leaf
    path_in_volume = run.spec.base_model.uri.partition("://")[2].partition("/")[2]
    return leaf.model_copy(update={"uri": f"{FILE}{BASE_MODEL_FOLDER}/{path_in_volume}".rstrip("/")})

"""Store and leaves as a run's pods address them. Pure."""

from selfalign_operator import graph
from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.jobs.pod import BASE_FOLDER, pack_folder
from selfalign_operator.tasks import Places
from selfalign_stages.contract.task import Leaf, StoreLocation


def places(run: SelfAlignRun) -> Places:
    """ValueError if the run has no store: on a cluster there is none by default."""
    wanted = run.spec.artifacts
    if wanted is None:
        raise ValueError("spec.artifacts is missing: pods share artifacts through S3, give its uri")
    store = StoreLocation(
        uri=wanted.uri,
        endpoint=wanted.endpoint,
        region=wanted.region,
        addressing_style=wanted.addressing_style,
        ca_file=wanted.ca_file,
        sse=wanted.sse,
        sse_kms_key_id=wanted.sse_kms_key_id,
    )
    leaves = graph.leaves(run, pack_uri=f"file://{pack_folder(run)}")
    return Places(store=store, leaves=leaves | {graph.BASE: _base(run, leaves[graph.BASE])})


def _base(run: SelfAlignRun, leaf: Leaf) -> Leaf:
    scheme, _, rest = run.spec.base_model.uri.partition("://")
    if scheme != "pvc":
        return leaf
    return leaf.model_copy(update={"uri": f"file://{BASE_FOLDER}/{rest.partition('/')[2]}".rstrip("/")})

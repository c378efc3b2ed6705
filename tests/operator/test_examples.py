"""The two quickstarts under examples are one run."""

from pathlib import Path

import yaml

EXAMPLES = Path(__file__).parents[2] / "examples"
QUICKSTARTS = ("quickstart.yaml", "cluster-quickstart.yaml")


def test_the_quickstart_on_a_cluster_differs_only_in_store_and_registry() -> None:
    laptop, cluster = (yaml.safe_load((EXAMPLES / name).read_text())["spec"] for name in QUICKSTARTS)
    assert cluster.pop("artifacts")["uri"].startswith("s3://")
    assert cluster.pop("image").items() >= laptop.pop("image").items()
    assert cluster == laptop

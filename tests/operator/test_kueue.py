"""The version in which Kueue's Workloads are read."""

import pytest

from selfalign_operator.cluster import kueue


@pytest.mark.parametrize(
    ("served", "preferred", "version"),
    [
        (["v1beta1"], "v1beta1", "v1beta1"),
        (["v1beta2", "v1beta1"], "v1beta1", "v1beta2"),
        (["v1", "v1beta2"], "v1", "v1beta2"),
        (["v2", "v1"], "v1", "v1"),
    ],
)
def test_the_newest_known_version_is_read_else_the_preferred_one(
    served: list[str], preferred: str, version: str
) -> None:
    group = {"versions": [{"version": one} for one in served], "preferredVersion": {"version": preferred}}
    assert kueue.workloads_path(group) == f"/apis/kueue.x-k8s.io/{version}/namespaces/{{}}/workloads"

"""Other operators in the same namespaces are named, with what to do about them."""

import logging
from typing import Any

import pytest

from selfalign_operator.cluster.rivals import Operator, RivalCheck, operators, warnings_about

OURS = frozenset({"registry/cpu:2"})


def operator(release: str, *namespaces: str, images: frozenset[str] = OURS) -> Operator:
    return Operator(release, namespaces, images)


def pod(name: str, namespaces: str, *, phase: str = "Running", namespace: str = "ops") -> dict[str, Any]:
    """A pod of the chart's Deployment."""
    values = {"SELFALIGN_NAME": name, "SELFALIGN_NAMESPACES": namespaces, "SELFALIGN_IMAGE_CPU": "registry/cpu:1"}
    env: list[dict[str, Any]] = [{"name": key, "value": value} for key, value in values.items()]
    env.append({"name": "SELFALIGN_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}})
    metadata = {"name": f"{name}-0", "namespace": namespace}
    return {"metadata": metadata, "spec": {"containers": [{"env": env}]}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("own", "other", "shared"),
    [
        ((), (), "all namespaces"),
        ((), ("a", "b"), "a, b"),
        (("a", "b"), (), "a, b"),
        (("a", "b"), ("b", "c"), "b"),
    ],
)
def test_a_release_that_shares_namespaces_is_named_with_them(
    own: tuple[str, ...], other: tuple[str, ...], shared: str
) -> None:
    (warning,) = warnings_about(operator("x/ours", *own), [operator("y/theirs", *other)])
    assert f"release y/theirs watches {shared} as well: " in warning and "watchNamespaces" in warning


def test_a_release_elsewhere_and_the_own_replicas_are_no_rivals() -> None:
    own = operator("x/ours", "a")
    assert warnings_about(own, [operator("x/theirs", "b"), operator("x/ours", "a", images=frozenset())]) == []


def test_other_stage_images_are_named() -> None:
    (warning,) = warnings_about(operator("x/ours"), operators([pod("theirs", "")]))
    assert "with other stage images (registry/cpu:1)" in warning


def test_replicas_count_once_and_pods_that_ended_not_at_all() -> None:
    pods = [pod("theirs", "a,b"), pod("theirs", "a,b"), pod("old", "", phase="Failed")]
    assert [(one.release, one.namespaces) for one in operators(pods)] == [("ops/theirs", ("a", "b"))]


def test_a_rival_is_logged_once_and_again_when_it_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    pods: list[dict[str, Any]] = []
    check = RivalCheck(operator("x/ours"), lambda: pods)
    with caplog.at_level(logging.WARNING):
        for present in (True, True, False, True):
            pods[:] = [pod("theirs", "a")] if present else []
            check.check()
    assert [record.getMessage()[:23] for record in caplog.records] == ["the release ops/theirs "] * 2

"""Other operators in the same namespaces are named, with what to do about them."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from selfalign_operator.cluster.rivals import Operator, RivalCheck, operators, warnings_about

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
OURS = ("registry/cpu:2",)


def operator(release: str, *namespaces: str, images: tuple[str, ...] = OURS) -> Operator:
    return Operator(release, namespaces, images)


def lease(written: Operator, *, holder: str = "pod", age: timedelta = timedelta(seconds=3)) -> dict[str, Any]:
    """The Lease that an operator holds."""
    namespace, _, name = written.release.partition("/")
    renewed = (NOW - age).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": holder, "renewTime": renewed}
    return {"metadata": {"namespace": namespace, "name": name, **written.lease_metadata()}, "spec": spec}


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
    assert warnings_about(own, [operator("x/theirs", "b"), operator("x/ours", "a", images=())]) == []


def test_other_stage_images_are_named() -> None:
    theirs = operators([lease(operator("y/theirs", images=("registry/cpu:1",)))], NOW)
    (warning,) = warnings_about(operator("x/ours"), theirs)
    assert "with other stage images (registry/cpu:1)" in warning


@pytest.mark.parametrize("namespaces", [(), ("a",), ("a", "b")])
def test_an_operator_is_read_as_it_was_written_on_its_lease(namespaces: tuple[str, ...]) -> None:
    written = operator("y/theirs", *namespaces, images=("registry/cpu:1", "registry/train:1"))
    assert operators([lease(written)], NOW) == [written]


def test_a_lease_that_was_released_or_not_renewed_is_no_operator() -> None:
    theirs = operator("y/theirs")
    assert operators([lease(theirs, holder=""), lease(theirs, age=timedelta(minutes=5))], NOW) == []
    assert operators([{"metadata": {"namespace": "y", "name": "by-hand"}}], NOW) == []


def test_a_rival_is_logged_once_and_again_when_it_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    leases: list[dict[str, Any]] = []
    check = RivalCheck(operator("x/ours"), lambda: leases, clock=lambda: NOW)
    with caplog.at_level(logging.WARNING):
        for present in (True, True, False, True):
            leases[:] = [lease(operator("y/theirs", "a"))] if present else []
            check.check()
    assert [record.getMessage()[:21] for record in caplog.records] == ["the release y/theirs "] * 2

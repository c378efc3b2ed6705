"""One site for all tests of a run; the quickstart is applied once, and disturbed while it runs."""

import shutil
from collections.abc import Iterator

import pytest
from tests.cluster.namespace import Namespace
from tests.e2e.cluster.disturbed import Disturbed, devices, run_disturbed
from tests.e2e.cluster.site import Site
from tests.e2e.cluster.site import site as brought_up
from tests.scale import FULL

DISK_GIB = 12
"""Free space that a site takes: the images, unpacked once more by containerd, and the artifacts of its runs."""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A cluster with the operator installed."""
    folder = tmp_path_factory.mktemp("site")
    free = shutil.disk_usage(folder).free >> 30
    # On a full disk etcd stops, and every test would end in a time-out of the API server that does not say so.
    assert free >= DISK_GIB, f"{folder}: {free} GiB are free, a cluster takes {DISK_GIB}: remove old folders beside it"
    with brought_up(folder) as made:
        yield made


@pytest.fixture
def namespace(site: Site, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """An empty namespace that enforces `restricted`."""
    name = f"t-{abs(hash(request.node.nodeid)) % 10**8}"
    yield site.namespace(name)
    site.cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def disturbed(site: Site) -> Iterator[Disturbed]:
    """A sharded run that has ended Ready although workers and operators were killed meanwhile."""
    with devices(site):
        yield run_disturbed(site)


@pytest.fixture(scope="session")
def quickstart(site: Site, request: pytest.FixtureRequest) -> Namespace:
    """The namespace in which the quickstart has ended Ready: in CI the disturbed run, else one of its own."""
    if not FULL:
        ended: Disturbed = request.getfixturevalue("disturbed")
        return ended.namespace
    made = site.namespace("quickstart")
    made.apply("quickstart")
    made.wait("Ready", "True", name="quickstart", seconds=1500)
    return made

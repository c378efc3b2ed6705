"""The images that were built from the project's Dockerfiles."""

import pytest
from tests.cluster.images import TARGETS, Builder, built
from tests.e2e.cluster.site import Site

pytestmark = pytest.mark.slow


# 165 of the CPU stages' are pyarrow.
@pytest.mark.parametrize(("name", "megabytes"), [("operator", 150), ("stage-cpu", 400)])
def test_an_image_adds_little_to_its_base(site: Site, name: str, megabytes: int) -> None:
    builder = Builder(built())
    assert builder.inspect(name).megabytes - builder.inspect("base").megabytes < megabytes


@pytest.mark.parametrize("name", ["operator", *TARGETS])
def test_an_image_runs_as_nobody_special(site: Site, name: str) -> None:
    assert Builder(built()).inspect(name).user == "65532:65532"

"""Flux and Helm 4 judge a run by kstatus, which reads our conditions as we mean them in every phase."""

import pytest
from tests.gitops.reading import read
from tests.gitops.states import STATES

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", STATES)
def test_kstatus_reads_a_run_as_we_mean_it(name: str) -> None:
    body, expected, _, word = STATES[name]
    ((status, message),) = read([body()])
    assert status == expected and word in message

"""Flux and Helm 4 wait by kstatus, which derives the intended status from the conditions of every phase."""

import pytest
from tests.gitops.reading import read
from tests.gitops.states import STATES

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", STATES)
def test_kstatus_derives_the_intended_status(name: str) -> None:
    body, expected, _, word = STATES[name]
    ((status, message),) = read([body()])
    assert status == expected and word in message

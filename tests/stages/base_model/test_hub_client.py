"""How long a hub is waited for, and who gets its token."""

from pathlib import Path
from typing import Any

import pytest
from tests.stages.base_model import contexts, folders, hub

from selfalign_stages.base_model import hub_client, importing
from selfalign_stages.contract.exits import AccessDenied, BadInput, StageError, Unavailable
from selfalign_stages.contract.task import Leaf

FILES = folders.with_more()
LEAF = Leaf(uri="hf://harbour/lantern", revision=hub.COMMIT)
SHARD = "model-00001-of-00002.safetensors"


def refusal(tmp_path: Path, leaf: Leaf = LEAF) -> StageError:
    return contexts.refusal(leaf, tmp_path)


def test_a_hub_that_accepts_and_never_answers_is_not_waited_for(
    served: hub.HubState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_client, "ANSWER_SECONDS", 0.05)
    served.silent = True
    error = refusal(tmp_path)
    assert isinstance(error, Unavailable)
    assert f"cannot reach {served.address}: ReadTimeout" in str(error)
    assert "tried 1 time" in str(error)


@pytest.mark.parametrize("stated", ["3600", "999999999", "-1", "soon", ""])
def test_a_hub_is_retried_for_a_bounded_time_whatever_it_asks_for(
    served: hub.HubState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stated: str
) -> None:
    clock = Clock()
    monkeypatch.setattr(hub_client, "time", clock)
    monkeypatch.setattr(hub_client, "PATIENCE_SECONDS", 15.0)
    served.down = True
    served.headers["Retry-After"] = stated
    assert isinstance(refusal(tmp_path), Unavailable)
    assert clock.now <= 15
    assert len(served.requests) == (1 if stated in ("3600", "999999999") else 5)


class Clock:
    """Time that passes only in sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_the_longest_wait_for_a_hub_stays_within_20_seconds() -> None:
    assert hub_client.PATIENCE_SECONDS + hub_client.CONNECT_SECONDS <= 20
    # An answer that does not come costs two attempts: the second starts before PATIENCE_SECONDS have passed.
    assert 2 * hub_client.ANSWER_SECONDS + 1 <= 20


def test_the_token_goes_to_the_hub_and_nowhere_else(
    served: hub.HubState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    served.token = "hf_secret"
    with hub.serving(FILES) as elsewhere:
        served.contents = elsewhere.contents
        # The same host name on another port, which the library itself takes for the same server.
        served.redirects["tokenizer.json"] = elsewhere.address
        importing.run(contexts.context(LEAF, tmp_path))
        assert set(served.tokens) == {"Bearer hf_secret"}
        assert {path for _, path in elsewhere.requests if path.startswith("/content/")}
        assert set(elsewhere.tokens) == {None}


def test_a_redirected_listing_takes_no_token_along(
    served: hub.HubState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with hub.serving(FILES) as elsewhere:
        served.redirects[hub.LISTING] = elsewhere.address
        contexts.digest(LEAF, tmp_path)
        assert set(elsewhere.tokens) == {None}


def test_a_xet_route_to_another_server_is_not_followed(
    served: hub.HubState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with hub.serving(FILES) as elsewhere:
        served.headers |= {"X-Xet-Hash": "0" * 64, "X-Xet-Refresh-Route": f"{elsewhere.address}/token"}
        importing.run(contexts.context(LEAF, tmp_path))
        assert elsewhere.requests == []


@pytest.mark.parametrize("token", ["hf a", "hf\nX: 1", "hf\x00", "hf\u00e9", "hf\u202e"])
def test_a_token_that_no_header_can_hold_is_refused_without_showing_it(
    served: hub.HubState, tmp_path: Path, mounted: Path, token: str
) -> None:
    (mounted / "HF_TOKEN").write_text(token)
    error = refusal(tmp_path)
    assert isinstance(error, AccessDenied)
    assert token not in str(error)


@pytest.mark.parametrize(
    "endpoint",
    [
        "mirror",
        "ftp://mirror",
        "http://",
        "http://[::1",
        "http://m:99999",
        "http://u:secret@m",
        "http://m/?a",
        "http://a b",
    ],
)
def test_an_endpoint_that_is_no_address_is_refused_without_showing_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    error = refusal(tmp_path)
    assert (type(error), error.reason) == (BadInput, "HubEndpointInvalid")
    assert "secret" not in str(error)


def test_a_mounted_token_is_read_anew_for_every_request(
    served: hub.HubState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounted: Path
) -> None:
    monkeypatch.setenv("BASE_MODEL_HF_TOKEN", "yesterday")
    (mounted / "HF_TOKEN").write_text("today\n")
    served.token = "today"
    assert contexts.digest(LEAF, tmp_path)

    def renewed(listing: dict[str, Any]) -> Any:
        served.token = "tomorrow"
        (mounted / "HF_TOKEN").write_text("tomorrow\n")
        return listing

    served.change = renewed
    importing.run(contexts.context(LEAF, tmp_path))
    assert {"Bearer today", "Bearer tomorrow"} == set(served.tokens) - {None}


def test_a_mounted_file_that_cannot_be_read_is_named(served: hub.HubState, tmp_path: Path, mounted: Path) -> None:
    (mounted / "HF_TOKEN").write_bytes(b"\xff")
    error = refusal(tmp_path)
    assert isinstance(error, AccessDenied)
    assert str(mounted / "HF_TOKEN") in str(error)

"""Expired credentials are distinguished from wrong ones, by what the server says or by the token itself."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from selfalign_stages.contract import expiry

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def token(claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJSUzI1NiJ9.{body}.c2ln"


@pytest.mark.parametrize(
    "text",
    [
        "Your authorization token has expired. Reauthenticate and try again.",
        'User Access Token "ci" is expired',
        "ExpiredToken: the provided token",
        '{"errors":[{"code":"TOKEN_EXPIRED"}]}',
    ],
)
def test_a_server_that_says_so(text: str) -> None:
    assert expiry.says_expired(text)


@pytest.mark.parametrize("text", ["", "denied", "token expires in 60 s", "the server's certificate has expired"])
def test_a_server_that_says_something_else(text: str) -> None:
    assert not expiry.says_expired(text)


def test_a_token_says_until_when_it_is_valid() -> None:
    assert expiry.is_expired_token(token({"exp": NOW.timestamp() - 1}), NOW)
    assert not expiry.is_expired_token(token({"exp": NOW.timestamp() + 60}), NOW)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "a.b.c",
            "hf_abc",
            "a.b",
            "ä.ö.ü",
            "..",
            token([]),
            token({}),
            token({"exp": None}),
            token({"exp": "soon"}),
        ),
        *(token({"exp": 10**30}), token({"exp": float("inf")}), token({"exp": float("nan")}), token(1)),
    ],
)
def test_no_other_token_is_expired(text: str) -> None:
    assert not expiry.is_expired_token(text, NOW)

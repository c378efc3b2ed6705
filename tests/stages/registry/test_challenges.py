"""WWW-Authenticate as servers write it: several challenges, in one header or in several, in any order."""

import pytest

from selfalign_stages.registry.challenges import merge_scopes, parse

BEARER = 'Bearer realm="https://auth.test/token",service="reg.test",scope="repository:a:pull,push"'
BEARER_PARAMETERS = {"realm": "https://auth.test/token", "service": "reg.test", "scope": "repository:a:pull,push"}


@pytest.mark.parametrize(
    ("headers", "schemes"),
    [
        ([BEARER], ["bearer"]),
        ([f'{BEARER}, Basic realm="r"'], ["bearer", "basic"]),
        (["Negotiate", BEARER, 'Basic realm="r"'], ["negotiate", "bearer", "basic"]),
        ([f"Negotiate, {BEARER}"], ["negotiate", "bearer"]),
        ([f"Negotiate YII+/abc==, {BEARER}"], ["negotiate", "bearer"]),
        ([f"NTLM ,,{BEARER},"], ["ntlm", "bearer"]),
        (["Basic"], ["basic"]),
        (["BASIC realm=x"], ["basic"]),
        ([""], []),
        (['"", ;; =a'], ["a"]),
    ],
)
def test_challenges_are_found_in_order(headers: list[str], schemes: list[str]) -> None:
    found = parse(headers)
    assert [challenge.scheme for challenge in found] == schemes
    for challenge in found:
        if challenge.scheme == "bearer":
            assert challenge.parameters == BEARER_PARAMETERS


def test_blanks_quotes_and_names_in_capitals_change_nothing() -> None:
    (challenge,) = parse(['bearer REALM = "https://auth.test/\\"token\\"" , Service=reg.test'])
    assert challenge.parameters == {"realm": 'https://auth.test/"token"', "service": "reg.test"}


def test_a_comma_in_quotes_separates_nothing() -> None:
    (challenge,) = parse(['Bearer realm="https://a.test/?x=1, Basic realm=2",scope="repository:a:pull"'])
    assert challenge.parameters["scope"] == "repository:a:pull"


def test_of_two_equal_parameters_the_first_counts() -> None:
    (challenge,) = parse(['Bearer realm="https://auth.test", realm="https://evil.test"'])
    assert challenge.parameters["realm"] == "https://auth.test"


def test_a_text_without_end_is_read_to_the_end() -> None:
    assert parse(['Bearer realm="https://auth.test'])[0].parameters == {"realm": "https://auth.test"}


def test_scopes_add_up() -> None:
    scopes = merge_scopes((), "repository:team/ida:pull")
    scopes = merge_scopes(scopes, "repository:team/ida:push,pull repository:bases/server:pull")
    assert scopes == ("repository:team/ida:pull,push", "repository:bases/server:pull")
    assert merge_scopes(scopes, "") == scopes
    assert merge_scopes((), "registry:catalog:*") == ("registry:catalog:*",)

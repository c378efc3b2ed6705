"""Where credentials may go: the rules of go-containerregistry and oras-go, case by case."""

import httpx
import pytest

from selfalign_stages.contract.exits import AccessDenied
from selfalign_stages.registry.realms import check_realm, origin
from selfalign_stages.registry.refusals import resolve

SECURE, PLAIN = ("https", "reg.test", 443), ("http", "10.0.0.5", 5000)


@pytest.mark.parametrize(
    ("realm", "registry"),
    [
        ("https://auth.docker.io/token", ("https", "registry-1.docker.io", 443)),
        ("https://reg.test/token", SECURE),
        ("https://reg.test:443/token?a=b", SECURE),
        ("http://10.0.0.5:5000/token", PLAIN),
        ("https://10.0.0.5:8443/token", ("https", "10.0.0.5", 5000)),
        ("https://auth.test/token", PLAIN),
        ("http://REG.test:80/token", ("http", "reg.test", 80)),
        ("https://8.8.8.8/token", SECURE),
    ],
)
def test_realms_that_registries_have(realm: str, registry: tuple[str, str, int]) -> None:
    assert str(check_realm(realm, registry)).startswith(realm.lower()[:8])


@pytest.mark.parametrize(
    ("realm", "registry"),
    [
        ("http://reg.test/token", SECURE),
        ("http://auth.test/token", PLAIN),
        ("http://10.0.0.5:5001/token", PLAIN),
        ("http://10.0.0.6:5000/token", PLAIN),
        ("http://localhost:5000/token", ("http", "127.0.0.1", 5000)),
        ("https://169.254.169.254/latest", SECURE),
        ("https://127.0.0.1/token", SECURE),
        ("https://localhost/token", SECURE),
        ("https://a.localhost./token", SECURE),
        ("https://0.0.0.0/token", SECURE),
        ("https://192.168.1.1/token", SECURE),
        ("https://[::1]/token", SECURE),
        ("https://[::]/token", SECURE),
        ("https://[fd00::1]/token", SECURE),
        ("https://[fe80::1]/token", SECURE),
        ("https://[::ffff:169.254.169.254]/token", SECURE),
        ("https://2130706433/token", SECURE),
        ("https://0x7f.1/token", SECURE),
        ("https://127.1/token", SECURE),
        ("https://127.0.0.1./token", SECURE),
        ("https://user:password@reg.test/token", SECURE),
        ("ftp://reg.test/token", SECURE),
        ("file:///etc/passwd", SECURE),
        ("//reg.test/token", SECURE),
        ("/token", SECURE),
        ("", SECURE),
        ("https://", SECURE),
        ("https://reg.test:99999/", SECURE),
        ("https://[bad/", SECURE),
        ("https://" + "r" * 64 + ".test/", SECURE),
        ("https://reg\n.test/", SECURE),
    ],
)
def test_realms_that_get_no_credentials(realm: str, registry: tuple[str, str, int]) -> None:
    with pytest.raises(AccessDenied, match="credentials are not sent to its token server") as raised:
        check_realm(realm, registry)
    assert raised.value.reason == "RealmRefused"
    assert str(raised.value).isprintable()


def test_the_error_names_the_host_and_no_more_of_the_realm() -> None:
    with pytest.raises(AccessDenied, match="http://evil.test:81") as raised:
        check_realm("http://evil.test:81/token?secret=1", SECURE)
    assert "secret" not in str(raised.value)


def test_default_ports_are_the_same_origin() -> None:
    assert origin(httpx.URL("https://reg.test/a")) == origin(httpx.URL("https://REG.test:443/b")) == SECURE
    assert origin(httpx.URL("http://reg.test")) != origin(httpx.URL("https://reg.test"))
    assert origin(httpx.URL("http://reg.test:81")) != origin(httpx.URL("http://reg.test"))


@pytest.mark.parametrize(
    "location", ["http://reg.test/x", "https://u:p@reg.test/x", "ftp://reg.test/x", "https://reg.test:99999/x"]
)
def test_a_location_that_is_never_followed(location: str) -> None:
    with pytest.raises(ValueError, match="to"):
        resolve(httpx.URL("https://reg.test/v2/"), location)


def test_a_relative_location_is_at_the_registry() -> None:
    base = httpx.URL("https://reg.test/v2/a/blobs/uploads/")
    assert str(resolve(base, "/v2/a/blobs/uploads/1?_state=x")) == "https://reg.test/v2/a/blobs/uploads/1?_state=x"
    assert str(resolve(base, "1")) == "https://reg.test/v2/a/blobs/uploads/1"

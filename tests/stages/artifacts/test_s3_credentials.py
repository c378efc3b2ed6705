"""Credentials that are renewed while a step runs are used from the next request on, without a restart."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from botocore.exceptions import CredentialRetrievalError
from tests import fault_proxy, s3_server
from tests.faults import Cut, Fault, Rule, s3_error
from tests.s3_server import ACCESS, MODULE, SECRET, VERSION
from tests.tools import go_tool, run_tool

from selfalign_stages.artifacts import s3_credentials, s3_uploads
from selfalign_stages.artifacts.open_store import open_store
from selfalign_stages.artifacts.s3_store import S3Store
from selfalign_stages.contract import credentials
from selfalign_stages.contract.exits import AccessDenied, Unavailable
from selfalign_stages.contract.task import StoreLocation

USER = "stage"


def write_secret(folder: Path, **values: str) -> None:
    """Replaces the state of a mounted Secret as the kubelet does: a folder of its own, and a link that switches."""
    state = folder / f"..2026_{len(list(folder.glob('..2026_*')))}"
    state.mkdir(parents=True)
    for name, value in values.items():
        (state / name).write_text(value)
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(Path("..data", name))
    (folder / "..data_tmp").symlink_to(state.name)
    (folder / "..data_tmp").replace(folder / "..data")


def keys(secret: str, access: str = USER) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret}


@dataclass(frozen=True)
class Account:
    """A user of a real server whose secret can be replaced, and the mounted Secret with it."""

    server: s3_server.Server
    folder: Path

    def set_secret(self, secret: str, *, command: str = "update-user") -> None:
        admin = ("admin", "-a", ACCESS, "-s", SECRET, "-er", self.server.endpoint)
        role = ("-r", "admin") if command == "create-user" else ()
        run_tool(go_tool(MODULE, VERSION), *admin, command, "-a", USER, "-s", secret, *role)

    def rotate(self, secret: str) -> None:
        """The server takes the new secret only, and the Secret has it."""
        self.set_secret(secret)
        write_secret(self.folder, **keys(secret))


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_server.Server]:
    root = tmp_path_factory.mktemp("accounts")
    (root / "iam").mkdir()
    with s3_server.serve(root / "root", options=("--iam-dir", str(root / "iam"), "--iam-cache-disable")) as server:
        server.make_bucket("tests")
        Account(server, root).set_secret("first", command="create-user")
        yield server


@pytest.fixture
def account(accounts: s3_server.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hasty: None) -> Account:
    monkeypatch.setattr(credentials, "FOLDER", tmp_path)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    made = Account(accounts, tmp_path / credentials.ARTIFACTS)
    made.rotate("first")
    return made


@pytest.fixture
def location(account: Account, tmp_path: Path) -> StoreLocation:
    return StoreLocation(
        uri=f"s3://tests/{tmp_path.name}", endpoint=account.server.endpoint, region="us-east-1", addressing_style="path"
    )


def before(method: str, within: str, act: Callable[[], None], fault: Fault | None = None) -> Rule:
    """A rule: acts when the first such request has been signed and sent, and before the server sees it."""

    def rule(verb: str, path: str, number: int, headers: Mapping[str, str]) -> Fault | None:
        if verb == method and within in path and not done:
            done.append(path)
            act()
            return fault
        return None

    done: list[str] = []
    return rule


def proxied(account: Account, rule: Rule) -> AbstractContextManager[fault_proxy.Proxy]:
    return fault_proxy.serve(account.server.endpoint, rule)


def test_keys_that_rotate_during_an_upload_in_parts_do_not_end_it(
    account: Account, location: StoreLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_uploads, "IN_MEMORY", 0)
    monkeypatch.setattr(s3_uploads, "MULTIPART_FROM", 1)
    monkeypatch.setattr(s3_uploads, "PART_BYTES", 5 << 20)
    shard = tmp_path / "shard"
    shard.write_bytes(os.urandom((11 << 20) + 1))
    with proxied(account, before("PUT", "partNumber=2", lambda: account.rotate("second"))) as proxy:
        store = open_store(location.model_copy(update={"endpoint": proxy.endpoint}))
        assert store.put_file("shard", shard)
    with open_store(location).open("shard") as stream:
        assert stream.read() == shard.read_bytes()


def test_keys_that_rotate_during_a_long_read_do_not_end_it(account: Account, location: StoreLocation) -> None:
    content = os.urandom(3_000_000)
    open_store(location).put("part", content)
    with proxied(account, before("GET", "/part", lambda: account.rotate("second"), Cut(1000))) as proxy:
        store = open_store(location.model_copy(update={"endpoint": proxy.endpoint}))
        with store.open("part") as stream:
            assert stream.read() == content


def test_a_secret_that_the_server_does_not_take_is_denied_and_not_tried_for_ever(
    account: Account, location: StoreLocation
) -> None:
    write_secret(account.folder, **keys("wrong"))
    with proxied(account, lambda *_: None) as proxy:
        store = open_store(location.model_copy(update={"endpoint": proxy.endpoint}))
        with pytest.raises(AccessDenied, match=r"spec\.artifacts\.secretRef"):
            store.put("part", b"")
        assert proxy.count("PUT") == 1
        # The remedy, without a restart.
        account.rotate("right")
        assert store.put("part", b"")


def test_an_expired_token_is_retried_after_the_secret_was_renewed(account: Account, location: StoreLocation) -> None:
    expired = s3_error(400, "ExpiredToken", "The provided token has expired.")
    with proxied(account, before("PUT", "/part", lambda: None, expired)) as proxy:
        store = open_store(location.model_copy(update={"endpoint": proxy.endpoint}))
        with pytest.raises(Unavailable, match="renew the Secret") as failed:
            store.put("part", b"")
        assert failed.value.reason == "CredentialsExpired"
    with proxied(account, before("PUT", "/part", lambda: account.rotate("renewed"), expired)) as proxy:
        assert open_store(location.model_copy(update={"endpoint": proxy.endpoint})).put("part", b"")


def test_the_mounted_secret_comes_before_the_environment(
    account: Account, location: StoreLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in keys("of the environment", "nobody").items():
        monkeypatch.setenv(name, value)
    assert open_store(location).put("part", b"")


def test_without_a_mounted_key_the_environment_counts(
    account: Account, location: StoreLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "FOLDER", account.folder / "nothing")
    for name, value in keys(SECRET, ACCESS).items():
        monkeypatch.setenv(name, value)
    assert open_store(location).put("part", b"")


def test_a_base_model_has_a_folder_of_its_own_or_fixed_keys(account: Account, location: StoreLocation) -> None:
    fixed = {"aws_access_key_id": ACCESS, "aws_secret_access_key": SECRET}
    # The artifacts' mounted Secret is not used for another account.
    write_secret(account.folder, **keys("wrong"))
    assert S3Store(location, credentials=fixed).put("fixed", b"")
    write_secret(account.folder.parent / "model", **keys("first"))
    assert S3Store(location, credentials=fixed, mounted=account.folder.parent / "model").put("mounted", b"")


def test_half_a_key_pair_is_named(account: Account, location: StoreLocation, tmp_path: Path) -> None:
    half = tmp_path / "half"
    write_secret(half, AWS_ACCESS_KEY_ID="stage")
    with pytest.raises(AccessDenied, match="AWS_SECRET_ACCESS_KEY"):
        S3Store(location, mounted=half).put("part", b"")
    with pytest.raises(AccessDenied, match="AWS_SECRET_ACCESS_KEY"):
        S3Store(location, credentials={"aws_access_key_id": "stage"})


def test_blanks_around_a_key_are_no_part_of_it(tmp_path: Path) -> None:
    write_secret(tmp_path, **keys("secret\n", " stage\n"), AWS_SESSION_TOKEN="token\n")
    assert s3_credentials.read(tmp_path) == keys("secret") | {"AWS_SESSION_TOKEN": "token"}


def test_a_key_is_never_paired_with_the_secret_of_another_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_secret(tmp_path, **keys("old", "old"))
    original = Path.read_text

    def switching(path: Path, *args: str, **options: str) -> str:
        text = original(path, *args, **options)
        if path.name == "AWS_ACCESS_KEY_ID" and text == "old":
            # The kubelet replaces the state between two reads, and removes the old one.
            write_secret(tmp_path, **keys("new", "new"))
            old = path.parent
            for file in old.iterdir():
                file.unlink()
            old.rmdir()
        return text

    monkeypatch.setattr(Path, "read_text", switching)
    assert s3_credentials.read(tmp_path) == keys("new", "new")


def test_an_unreadable_secret_is_named_without_its_content(tmp_path: Path) -> None:
    write_secret(tmp_path, **keys("first"))
    (tmp_path / "AWS_SECRET_ACCESS_KEY").resolve().write_bytes(b"canary \xff")
    with pytest.raises(CredentialRetrievalError, match="AWS_SECRET_ACCESS_KEY cannot be read") as failed:
        s3_credentials.read(tmp_path)
    assert "canary" not in str(failed.value)

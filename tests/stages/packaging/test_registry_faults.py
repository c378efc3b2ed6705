"""A push and a verification through a faulty network before a real registry: whole images, or an error that says so."""

import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from tests import fault_proxy, registry_server
from tests.faults import Answer, Cut, Dropped, Fault, Repeated, Rule, Shortened, Slow, Stale, Unstated, Wrong
from tests.scale import scaled
from tests.stages.packaging.test_packaging import packed
from tests.steps_support import context

from selfalign_stages.contract.exits import StageError
from selfalign_stages.contract.manifest import ArtifactRef, Manifest
from selfalign_stages.contract.parameters import PushParameters
from selfalign_stages.packaging import push
from selfalign_stages.registry import retrying
from selfalign_stages.verification.images import verify_image

FAULTS: dict[str, Callable[[int], Fault]] = {
    "cut": Cut,
    "reset": lambda at: Cut(at, reset=True),
    "without a length": Unstated,
    "shortened": Shortened,
    "dropped before": lambda at: Dropped(),
    "dropped after": lambda at: Dropped(forwarded=True),
    "wrong answer": Wrong,
    "wrong request": lambda at: Wrong(at, sent=True),
    "stale": lambda at: Stale(),
    "repeated": lambda at: Repeated(),
    "slow": lambda at: Slow(piece=20_000),
    "throttled": lambda at: Answer(429, headers={"Retry-After": "0"}),
    "down": lambda at: Answer(503),
    "a web page": lambda at: Answer(200, b"<html>log in</html>", {"Content-Type": "text/html"}),
}
REQUESTS = (
    ("HEAD", "/blobs/sha256"),
    ("POST", "/blobs/uploads"),
    ("PUT", "/blobs/uploads"),
    ("PUT", "/manifests/"),
    ("HEAD", "/manifests/"),
    ("GET", "/manifests/"),
    ("GET", "/blobs/"),
)
KINDS = scaled(("cut", "dropped after", "wrong answer", "wrong request", "stale", "throttled"), tuple(FAULTS))
POSITIONS = scaled((1000,), (0, 1, 100, 1000, 65_537))


class Harness:
    """A registry, a proxy before it whose rule can be exchanged, and an image to push."""

    def __init__(self, registry: registry_server.Server, folder: Path) -> None:
        self.registry, self.folder = registry, folder
        self.rule: Rule | None = None
        self.proxy_host = ""
        self.image = packed(folder)
        self._pushes = 0

    def choose(self, method: str, path: str, number: int, headers: Mapping[str, str]) -> Fault | None:
        return self.rule(method, path, number, headers) if self.rule else None

    def push(self) -> Manifest:
        """Pushes through the proxy to a repository that is empty so far."""
        self._pushes += 1
        parameters = PushParameters(
            repository=f"{self.proxy_host}/ida-{self._pushes}",
            tag="candidate",
            formats=("modelcar",),
            served_name="ida",
            plain_http=True,
        )
        inputs = {"image": ArtifactRef(kind="image", key=self.image.key)}
        key = f"{self._pushes:064d}"
        return push.run(context(self.folder, "push", parameters=parameters, inputs=inputs, key=key))

    def direct(self, pushed: Manifest) -> str:
        """The pushed image at the registry itself."""
        return str(pushed.metrics["image"]).replace(self.proxy_host, self.registry.host)


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    monkeypatch.setattr(retrying, "BACKOFF_SECONDS", (0.0,) * retrying.ATTEMPTS)
    with registry_server.serve(tmp_path / "registry" / "data") as registry:
        made = Harness(registry, tmp_path)
        with fault_proxy.serve(f"http://{registry.host}", made.choose) as proxy:
            made.proxy_host = proxy.endpoint.removeprefix("http://")
            yield made


def faulty(method: str, within: str, fault: Fault, *, share: float) -> Rule:
    """A rule: a share of the requests with this method and path get the fault, the first of them always."""
    rng, matched = random.Random(7), [0]

    def rule(verb: str, path: str, number: int, headers: Mapping[str, str]) -> Fault | None:
        if verb != method or within not in path:
            return None
        matched[0] += 1
        return fault if matched[0] == 1 or rng.random() < share else None

    return rule


@pytest.mark.parametrize(("method", "within"), REQUESTS[:5])
def test_a_push_through_faults_leaves_a_whole_image_or_an_error(harness: Harness, method: str, within: str) -> None:
    whole = 0
    for kind in KINDS:
        for position in POSITIONS:
            for share in scaled((0.0,), (0.0, 0.5, 1.0)):
                harness.rule = faulty(method, within, FAULTS[kind](position), share=share)
                try:
                    pushed = harness.push()
                except StageError:
                    continue
                whole += 1
                assert verify_image(harness.direct(pushed), plain_http=True) == [], (kind, position, share)
                assert pushed.metrics["digest"] == harness.image.metrics["digest"]
    assert whole >= 2, "faults that a retry mends do not end a push"


@pytest.mark.parametrize(("method", "within"), REQUESTS[5:])
def test_a_verification_through_faults_never_takes_wrong_bytes_for_right_ones(
    harness: Harness, method: str, within: str
) -> None:
    pushed = harness.push()
    image = str(pushed.metrics["image"])
    damaged = harness.direct(pushed)
    layer = max(
        (harness.registry.root / "docker/registry/v2/blobs").rglob("data"), key=lambda path: path.stat().st_size
    )
    good = layer.read_bytes()
    for kind in KINDS:
        for position in POSITIONS:
            # A good image is whole or cannot be read; a damaged one is never whole.
            for content, expected in ((good, True), (good[:-1] + bytes([good[-1] ^ 1]), False)):
                layer.write_bytes(content)
                harness.rule = faulty(method, within, FAULTS[kind](position), share=0.0)
                try:
                    whole = verify_image(image, plain_http=True) == []
                except StageError:
                    continue
                assert not whole or expected, (kind, position)
    harness.rule = None
    layer.write_bytes(good)
    assert verify_image(damaged, plain_http=True) == []

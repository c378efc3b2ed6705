"""What surrounds a run is wrong: its conditions say so, in words that name the object and what to do.

All cases are applied at once, each in a namespace of its own, and are asked for one by one.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml
from tests import forgetful_s3, registry_server, s3_server
from tests.cluster.control_plane import wait_for
from tests.cluster.namespace import Namespace
from tests.cluster.node import ADDRESS
from tests.e2e.cluster.site import Site

pytestmark = pytest.mark.slow

Patch = dict[str, Any]
WAITS = ("Reconciling", "True")
"""It goes on by itself as soon as the cause is gone."""
REFUSED = ("Accepted", "False")
UNREACHABLE = {("Reconciling", "True", "Retrying"), ("Stalled", "True", "Unavailable")}
"""Preflight retries for two minutes; on a busy machine a test may come to the case later than that."""


@dataclass(frozen=True)
class Case:
    """A change of the quickstart or its namespace, and what the run then says."""

    name: str
    says: tuple[str, str]
    reason: str
    words: tuple[str, ...]
    spec: Patch = field(default_factory=dict)
    objects: tuple[Patch, ...] = ()

    def accepted(self) -> set[tuple[str, str, str]]:
        """Type, status and reason of each condition that tells the cause."""
        return UNREACHABLE if self.reason == "Retrying" else {(*self.says, self.reason)}


def _pods(**spec: Any) -> Patch:
    return {"podDefaults": {"template": {"spec": spec}}}


def _container(**settings: Any) -> Patch:
    return _pods(containers=[{"name": "stage", **settings}])


def _secret(name: str, **values: str) -> Patch:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


def _pull_secret(registry: str, password: str) -> Patch:
    auths = {registry: {"username": registry_server.USER, "password": password}}
    kind = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson"}
    return kind | {
        "metadata": {"name": "pusher"},
        "stringData": {".dockerconfigjson": json.dumps({"auths": auths})},
    }


OWN_STORE = {"artifacts": {"uri": "s3://runs/trouble"}}
"""Some get as far as the first steps, which no other test shall find done."""
BASE_STORE = {"AWS_ENDPOINT_URL": "STORE", "AWS_REGION": "us-east-1"}
NO_PODS = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
WRONG_KEYS = _secret("wrong", AWS_ACCESS_KEY_ID="selfalign-tests", AWS_SECRET_ACCESS_KEY="not-the-secret")
BASE_KEYS = _secret("base", AWS_ACCESS_KEY_ID=s3_server.ACCESS, AWS_SECRET_ACCESS_KEY=s3_server.SECRET, **BASE_STORE)
BROKEN_PACK = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "ours"},
    "data": {"principles.yaml": "principles: 7\n"},
}
CASES = [
    Case(
        "store-secret-missing",
        WAITS,
        "CreateContainerConfigError",
        ('secret "absent" not found', "create it"),
        {"artifacts": {"secretRef": {"name": "absent"}}},
    ),
    Case(
        "store-keys-wrong",
        REFUSED,
        "PreflightFailed",
        ("spec.artifacts.uri", "s3://runs"),
        {"artifacts": {"secretRef": {"name": "wrong"}}},
        (WRONG_KEYS,),
    ),
    Case(
        "bucket-missing",
        REFUSED,
        "PreflightFailed",
        ("spec.artifacts.uri", "no bucket 'absent'", "create it"),
        {"artifacts": {"uri": "s3://absent/artifacts"}},
    ),
    Case(
        "store-without-conditional-writes",
        REFUSED,
        "PreflightFailed",
        ("spec.artifacts.endpoint", "ignores If-None-Match", "conditional writes"),
        {"artifacts": {"endpoint": "FORGETFUL"}},
    ),
    Case(
        "store-unreachable",
        WAITS,
        "Retrying",
        ("cannot reach", f"{ADDRESS}:9"),
        {"artifacts": {"endpoint": f"http://{ADDRESS}:9"}},
    ),
    Case(
        "registry-unreachable",
        WAITS,
        "Retrying",
        ("cannot reach", "spec.image.repository", f"{ADDRESS}:9/assistants/juniper"),
        {"image": {"repository": f"{ADDRESS}:9/assistants/juniper"}},
    ),
    Case(
        "registry-wants-a-password",
        REFUSED,
        "PreflightFailed",
        ("spec.image.repository", "spec.image.pushSecretRef"),
        {"image": {"repository": "LOCKED/assistants/juniper"}},
    ),
    Case(
        "registry-password-wrong",
        REFUSED,
        "PreflightFailed",
        ("spec.image.repository", "spec.image.pushSecretRef"),
        {"image": {"repository": "LOCKED/assistants/juniper", "pushSecretRef": {"name": "pusher"}}},
        (_pull_secret("LOCKED", "not-the-password"),),
    ),
    Case(
        "push-secret-missing",
        WAITS,
        "FailedMount",
        ('secret "absent" not found',),
        {"image": {"pushSecretRef": {"name": "absent"}}},
    ),
    Case(
        "server-image-missing",
        REFUSED,
        "PreflightFailed",
        ("spec.image.base", "no such image"),
        {"image": {"base": "REGISTRY/selfalign/absent:1", "tag": "no-server"}},
    ),
    Case(
        "base-model-missing",
        REFUSED,
        "PreflightFailed",
        ("spec.baseModel.uri", "s3://runs/models/absent"),
        {"baseModel": {"uri": "s3://runs/models/absent", "secretRef": {"name": "base"}}},
        (BASE_KEYS,),
    ),
    Case(
        "volume-claim-missing",
        WAITS,
        "Unschedulable",
        ('persistentvolumeclaim "absent" not found',),
        {"baseModel": {"uri": "pvc://absent/model"}},
    ),
    Case(
        "stage-image-missing",
        WAITS,
        "ErrImagePull",
        ("REGISTRY/selfalign/absent:1", "imagePullSecrets"),
        _container(image="REGISTRY/selfalign/absent:1"),
    ),
    Case(
        "no-node-fits",
        WAITS,
        "Unschedulable",
        ("node affinity/selector", "nodeSelector"),
        _pods(nodeSelector={"pool": "absent"}),
    ),
    Case(
        "no-such-device",
        WAITS,
        "Unschedulable",
        ("Insufficient example.com/accelerator",),
        _container(resources={"limits": {"example.com/accelerator": "1"}}),
    ),
    Case(
        "service-account-missing",
        WAITS,
        "PodsRefused",
        ('serviceaccount "absent" not found',),
        {"podDefaults": {"serviceAccountName": "absent"}},
    ),
    Case(
        "priority-class-missing",
        WAITS,
        "PodsRefused",
        ("absent", "PriorityClass"),
        _pods(priorityClassName="absent"),
    ),
    Case(
        "privileged-in-a-restricted-namespace",
        WAITS,
        "PodsRefused",
        ("violates PodSecurity", "privileged"),
        _container(securityContext={"privileged": True, "allowPrivilegeEscalation": True}),
    ),
    Case("quota-used-up", WAITS, "QuotaExceeded", ("exceeded quota", "none"), {}, (NO_PODS,)),
    Case(
        "pack-missing",
        REFUSED,
        "PreflightFailed",
        ("spec.principles.configMapRef.name", "no ConfigMap absent", "create it"),
        {"principles": {"builtin": None, "configMapRef": {"name": "absent"}}},
    ),
    Case(
        "pack-broken",
        REFUSED,
        "PreflightFailed",
        ("spec.principles", "configmap/ours", "principles.yaml", "Input should be"),
        {"principles": {"builtin": None, "configMapRef": {"name": "ours"}}},
        (BROKEN_PACK,),
    ),
    Case(
        "too-little-memory",
        ("Stalled", "True"),
        "OOMKilled",
        ("lack of memory", "resources.limits.memory"),
        _container(resources={"requests": {"memory": "20Mi"}, "limits": {"memory": "20Mi"}})
        | {"retries": {"perStage": 0}},
    ),
]


@pytest.fixture(scope="module")
def troubled(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Namespace]]:
    """All cases, applied, by name."""
    place = tmp_path_factory.mktemp("locked") / "registry"
    with (
        registry_server.serve(place, host=ADDRESS, password=True) as locked,
        forgetful_s3.serve(site.s3, host=ADDRESS) as forgetful,
    ):
        names = {"LOCKED": locked.host, "REGISTRY": site.registry.host}
        names |= {"STORE": site.s3.endpoint, "FORGETFUL": forgetful.endpoint}
        made = {case.name: site.namespace(case.name) for case in CASES}
        for case in CASES:
            namespace = made[case.name]
            for thing in case.objects:
                site.cluster.kubectl("-n", case.name, "apply", "-f", "-", text=_named(thing, names))
            wanted = yaml.safe_load(_named(case.spec, names))
            namespace.apply(**_merged(_merged(namespace.spec, OWN_STORE), wanted))
        yield made
        site.cluster.kubectl("delete", "namespace", *made, "--wait=false")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_run_in_a_bad_environment_says_what_is_wrong(troubled: dict[str, Namespace], case: Case, site: Site) -> None:
    namespace, accepted = troubled[case.name], case.accepted()
    wait_for(
        f"one of {accepted}; {namespace.status().get('conditions')}",
        lambda: any(_condition(namespace, one[0]) == one for one in accepted),
        seconds=600,
    )
    message = next(namespace.condition(one[0])["message"] for one in accepted if _condition(namespace, one[0]) == one)
    for word in case.words:
        assert word.replace("REGISTRY", site.registry.host) in message
    assert site.cluster.kubectl("-n", case.name, "get", "sar", "--no-headers").split()[0] == "trial"


def _condition(namespace: Namespace, type_: str) -> tuple[Any, Any, Any]:
    found = namespace.condition(type_)
    return type_, found.get("status"), found.get("reason")


def _merged(spec: Any, patch: Patch) -> Patch:
    """JSON merge patch (RFC 7386)."""
    made = dict(spec)
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = _merged(made.get(name, {}), value) if isinstance(value, dict) else value
    return made


def _named(thing: Patch, names: dict[str, str]) -> str:
    text = yaml.safe_dump(thing)
    for placeholder, name in names.items():
        text = text.replace(placeholder, name)
    return text

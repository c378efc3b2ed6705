"""The chart as Helm renders it without a cluster."""

from typing import Any

import yaml
from tests.cluster.conftest import ROOT
from tests.helm import helm

CHART = ROOT / "charts" / "selfalign-operator"
HELM_3 = ("helm.sh/helm/v3/cmd/helm", "v3.19.2")
"""Module and version; `tests.helm` has Helm 4."""


def rendered(*settings: str, namespace: str = "default", release: str = "trial") -> list[dict[str, Any]]:
    """The objects of a release."""
    text = helm("template", release, str(CHART), "--namespace", namespace, *settings)
    return [document for document in yaml.safe_load_all(text) if document]

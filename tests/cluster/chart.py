"""The chart as Helm renders it without a cluster."""

from typing import Any

import yaml
from tests.cluster.conftest import ROOT
from tests.helm import helm

CHART = ROOT / "charts" / "selfalign-operator"


def rendered(*settings: str, namespace: str = "default", release: str = "trial") -> list[dict[str, Any]]:
    """The objects of a release."""
    text = helm("template", release, str(CHART), "--namespace", namespace, *settings)
    return [document for document in yaml.safe_load_all(text) if document]

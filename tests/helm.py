"""Helm, and a reader of Flux's kstatus, from one Go module: Helm contains kstatus, and most of the work is shared."""

import shutil
from pathlib import Path

from tests import go_modules
from tests.tools import built_once, run_tool

VERSION = "v4.3.1"
PACKAGE = "helm.sh/helm/v4/cmd/helm"
READER = Path(__file__).parent / "gitops" / "main.go"


def helm(*arguments: str, check: bool = True) -> str:
    """What helm prints; with its errors where it may fail."""
    return run_tool(_programs() / "helm", *arguments, check=check)


def kstatus() -> Path:
    """The program of gitops/main.go, with kstatus in the version that Helm waits with."""
    return _programs() / "own"


def _programs() -> Path:
    def build(folder: Path) -> Path:
        shutil.copy(READER, folder)
        module = f"helm.sh/helm/v4@{VERSION}"
        go_modules.build(folder, module, packages=[".", PACKAGE], output=f"{folder}/programs/")
        return folder / "programs"

    return built_once(f"helm-and-kstatus-{VERSION}", build)

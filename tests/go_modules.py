"""Programs of Go modules that `go install` refuses: they replace others, or their version list is closed."""

import os
import subprocess
from pathlib import Path

ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}


def build(folder: Path, module: str, *, packages: list[str], output: str, flags: str = "-s -w", more: str = "") -> None:
    """Builds packages of `module` (name@version) from a module of our own in `folder`; `more` goes into its go.mod."""
    folder.mkdir(exist_ok=True)
    name, _, version = module.partition("@")
    (folder / "go.mod").write_text(f"module own\n\ngo 1.24.0\n\nrequire {name} {version}\n\n{more}")
    imports = "".join(f'\t_ "{package}"\n' for package in packages if package != ".")
    (folder / "tools.go").write_text(f"//go:build tools\n\npackage tools\n\nimport (\n{imports})\n")
    go(folder, "mod", "tidy", "-e")
    go(folder, "build", "-trimpath", "-ldflags", flags, "-o", output, *packages)


def go(folder: Path, *arguments: str) -> str:
    """What the go command prints; its errors in an exception."""
    environment = os.environ | ENVIRONMENT
    done = subprocess.run(["go", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"go {' '.join(arguments[:2])} failed:\n{done.stderr[-3000:]}")
    return done.stdout

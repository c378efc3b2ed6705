"""Folders in which containers were built or run: overlays stay mounted in them."""

import shutil
import subprocess
from pathlib import Path


def remove_with_mounts(folder: Path) -> None:
    """Deletes a folder and everything that is mounted on or below it, never what the mounts show."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((path for path in mounts if f"{path}/".startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)

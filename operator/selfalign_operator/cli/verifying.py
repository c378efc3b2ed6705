"""Implementation of `selfalign verify`: starts the stages' verification with what the command line names."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.cli.commands import NOT_READY, print_problems, read
from selfalign_operator.local import workdir as workdirs
from selfalign_operator.local.retry_file import with_nonces
from selfalign_operator.manifest import environments
from selfalign_operator.planning import store_location, tasks

PROGRAM = (sys.executable, "-m", "selfalign_stages.verification")
"""A process of its own: the operator's package does not import the stages."""


def verify(target: str, *, workdir: Path, set_values: Sequence[str], options: Sequence[str]) -> int:
    """Verifies a run, a folder or an image.

    Args:
        target: a manifest's file, a folder, or an image reference.
        workdir: folder of the artifact store for a run that names none.
        set_values: overrides as `path=value`, for a run.
        options: further arguments of the verification.

    Returns:
        0 if nothing is damaged, else 1, or the exit code of a stage for a target that cannot be read.
    """
    file = Path(target)
    if target != "-" and not file.is_file():
        return subprocess.run([*PROGRAM, target, *options], check=False).returncode
    loaded = read(file, set_values)
    problems = environments.problems_on_one_machine(loaded) if isinstance(loaded, SelfAlignRun) else loaded
    if not isinstance(loaded, SelfAlignRun) or problems:
        print_problems(file, problems)
        return NOT_READY
    folder = Path.cwd() if target == "-" else file.resolve().parent
    paths = workdirs.at(workdir, loaded.metadata.name)
    loaded, default = with_nonces(loaded, paths), paths.store_uri
    task = tasks.preflight(loaded, store_location.on_this_machine(loaded, folder, default_uri=default))
    with tempfile.NamedTemporaryFile("w", suffix=".json") as written:
        written.write(task.model_dump_json(by_alias=True, exclude_none=True))
        written.flush()
        return subprocess.run([*PROGRAM, "--task", written.name, *options], check=False).returncode

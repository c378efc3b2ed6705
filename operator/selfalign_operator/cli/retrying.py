"""Implementation of `selfalign retry`: asks for fresh attempts, or for steps that are made anew.

On a cluster it sets the annotation selfalign.dev/retry with the user's own kubectl, whose contexts, proxies and login
plugins then apply. On this machine the same text is a file in the working folder, which `selfalign run` reads.
"""

import json
import secrets
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.cli.commands import NOT_READY, log, print_lines, print_problems, read
from selfalign_operator.local import workdir as workdirs
from selfalign_operator.local.retry_file import read_nonces, write_nonces
from selfalign_operator.planning import graph, retry
from selfalign_stages.contract.exits import StageError

NONCE_BYTES = 4
"""Of a nonce that this command chooses: among the few of one run, 32 bits do not meet twice."""


class _KubectlError(Exception):
    """kubectl is missing, or has refused a command; the message is its own."""


def retry_on_cluster(name: str, *, namespace: str, step: str | None) -> int:
    """Sets the annotation of a run, and prints what follows from it.

    Args:
        name: name of the run.
        namespace: its namespace.
        step: the step that is made anew; None gives failed steps their attempts again.

    Returns:
        0, or NOT_READY if there is no such run or step, nothing has failed, or kubectl fails.
    """
    try:
        run = SelfAlignRun.model_validate(_kubectl("get", name, namespace, "-o", "json"))
        mistake = _mistake(run, step) or (_nothing_failed(run) if step is None else None)
        if mistake is not None:
            log(mistake)
            return NOT_READY
        nonce = secrets.token_hex(NONCE_BYTES)
        kept = retry.nonces(run)
        value = retry.text(kept | {step: nonce}) if step else ",".join(filter(None, [retry.text(kept), nonce]))
        _kubectl("annotate", name, namespace, "--overwrite", "-o", "json", f"{retry.RETRY}={value}")
    except (_KubectlError, ValidationError) as error:
        log(f"{namespace}/{name}: {error}")
        return NOT_READY
    print_lines([f"{namespace}/{name}: {_effect(run, step)}", *_notes(run)])
    return 0


def retry_on_this_machine(file: Path, *, workdir: Path, set_values: Sequence[str], step: str | None) -> int:
    """Records in the working folder that a step is made anew, and prints the command that does it.

    Args:
        file: the manifest; `-` is standard input.
        workdir: folder of the artifact store, logs and scratch files.
        set_values: overrides as `path=value`, as for `selfalign run`.
        step: the step that is made anew; None needs no record, since every `selfalign run` tries failed steps again.

    Returns:
        0, or NOT_READY if the manifest is invalid, has no such step, or the working folder is in use.
    """
    loaded = read(file, set_values)
    if not isinstance(loaded, SelfAlignRun):
        print_problems(file, loaded)
        return NOT_READY
    if (mistake := _mistake(loaded, step)) is not None:
        log(mistake)
        return NOT_READY
    try:
        paths = workdirs.at(workdir, loaded.metadata.name)
        if step is not None:
            with workdirs.locked(paths):
                write_nonces(paths, read_nonces(paths) | {step: secrets.token_hex(NONCE_BYTES)})
    except StageError as error:
        log(str(error))
        return NOT_READY
    options = "".join(f" --set '{value}'" for value in set_values)
    print_lines([_effect(loaded, step), f"next       selfalign run {file} --workdir {workdir}{options}"])
    return 0


def _kubectl(verb: str, name: str, namespace: str, *options: str) -> dict[str, Any]:
    command = ["kubectl", verb, "selfalignruns.selfalign.dev", name, "--namespace", namespace, *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise _KubectlError(f"kubectl cannot be started ({error.strerror}): install it") from error
    if done.returncode:
        raise _KubectlError(done.stderr.strip() or f"kubectl ended with {done.returncode}")
    body: dict[str, Any] = json.loads(done.stdout)
    return body


def _mistake(run: SelfAlignRun, step: str | None) -> str | None:
    ids = [one.id for one in graph.steps(run)]
    if step is None or step in ids:
        return None
    return f"{run.metadata.name} has no step {step!r}: --from takes one of {', '.join(ids)}"


def _nothing_failed(run: SelfAlignRun) -> str | None:
    stalled, reconciling = run.status.condition("Stalled"), run.status.condition("Reconciling")
    if run.status.ready and not (stalled is not None and stalled.status == "True"):
        return f"{run.metadata.name} is Ready, no step has failed: name the step that is to be made anew with --from"
    if stalled is not None and stalled.reason == "GpuBudgetExceeded":
        return f"{run.metadata.name}: {stalled.message}"
    if stalled is not None and stalled.reason == "GateFailed":
        return f"{run.metadata.name}: no step has failed, but a gate: name the step that is to be made anew with --from"
    return None if reconciling is not None else f"{run.metadata.name} has not begun: no operator has reconciled it yet"


def _effect(run: SelfAlignRun, step: str | None) -> str:
    if step is None:
        failed = [name for name, one in run.status.steps.items() if one.state == "Failed"]
        return f"{', '.join(failed) or 'what failed'}: all attempts again"
    steps = graph.steps(run)
    readers = retry.with_readers(steps, step)
    count = f" and {len(readers) - 1} steps that are made from it" if len(readers) > 1 else ""
    return f"{step}{count} will be made anew"


def _notes(run: SelfAlignRun) -> list[str]:
    if run.spec.suspend:
        return ["the run is suspended: nothing starts before spec.suspend is false"]
    running = [name for name, one in run.status.steps.items() if one.state == "Running"]
    if running:
        return [f"running now: {', '.join(running)}; only attempts at steps that are made anew are stopped"]
    return []

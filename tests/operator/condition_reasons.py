"""Collects every reason that a condition may have from the source, for docs/conditions.md.

    python -m tests.operator.condition_reasons

prints the table of the stages' reasons as that document has it.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from selfalign_operator.cluster.events import WORKING_REASONS
from selfalign_operator.jobs import pending_reason, pod_end, remedies, waiting_container
from selfalign_operator.planning import retries

ROOT = Path(__file__).parents[2]
OPERATOR, STAGES = ROOT / "operator/selfalign_operator", ROOT / "stages/selfalign_stages"
NOT_ON_A_CLUSTER = {"WaitingForSlot", "WorkdirInUse", "WorkdirUnusable"}
"""Reasons of the laptop alone, which has no conditions that anybody waits for."""
NOT_REPORTED = {"ContainerCreating"}
"""Names inside the operator, which it replaces or drops before a condition is built."""
ENDS = {
    "BadInput": "no",
    "AccessDenied": "no",
    "DoesNotFit": "no",
    "Unavailable": "yes",
    "InputLost": "yes, with its input",
    "StageError": "yes",
    "Failure": "yes",
}
"""Whether a step is retried after an exception, by its class."""


def of_operator() -> set[str]:
    """Reasons that the operator sets itself, or takes from Kubernetes and has a remedy for."""
    tables = {
        *WORKING_REASONS,
        pending_reason.UNSCHEDULABLE,
        *remedies.IMAGE_REASONS,
        *remedies.MOUNT_REASONS,
        *pending_reason.STARTUP_EVENTS,
        *pod_end.REMEDIES,
        *waiting_container.REMEDIES,
        *retries.REASONS.values(),
        pod_end.EVICTED,
        pod_end.POD_ENDED,
        "OutOfDevices",
        "PreflightPassed",
    }
    constants = _constants(OPERATOR)
    named = {
        constants.get(name, name)
        for path in OPERATOR.rglob("*.py")
        for name, _ in _reasons(ast.parse(path.read_text()))
    }
    return (tables | set(filter(_is_reason, named))) - NOT_REPORTED - NOT_ON_A_CLUSTER


def of_stages() -> dict[str, tuple[str, str]]:
    """Reasons with which steps end: whether the step is retried, and the file that decides, by reason."""
    constants = _constants(STAGES)
    files: dict[str, set[str]] = defaultdict(set)
    retried: dict[str, set[str]] = defaultdict(set)
    for path in sorted(STAGES.rglob("*.py")):
        for name, call in _reasons(ast.parse(path.read_text())):
            reason = constants.get(name, name)
            if _is_reason(reason):
                files[reason].add(str(path.relative_to(STAGES)))
                retried[reason] |= {ENDS[call]} if call in ENDS else set()
    for name in ENDS.keys() - {"StageError", "Failure"}:  # the reason of an exception that is given none
        files[name].add("contract/exits.py")
        retried[name].add(ENDS[name])
    return {
        name: (" or ".join(sorted(retried[name])) or "see file", ", ".join(sorted(files[name])))
        for name in sorted(files)
    }


def table() -> str:
    """The stages' reasons as a table in Markdown."""
    rows = [f"| `{name}` | {retried} | {files} |" for name, (retried, files) in of_stages().items()]
    return "\n".join(["| reason | retried | decided in `stages/selfalign_stages` |", "| --- | --- | --- |", *rows])


def _is_reason(name: str) -> bool:
    return name.isidentifier() and name[0].isupper() and not name.isupper()


def _constants(root: Path) -> dict[str, str]:
    """Module-level constants with one text, those of tuple assignments included."""
    found = {}
    for path in root.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.Assign):
                continue
            for target in node.targets:
                names = target.elts if isinstance(target, ast.Tuple) else [target]
                values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
                for name, value in zip(names, values, strict=False):
                    if isinstance(name, ast.Name) and isinstance(value, ast.Constant) and isinstance(value.value, str):
                        found[name.id] = value.value
    return found


def _reasons(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Texts and constants that are given as a reason, with the name of what is called."""
    for node in ast.walk(tree):
        for call, value in _given(node):
            derived = isinstance(value, ast.Call) and ast.unparse(value.func).endswith(".replace")
            for part in () if derived else ast.walk(value):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value, call
                elif isinstance(part, ast.Name):
                    yield part.id, call


def _given(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Expressions that become a reason: arguments of calls, assignments, defaults of parameters."""
    if isinstance(node, ast.Call):
        call = ast.unparse(node.func).rpartition(".")[2]
        yield from ((call, keyword.value) for keyword in node.keywords if keyword.arg == "reason")
        if call == "RunPhase":
            yield from ((call, value) for value in node.args[1:2])
        if call == "Meaning":
            yield from ((ast.unparse(node.args[0]), value) for value in node.args[2:3])
        if call == "condition_reason":
            yield from ((call, keyword.value) for keyword in node.keywords if keyword.arg == "default")
    if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["reason"]:
        yield "", node.value
    if isinstance(node, ast.FunctionDef):
        names = node.args.kwonlyargs
        defaults = zip(names, node.args.kw_defaults, strict=True)
        yield from (("", value) for name, value in defaults if name.arg == "reason" and value is not None)


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")

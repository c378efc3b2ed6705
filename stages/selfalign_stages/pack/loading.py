"""Reads a pack from a folder, a YAML file like a ConfigMap, or the distribution, and reports every problem at once.

The digest covers file names and contents, with line ends normalised, and not where the files were: the same pack in a
Git checkout on Windows, in a ConfigMap and in a folder has the same digest, hence the same keys.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from selfalign_stages import builtin
from selfalign_stages.contract import strict_json, strict_yaml
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.model import canonical_json, sha256_digest
from selfalign_stages.contract.printable import printable
from selfalign_stages.pack import files
from selfalign_stages.pack.model import Exemplar, Frames, Header, IdentityGroup, Pack, Principle, QuestionType, SeedTask

SUITE_FILE = re.compile(r"suite\.[A-Za-z0-9_-]+\.(json|jsonl|csv)")
"""File names of evaluation suites."""
AT_LEAST_ONE = Field(min_length=1)
PARTS: dict[str, tuple[str, Any]] = {
    "pack.yaml": ("header", Header),
    "principles.yaml": ("principles", Annotated[tuple[Principle, ...], AT_LEAST_ONE]),
    "exemplars.yaml": ("exemplars", Annotated[tuple[Exemplar, ...], AT_LEAST_ONE]),
    "prompts.yaml": ("frames", Frames),
    "identity.yaml": ("identity", tuple[IdentityGroup, ...]),
    "question-types.yaml": ("question_types", Annotated[tuple[QuestionType, ...], AT_LEAST_ONE]),
    "seed-tasks.jsonl": ("seed_tasks", Annotated[tuple[SeedTask, ...], AT_LEAST_ONE]),
}
"""Field of Pack and its type, by file name."""
REASON = "InvalidPack"
LONGEST_VALUE = 60
"""Characters of a wrong value in a message: enough to find it in the file, whose texts may be whole paragraphs."""
OPTIONAL = {"identity.yaml"}
MAX_FILES = 100
"""Most files of a pack; a folder with more is another folder, such as a home directory."""
MAX_PROBLEMS = 50
"""Most problems that are listed; a file of another kind has one in every line."""


class InvalidPack(BadInput):
    """A pack has mistakes.

    Args:
        place: where the pack is.
        problems: every mistake, as one line that begins with the name of the file.
    """

    def __init__(self, place: str, problems: Sequence[str]) -> None:
        listed = list(map(printable, problems[:MAX_PROBLEMS]))
        if len(problems) > MAX_PROBLEMS:
            listed.append(f"{len(problems) - MAX_PROBLEMS} more: correct these first")
        super().__init__(f"principle pack {printable(place)}: {len(problems)} problem(s): {'; '.join(listed)}")
        self.problems = tuple(listed)


def load(uri: str) -> Pack:
    """Reads and validates a pack.

    Args:
        uri: builtin://NAME, file:///FOLDER or file:///CONFIGMAP.yaml.

    Raises:
        BadInput: lists all mistakes by file, line or field.
    """
    return parse(read(uri), place=uri)


def read(uri: str) -> dict[str, str]:
    """Reads the files of a pack without interpreting them.

    Args:
        uri: as in `load`.

    Returns:
        Content by file name, with line ends normalised to a newline.

    Raises:
        BadInput: nothing is there, a file is not UTF-8, or a link leads out of the folder.
    """
    scheme, _, rest = uri.partition("://")
    if scheme == "builtin":
        return _read_folder(builtin.folder("packs", rest))
    place = f"spec.principles.uri {printable(uri)}"
    if scheme != "file":
        raise BadInput(f"{place}: use builtin://NAME or file:///path", reason=REASON)
    try:
        path = files.local_path(uri)
        return _read_folder(path) if path.is_dir() else _read_config_map(path)
    except (OSError, ValueError) as error:  # a name that no file can have, a folder that may not be read
        raise BadInput(f"{place}: {getattr(error, 'strerror', None) or error}", reason=REASON) from error


def parse(contents: Mapping[str, str], *, place: str) -> Pack:
    """Validates the files of a pack.

    Args:
        contents: content by file name, as `read` returns it.
        place: where the files come from, for messages.

    Raises:
        BadInput: lists all mistakes by file, line or field.
    """
    problems = [
        f"{name}: unknown file; a pack holds {sorted(PARTS)} and suite.NAME.json[l]"
        for name in contents
        if name not in PARTS and not SUITE_FILE.fullmatch(name)
    ]
    parts: dict[str, Any] = {}
    for name, (part, shape) in PARTS.items():
        if name in contents:
            parts[part] = _part(name, contents[name], shape, problems.append)
        elif name not in OPTIONAL:
            problems.append(f"{name}: missing")
    # Only for files that are valid by themselves: rules cannot be compared with principles that did not parse.
    if not problems:
        names = {principle.name for principle in parts["principles"]}
        problems += _unknown_rules(parts["exemplars"], parts["question_types"], names)
    if problems:
        raise InvalidPack(place, problems)
    suites = {name: text for name, text in contents.items() if name not in PARTS}
    return Pack(**parts, suites=suites, digest=digest(contents))


def digest(contents: Mapping[str, str]) -> str:
    """Content digest of a pack's files: equal for a folder and a ConfigMap with the same files."""
    return sha256_digest(canonical_json(dict(contents)))


def _read_folder(folder: Path) -> dict[str, str]:
    contents: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        # A README may explain the pack; dotted names are editors' files and the ..data link of a ConfigMap volume.
        if path.name.startswith(".") or path.name == "README.md" or path.is_dir():
            continue
        # A ConfigMap volume consists of links within the folder; a link that leaves it could read any file of the pod.
        if not _is_within(path, folder):
            message = f"{printable(str(path))}: is a link that leaves the pack; put the file itself there"
            raise BadInput(message, reason=REASON)
        if len(contents) == MAX_FILES:
            raise BadInput(f"{printable(str(folder))}: has more than {MAX_FILES} files: is no pack", reason=REASON)
        contents[path.name] = files.read_text(path, reason=REASON)
    return contents


def _is_within(path: Path, folder: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links that lead in a circle; RuntimeError up to Python 3.12
        return False


def _read_config_map(path: Path) -> dict[str, str]:
    text, name = files.read_text(path, reason=REASON), printable(path.name)
    try:
        loaded = strict_yaml.parse(text)
    except ValueError as error:
        raise BadInput(f"{name}: {error}", reason=REASON) from error
    # A whole ConfigMap, or only its data.
    data = loaded.get("data", loaded) if isinstance(loaded, dict) else None
    if not isinstance(data, dict) or not all(isinstance(text, str) for text in data.values()):
        raise BadInput(f"{name}: expected a ConfigMap whose data maps file names to texts", reason=REASON)
    return {name: text.removeprefix(strict_json.BYTE_ORDER_MARK).replace("\r\n", "\n") for name, text in data.items()}


def _part(name: str, text: str, shape: Any, report: Callable[[str], None]) -> Any:
    """Parses one file; reports its mistakes and returns None if it has any."""
    try:
        value = _json_lines(text) if name.endswith(".jsonl") else strict_yaml.parse(text)
        return TypeAdapter(shape).validate_python(value)
    except ValidationError as error:
        for mistake in error.errors():
            field = ".".join(str(part) for part in mistake["loc"])
            if mistake["type"] == "too_short" and not field:
                report(f"{name}: has no entries: a pack needs at least one")
                continue
            report(f"{name}: {field or 'top'}: {mistake['msg']} (is {str(mistake['input'])[:LONGEST_VALUE]!r})")
    except ValueError as error:  # neither YAML nor JSON: the message begins with line and column
        report(f"{name}: {error}")
    return None


def _json_lines(text: str) -> list[Any]:
    """Parses JSON lines: only a newline ends one, since texts may contain U+2028 and others that `splitlines` knows.

    Raises:
        ValueError: a line is not JSON; the message begins with its number.
    """
    lines = enumerate(text.split("\n"), start=1)
    return [strict_json.loads(line, line=number) for number, line in lines if line.strip()]


def _unknown_rules(
    exemplars: tuple[Exemplar, ...], question_types: tuple[QuestionType, ...], names: set[str]
) -> list[str]:
    """Messages for rules that the pack names and lacks; positions count from 0, as in pydantic's messages."""
    cited = [
        (f"exemplars.yaml: {number}.turns.{turn_number}.rules", turn.rules)
        for number, exemplar in enumerate(exemplars)
        for turn_number, turn in enumerate(exemplar.turns)
    ]
    cited += [(f"question-types.yaml: {number}.rules", kind.rules) for number, kind in enumerate(question_types)]
    return [
        f"{place}: {rule!r} is no principle; there are {sorted(names)}"
        for place, rules in cited
        for rule in rules
        if rule not in names
    ]

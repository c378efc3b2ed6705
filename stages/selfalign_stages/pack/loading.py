"""Reads a pack from a folder, a YAML file like a ConfigMap, or the distribution, and reports every problem at once.

The digest covers file names and contents, with line ends normalised, and not where the files were: the same pack in a
Git checkout on Windows, in a ConfigMap and in a folder has the same digest, hence the same keys.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import TypeAdapter, ValidationError

from selfalign_stages import builtin
from selfalign_stages.contract import strict_yaml
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.model import canonical_json, sha256_digest
from selfalign_stages.pack.model import Exemplar, Frames, Header, IdentityGroup, Pack, Principle, QuestionType, SeedTask

SUITE_PREFIX = "suite."
"""Prefix of the file names of evaluation suites."""
PARTS: dict[str, tuple[str, Any]] = {
    "pack.yaml": ("header", Header),
    "principles.yaml": ("principles", tuple[Principle, ...]),
    "exemplars.yaml": ("exemplars", tuple[Exemplar, ...]),
    "prompts.yaml": ("frames", Frames),
    "identity.yaml": ("identity", tuple[IdentityGroup, ...]),
    "question-types.yaml": ("question_types", tuple[QuestionType, ...]),
    "seed-tasks.jsonl": ("seed_tasks", tuple[SeedTask, ...]),
}
"""Field of Pack and its type, by file name."""
LONGEST_VALUE = 60
"""Characters of a wrong value in a message: enough to find it in the file, whose texts may be whole paragraphs."""
OPTIONAL = {"identity.yaml"}


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
    if scheme != "file":
        raise BadInput(f"spec.principles.uri {uri!r}: use builtin://NAME or file:///path", reason="InvalidPack")
    path = Path(unquote(urlsplit(uri).path))
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise BadInput(f"spec.principles.uri {uri!r}: there is no such folder or file", reason="InvalidPack")
    return _read_config_map(path)


def parse(contents: Mapping[str, str], *, place: str) -> Pack:
    """Validates the files of a pack.

    Args:
        contents: content by file name, as `read` returns it.
        place: where the files come from, for messages.

    Raises:
        BadInput: lists all mistakes by file, line or field.
    """
    problems = [
        f"{name}: unknown file; a pack holds {sorted(PARTS)} and {SUITE_PREFIX}NAME.json[l]"
        for name in contents
        if name not in PARTS and not name.startswith(SUITE_PREFIX)
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
        problems += _unknown_rules(parts["exemplars"], names)
    if problems:
        listed = "\n  ".join(problems)
        raise BadInput(f"principle pack {place}: {len(problems)} problem(s)\n  {listed}", reason="InvalidPack")
    suites = {name: text for name, text in contents.items() if name.startswith(SUITE_PREFIX)}
    return Pack(**parts, suites=suites, digest=digest(contents))


def digest(contents: Mapping[str, str]) -> str:
    """Content digest of a pack's files: equal for a folder and a ConfigMap with the same files."""
    return sha256_digest(canonical_json(dict(contents)))


def _read_folder(folder: Path) -> dict[str, str]:
    contents = {}
    for path in sorted(folder.iterdir()):
        # A README may explain the pack; dotted names are editors' files and the ..data link of a ConfigMap volume.
        if path.name.startswith(".") or path.name == "README.md" or path.is_dir():
            continue
        # A ConfigMap volume consists of links within the folder; a link that leaves it could read any file of the pod.
        if not path.resolve().is_relative_to(folder.resolve()):
            raise BadInput(f"{path}: is a link that leaves the pack; put the file itself there", reason="InvalidPack")
        contents[path.name] = _text(path.read_bytes(), path.name)
    return contents


def _read_config_map(path: Path) -> dict[str, str]:
    try:
        loaded = strict_yaml.parse(path.read_text())
    except ValueError as error:
        raise BadInput(f"{path.name}: {error}", reason="InvalidPack") from error
    # A whole ConfigMap, or only its data.
    data = loaded.get("data", loaded) if isinstance(loaded, dict) else None
    if not isinstance(data, dict) or not all(isinstance(text, str) for text in data.values()):
        raise BadInput(f"{path.name}: expected a ConfigMap whose data maps file names to texts", reason="InvalidPack")
    return {str(name): _text(text.encode(), str(name)) for name, text in data.items()}


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise BadInput(f"{name}: is not UTF-8 at byte {error.start}; save it as UTF-8", reason="InvalidPack") from error


def _part(name: str, text: str, shape: Any, report: Callable[[str], None]) -> Any:
    """Parses one file; reports its mistakes and returns None if it has any."""
    try:
        value = _json_lines(text) if name.endswith(".jsonl") else strict_yaml.parse(text)
        return TypeAdapter(shape).validate_python(value)
    except json.JSONDecodeError as error:
        report(f"{name}: line {error.lineno}: {error.msg}")
    except ValidationError as error:
        for mistake in error.errors():
            field = ".".join(str(part) for part in mistake["loc"])
            report(f"{name}: {field or 'top'}: {mistake['msg']} (is {str(mistake['input'])[:LONGEST_VALUE]!r})")
    except ValueError as error:  # not YAML: the message begins with line and column
        report(f"{name}: {error}")
    return None


def _json_lines(text: str) -> list[Any]:
    """Parses JSON lines; a JSONDecodeError has the line's number in the file."""
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                error.lineno = number
                raise
    return rows


def _unknown_rules(exemplars: tuple[Exemplar, ...], names: set[str]) -> list[str]:
    """Messages for rules that exemplars name and the pack lacks; positions count from 0, as in pydantic's messages."""
    return [
        f"exemplars.yaml: {number}.turns.{turn_number}.rules: {rule!r} is no principle; there are {sorted(names)}"
        for number, exemplar in enumerate(exemplars)
        for turn_number, turn in enumerate(exemplar.turns)
        for rule in turn.rules
        if rule not in names
    ]

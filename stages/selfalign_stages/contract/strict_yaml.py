"""Strict YAML, read as kubectl and the Kubernetes API server read it: for run manifests and principle packs alike.

The same file must mean the same on a laptop and on a cluster, and a file that somebody else wrote must end in a value
or in a ValueError, whatever is in it. PyYAML's own loaders give neither: they keep the last of two equal keys, build
sets, dates and bytes, recurse over nested lists, and raise a dozen kinds of exceptions. Only its scanner and parser are
used here. Their events, which come one by one, are put together by `_Builder`, without recursion and within limits
that hold before an alias is expanded.

Merge keys (`<<: *defaults`) are supported, because kubectl supports them; a key that both sides have is a duplicate
there and here. What scalars mean is in `yaml_scalars`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from selfalign_stages.contract.strict_json import EXCERPT, MAX_DEPTH, check_text, decode
from selfalign_stages.contract.yaml_scalars import TAG, resolve, unknown_tag

MAX_VALUES = 100_000
"""Most values of a document, keys included and aliases expanded. A real one has a few hundred; a few lines of aliases
of aliases ("billion laughs") have billions."""
MAX_CHARACTERS = 4 * 2**20
"""Longest text, and most characters of all its scalars with aliases expanded: far above a Kubernetes object, which etcd
limits to 1.5 MiB, and below what parsing in Python makes a matter of minutes."""
MERGE = "<<"
_UNFINISHED = object()
"""Stands for a list or mapping whose end has not come yet: an alias to it would contain itself."""
_NO_KEY = object()
_MERGE_KEY = object()


def parse(text: str) -> Any:
    """Parses a text that is one YAML document; documents without content beside it are ignored.

    Returns:
        dict with text keys, list, str, int, float, bool or None. Values that share an anchor are one object. Texts can
        be encoded as UTF-8; floats may be infinite or NaN.

    Raises:
        ValueError: not YAML, a duplicate key, beyond one of the limits, or not exactly one document; the message names
            line, column and remedy.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"{len(text)} characters are more than YAML is read of, {MAX_CHARACTERS}: shorten the file")
    builder = _Builder()
    try:
        for event in _events(decode(text)):
            builder.add(event)
    except yaml.reader.ReaderError as error:
        raise ValueError(f"{_line_and_column(text, error.position)}{_unacceptable(error)}") from None
    except _Refused as error:
        raise ValueError(f"{_place(error.mark)}{error}") from None
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"{_place(error.problem_mark or error.context_mark)}{_explain(error)}") from None
    if len(builder.documents) != 1:
        count = len(builder.documents)
        raise ValueError(f"one document is expected, there are {count}: put each run in a file of its own")
    return builder.documents[0]


class _Refused(Exception):
    """Something in the document is not accepted, at a place."""

    def __init__(self, message: str, mark: Any) -> None:
        super().__init__(message)
        self.mark = mark


def _events(text: str) -> Iterator[yaml.Event]:
    """Events of PyYAML's parser, which raises YAMLError and, for an escape beyond Unicode, two errors of chr()."""
    loader = yaml.SafeLoader(text)
    try:
        while loader.check_event():
            event: yaml.Event = loader.get_event()  # type: ignore[no-untyped-call]
            yield event
    except (ValueError, OverflowError):  # an escape such as \UFFFFFFFF, which chr() refuses
        raise _Refused("an escape stands for no character: correct it", loader.get_mark()) from None
    finally:
        loader.dispose()


@dataclass
class _Container:
    """A list or mapping that is being filled.

    Attributes:
        value: what it has so far.
        anchor: its anchor, None without one.
        values, characters: the totals of the document when it began.
        key: key of the mapping's next value; _NO_KEY when a key comes next; _MERGE_KEY after `<<`.
    """

    value: list[Any] | dict[str, Any]
    anchor: str | None
    values: int
    characters: int
    key: Any = _NO_KEY


@dataclass(frozen=True)
class _Anchored:
    """What an alias stands for: the value, and what it adds to the totals wherever it is repeated."""

    value: Any
    values: int
    characters: int


@dataclass
class _Builder:
    """Puts the events of a stream together.

    Attributes:
        documents: the root values that have come so far, those of empty documents left out.
    """

    documents: list[Any] = field(default_factory=list)
    _open: list[_Container] = field(default_factory=list)
    _anchors: dict[str, _Anchored] = field(default_factory=dict)
    _values: int = 0
    _characters: int = 0

    def add(self, event: yaml.Event) -> None:
        """Takes the next event.

        Raises:
            _Refused: it makes the document invalid, or larger than the limits.
        """
        try:
            self._add(event)
        except ValueError as error:
            raise _Refused(str(error), event.start_mark) from None

    def _add(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self._anchors.clear()
            self._values = self._characters = 0
            if event.version not in (None, (1, 1)):
                raise ValueError("kubectl refuses %YAML directives of other versions than 1.1: remove the line")
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event.anchor or "")
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._start(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            container = self._open.pop()
            if container.anchor is not None:
                self._remember(container.anchor, container.value, container.values, container.characters)
            self._put(container.value)

    def _alias(self, name: str) -> None:
        anchored = self._anchors.get(name)
        if anchored is None:
            raise ValueError(f"alias *{name[:EXCERPT]} has no anchor &{name[:EXCERPT]} before it: add one")
        if anchored.value is _UNFINISHED:
            raise ValueError(f"alias *{name[:EXCERPT]} contains itself: write the value out")
        self._count(anchored.values, anchored.characters)
        self._put(anchored.value)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        plain, text = event.style is None, _paired(event.value)
        values, characters = self._values, self._characters
        self._count(1, len(text))
        is_key = bool(self._open) and isinstance(self._open[-1].value, dict) and self._open[-1].key is _NO_KEY
        if is_key and text == MERGE and (event.tag == f"{TAG}merge" or (plain and event.tag is None)):
            self._open[-1].key = _MERGE_KEY
            return
        if not self._open and plain and not text and event.tag is None and event.anchor is None:
            return  # a document without content
        value = resolve(text, tag=event.tag, plain=plain)
        if event.anchor is not None:
            self._remember(event.anchor, value, values, characters)
        self._put(value)

    def _start(self, event: yaml.CollectionStartEvent) -> None:
        value: list[Any] | dict[str, Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        if event.tag not in (None, TAG + ("map" if isinstance(value, dict) else "seq")):
            raise ValueError(unknown_tag(event.tag))
        if len(self._open) >= MAX_DEPTH:
            raise ValueError(f"nested in more than {MAX_DEPTH} levels")
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(_UNFINISHED, 0, 0)
        self._open.append(_Container(value, event.anchor, self._values, self._characters))
        self._count(1, 0)

    def _remember(self, anchor: str, value: Any, values: int, characters: int) -> None:
        self._anchors[anchor] = _Anchored(value, self._values - values, self._characters - characters)

    def _count(self, values: int, characters: int) -> None:
        self._values += values
        self._characters += characters
        if self._values > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} values, because aliases multiply: write the values out")
        if self._characters > MAX_CHARACTERS:
            raise ValueError(f"more than {MAX_CHARACTERS} characters, because aliases multiply: write the values out")

    def _put(self, value: Any) -> None:
        """Puts a finished value where it belongs: into the innermost open container, as key or value."""
        if not self._open:
            self.documents.append(value)
            return
        container = self._open[-1]
        if isinstance(container.value, list):
            container.value.append(value)
        elif container.key is _NO_KEY:
            container.key = _key(value, container.value)
        else:
            key, container.key = container.key, _NO_KEY
            if key is _MERGE_KEY:
                _merge(value, container.value)
            else:
                container.value[key] = value


def _paired(text: str) -> str:
    """Joins surrogate pairs, in whose two escapes JSON writes an emoji: a manifest may be JSON, for kubectl as well.

    Raises:
        ValueError: half of a pair remains.
    """
    if text.isascii():
        return text
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    check_text(joined)
    return joined


def _key(value: Any, mapping: dict[str, Any]) -> str:
    if not isinstance(value, str):
        shown = type(value).__name__ if isinstance(value, dict | list) else repr(value)
        raise ValueError(f"key {shown} is not text: put it in quotes")
    if value in mapping:
        raise ValueError(f"duplicate key {value[:EXCERPT]!r}: keep one of them")
    return value


def _merge(value: Any, mapping: dict[str, Any]) -> None:
    for part in value if isinstance(value, list) else [value]:
        if not isinstance(part, dict):
            raise ValueError(f"{MERGE} merges mappings: write {MERGE}: *NAME of a mapping, or a list of such")
        for key, inner in part.items():
            if key in mapping:
                raise ValueError(f"duplicate key {key[:EXCERPT]!r}, which {MERGE} merges in as well: keep one of them")
            mapping[key] = inner


def _explain(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "not YAML"
    return f"{problem}: indent and separate with blanks" if "'\\t'" in problem else problem


def _unacceptable(error: yaml.reader.ReaderError) -> str:
    return f"the character U+{error.character:04X} is not allowed in YAML: remove it, or write it as an escape"


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""


def _line_and_column(text: str, position: int) -> str:
    start = text.rfind("\n", 0, position) + 1
    return f"line {text.count(chr(10), 0, position) + 1}, column {position - start + 1}: "

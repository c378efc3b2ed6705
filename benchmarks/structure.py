"""Measures the structure of both packages: folders and imports between them, sizes, docstrings and comments.

    python benchmarks/structure.py             the working tree
    python benchmarks/structure.py c7cc9be     that commit beside the working tree

Counts come from the syntax tree and the tokenizer, so that they can be repeated on any commit without installing it.
A room is a folder or a module directly below a package; an arrow is an import from one room into another; an arrow runs
up if its target also reaches its source.
"""

import ast
import io
import re
import statistics
import subprocess
import sys
import tempfile
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = {"operator": "operator/selfalign_operator", "stages": "stages/selfalign_stages"}
DIALECT = re.compile(r"\b(told|found|held|seen|look|looks|world|pace)\b", re.IGNORECASE)
SMALL_FILE_LINES = 35
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Figures:
    """What is counted over one package."""

    rooms: set[str] = field(default_factory=set)
    arrows: set[tuple[str, str]] = field(default_factory=set)
    file_lines: list[int] = field(default_factory=list)
    function_lines: list[int] = field(default_factory=list)
    docstrings: list[int] = field(default_factory=list)
    undocumented: int = 0
    lines: int = 0
    comments: int = 0
    notes: int = 0
    dialect: int = 0

    @property
    def explained(self) -> int:
        """Lines that give reasons: comments, and strings under constants and fields."""
        return self.comments + self.notes

    def rows(self) -> Iterator[tuple[str, str]]:
        """Names and values for the table."""
        functions = sorted(self.function_lines)
        small = sum(3 < lines < SMALL_FILE_LINES for lines in self.file_lines)
        one_line = sum(lines == 1 for lines in self.docstrings)
        yield "rooms", str(len(self.rooms))
        yield "arrows between rooms", str(len(self.arrows))
        yield "arrows that run up", str(self._upward())
        yield "floors", str(self._floors())
        yield "files", str(len(self.file_lines))
        yield f"files below {SMALL_FILE_LINES} lines", str(small)
        yield "file lines, median / max", f"{statistics.median(self.file_lines):.0f} / {max(self.file_lines)}"
        yield (
            "function lines, median / p90 / max",
            f"{statistics.median(functions):.0f} / {functions[len(functions) * 9 // 10]} / {functions[-1]}",
        )
        yield "public docstrings of one line", f"{100 * one_line / max(len(self.docstrings), 1):.0f} %"
        yield "public names without docstring", str(self.undocumented)
        yield "lines of comments", f"{100 * self.comments / max(self.lines, 1):.1f} %"
        yield "lines of comments and of strings under constants", f"{100 * self.explained / max(self.lines, 1):.1f} %"
        yield "dialect words", str(self.dialect)

    def _reach(self, start: str) -> set[str]:
        reached: set[str] = set()
        pending = [start]
        while pending:
            room = pending.pop()
            for source, target in self.arrows:
                if source == room and target not in reached:
                    reached.add(target)
                    pending.append(target)
        return reached

    def _upward(self) -> int:
        return sum(source in self._reach(target) for source, target in self.arrows)

    def _floors(self) -> int:
        """Longest chain of imports; rooms of one circle share a floor."""
        depth = {room: 1 for room in self.rooms}
        straight = [(a, b) for a, b in self.arrows if a not in self._reach(b)]
        for _ in self.rooms:
            for source, target in straight:
                depth[source] = max(depth[source], depth[target] + 1)
        return max(depth.values(), default=0)


def measure(root: Path, folder: str) -> Figures:
    """Counts over all Python files of a package below `root`."""
    figures, package = Figures(), Path(folder).name
    for path in sorted((root / folder).rglob("*.py")):
        text = path.read_text()
        relative = path.relative_to(root / folder)
        room = relative.parts[0].removesuffix(".py")
        figures.file_lines.append(text.count("\n"))
        figures.lines += text.count("\n")
        figures.dialect += len(DIALECT.findall(text))
        figures.comments += sum(
            token.type == tokenize.COMMENT and "noqa" not in token.string and "type: ignore" not in token.string
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
        )
        if not room.startswith("__"):
            figures.rooms.add(room)
        tree = ast.parse(text)
        _count_definitions(tree, figures)
        for target in _imported(tree, package):
            if room != target and not room.startswith("__"):
                figures.arrows.add((room, target))
    figures.arrows = {(a, b) for a, b in figures.arrows if b in figures.rooms}
    return figures


def _count_definitions(tree: ast.Module, figures: Figures) -> None:
    """Docstrings of modules, public classes and public functions; a string after an assignment documents a constant."""
    figures.docstrings.append((ast.get_docstring(tree) or "").count("\n") + 1)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef):
            figures.notes += sum(map(_lines_under_constant, node.body, node.body[1:]))
        if isinstance(node, Function):
            figures.function_lines.append((node.end_lineno or node.lineno) - node.lineno + 1)
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            docstring = ast.get_docstring(node)
            if docstring is None:
                figures.undocumented += 1
            else:
                figures.docstrings.append(docstring.count("\n") + 1)


def _lines_under_constant(first: ast.stmt, second: ast.stmt) -> int:
    """Lines of `second` if it is a string that documents the assignment before it."""
    if not isinstance(first, ast.Assign | ast.AnnAssign) or not isinstance(second, ast.Expr):
        return 0
    if isinstance(second.value, ast.Constant) and isinstance(second.value.value, str):
        return (second.end_lineno or second.lineno) - second.lineno + 1
    return 0


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    """Rooms of the package that a module imports, lazily or not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == package:
                yield from (alias.name for alias in node.names)
            elif node.module.startswith(f"{package}."):
                yield node.module.split(".")[1]


def at(revision: str, into: Path) -> Path:
    """A copy of the repository's files at a commit."""
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(into)], input=archive, check=True)
    return into


def main() -> None:
    """Prints one table for each package."""
    with tempfile.TemporaryDirectory() as folder:
        trees = {revision: at(revision, Path(folder)) for revision in sys.argv[1:2]} | {"working tree": ROOT}
        for name, package in PACKAGES.items():
            columns = {label: dict(measure(tree, package).rows()) for label, tree in trees.items()}
            print(f"| {name} | {' | '.join(columns)} |")
            print("| --- |" + " ---: |" * len(columns))
            for row in next(iter(columns.values())):
                print(f"| {row} | {' | '.join(values[row] for values in columns.values())} |")
            print()


if __name__ == "__main__":
    main()

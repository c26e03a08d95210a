"""How many lines of code, modules and functions there are, by room: what the size of the house is judged by.

    python benchmarks/code_lines.py [ROOT]

A line of code has a token that is no comment and no docstring. Count after `ruff format` at 120 columns: lines are as
long as the formatter makes them. ROOT is a checkout, this one by default.
"""

from __future__ import annotations

import ast
import io
import statistics
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    *(tokenize.ENCODING, tokenize.ENDMARKER),
}
_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
_DOCUMENTED = ast.Module | ast.ClassDef | _FUNCTION


class Room(NamedTuple):
    """Totals of one folder: lines of code, and lines of code of each function."""

    lines: int
    modules: int
    functions: list[int]


def code_lines(text: str) -> set[int]:
    """Numbers of the lines of code."""
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            docstrings.update(_lines(node.body[0]))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return lines - docstrings


def function_lines(text: str, lines: set[int]) -> Iterator[int]:
    """Lines of code of each function, those inside it included."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, _FUNCTION):
            yield len(lines & set(_lines(node)))


def _lines(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def rooms(root: Path) -> dict[str, Room]:
    """The rooms of `sizer`, `models` and `profiles`, by name."""
    found: dict[str, Room] = {}
    for folder in ("sizer", "models", "profiles"):
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root).parts
            name = "/".join(parts[:2]) if folder == "sizer" and len(parts) > 2 else folder
            text = path.read_text(encoding="utf-8")
            lines = code_lines(text)
            room = found.get(name, Room(0, 0, []))
            functions = [*room.functions, *function_lines(text, lines)]
            found[name] = Room(room.lines + len(lines), room.modules + (path.name != "__init__.py"), functions)
    return found


def main() -> None:
    """Print the rooms, the largest first, and the total."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]
    found = rooms(root)
    for name, room in sorted(found.items(), key=lambda item: -item[1].lines):
        print(f"{name:24} {room.lines:6,} lines of code {room.modules:4} modules")
    functions = sorted(length for room in found.values() for length in room.functions)
    total, modules = sum(room.lines for room in found.values()), sum(room.modules for room in found.values())
    ninetieth = statistics.quantiles(functions, n=10)[-1]
    print(f"{'total':24} {total:6,} lines of code {modules:4} modules without __init__")
    print(f"{len(functions):,} functions: median {statistics.median(functions):g} lines of code, 90th percentile "
          f"{ninetieth:g}, longest {functions[-1]}")  # fmt: skip


if __name__ == "__main__":
    main()

"""Keeping a lever: the environment to set, and the changed call as a diff where its line in the script is known."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sizer.tuning.levers.protocol import Lever, Place, Seen
from sizer.tuning.record import Kept

#: Largest file of a script that is read for a diff, in bytes.
_MOST_BYTES = 2**20


def kept(lever: Lever, seen: Seen, shown_as: Callable[[str], str]) -> Kept:
    """How to keep a lever; ``shown_as`` gives the name by which a file of the script is known to its owner."""
    keep = lever.keep
    places = _places(keep.call, seen) if keep.call else []
    diffs = [
        diff
        for file in dict.fromkeys(place.file for place in places)
        if (diff := _diff(file, places, keep.arguments, shown_as))
    ]
    lines = keep.lines
    if keep.call and not diffs:
        given = ", ".join(f"{name}={value}" for name, value in keep.arguments.items())
        lines = (*lines, f"{keep.call}(..., {given})")
    return Kept(dict(lever.environment), "".join(diffs), () if lever.environment else lines, keep.note)


def _places(call: str, seen: Seen) -> list[Place]:
    made = seen.loaders if call == "DataLoader" else [one for one in seen.optimizers if one.kind == call]
    return list(dict.fromkeys(one.place for one in made if one.place is not None))


def _diff(file: str, places: Sequence[Place], arguments: Mapping[str, str], shown_as: Callable[[str], str]) -> str:
    path = Path(file)
    try:
        source = path.read_text(encoding="utf-8") if path.stat().st_size <= _MOST_BYTES else ""
    except (OSError, UnicodeDecodeError):
        return ""
    changed = source
    for place in sorted((place for place in places if place.file == file), key=lambda one: -one.line):
        changed = with_arguments(changed, place.line, arguments)
    name = shown_as(file)
    lines = difflib.unified_diff(source.splitlines(True), changed.splitlines(True), name, name, n=0)
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def with_arguments(source: str, line: int, arguments: Mapping[str, str]) -> str:
    """The source with keyword arguments set in the call that begins in a line, or as it is where there is none.

    Where several calls begin there, it is the last of the outermost: the call of a constructor inside an assignment.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return source
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and node.lineno <= line <= (node.end_lineno or line)
    ]
    calls = [call for call in calls if _is_constructor(call)]
    if not calls:
        return source
    call = min(calls, key=lambda node: (abs(node.lineno - line), -(node.end_col_offset or 0)))
    for keyword in call.keywords:
        if keyword.arg is not None and keyword.arg in arguments:
            source = _replaced(source, keyword.value, arguments[keyword.arg])
            return with_arguments(source, line, {k: v for k, v in arguments.items() if k != keyword.arg})
    return _added(source, call, arguments)


def _is_constructor(call: ast.Call) -> bool:
    """Whether a class is called, by the habit of names: ``DataLoader(...)``, ``torch.optim.Adam(...)``."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name[:1].isupper()


def _offset(source: str, line: int, column: int) -> int:
    """Where a position of the syntax tree is, which counts bytes of UTF-8 in a line."""
    lines = source.splitlines(keepends=True)
    return sum(map(len, lines[: line - 1])) + len(lines[line - 1].encode()[:column].decode())


def _replaced(source: str, node: ast.expr, text: str) -> str:
    begin = _offset(source, node.lineno, node.col_offset)
    end = _offset(source, node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)
    return source[:begin] + text + source[end:]


def _added(source: str, call: ast.Call, arguments: Mapping[str, str]) -> str:
    if not arguments:
        return source
    end = _offset(source, call.end_lineno or call.lineno, call.end_col_offset or 0) - 1
    before = source[:end].rstrip()
    comma = "" if before.endswith(("(", ",")) else ", "
    space = " " if before.endswith(",") else ""
    given = ", ".join(f"{name}={value}" for name, value in arguments.items())
    return before + comma + space + given + source[end:]

"""Records as one HTML file: no network, no script needed, and only one allowed; or as a fragment for a notebook."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from sizer._version import __version__
from sizer.base.records import Record
from sizer.base.visible import visible
from sizer.report.charts import charts
from sizer.report.charts.figure import Chart, Figure
from sizer.report.charts.icicle import drawn_icicle
from sizer.report.charts.picture import SIZES
from sizer.report.charts.plot import drawn_chart
from sizer.report.layout import BLANK, Block, Column, Curve, Detail, Fitted, Line, More, Paragraph, Table
from sizer.report.pages.odd_values import refusing_odd_values
from sizer.report.pages.text import label, labels, told
from sizer.report.pages.writing import write_page
from sizer.report.terminal import remarks, report

#: Rows of a table on a page; all of them are in the record beside it.
_ROWS = 200
#: Longest cell of a column that is kept on one line, and columns that page.css has classes for.
_SHORT, _STYLED = 24, 12
#: Lists of objects from so many on are packed.
_LONG_LIST = 20
#: Title of the answer to `--why-not`, which names a first width.
_ASKED = re.compile(r"why not (\d{1,9})")
#: What a record is called, by its class.
_NAMES = {
    "Machine": "Memory hierarchy",
    "Diagnosis": "Installation",
    "Recommendation": "Recommended sizes",
    "FamilyRecommendation": "Recommended sizes of a family",
    "Fleet": "Machines of a fleet",
    "Comparison": "Two machines compared",
    "Inspection": "Networks inspected",
    "ModuleInspection": "Module inspected",
    "Calibration": "Calibration",
    "OperatorCalibration": "Operators timed",
    "KeptSessions": "Calibrations kept",
    "ClusterCalibration": "Calibration of a cluster",
    "Validation": "Validation",
    "SearchResult": "Search",
    "Tuning": "Tuning",
    "StudyStep": "Step of a study",
}


@dataclass(frozen=True)
class Entry:
    """A record on a page: what it is called there, and what was answered beside its fields, by title.

    ``data`` is its JSON as it was read, None for a record that was just made.
    """

    record: Record
    name: str = ""
    answers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    data: Mapping[str, Any] | None = None

    @property
    def title(self) -> str:
        """What kind of record it is, and its name."""
        kind = type(self.record).__name__
        return f"{_NAMES.get(kind, kind)} ({self.name})" if self.name else _NAMES.get(kind, kind)


class _Drawn(NamedTuple):
    """A figure as the templates show it."""

    title: str
    description: str
    label: str | None
    pictures: Sequence[Markup]
    keys: Sequence[tuple[str, str]]
    table: Table


def page(entries: Sequence[Entry], refresh_s: int | None = None) -> str:
    """A page of one record or several; ``refresh_s`` lets a browser read the file again after so many seconds."""
    script = _asset("page.js")
    style = _asset("page.css")
    title = entries[0].title if len(entries) == 1 else f"{len(entries)} records"
    return _rendered(
        "page.html",
        title=visible(title),
        entries=[_guarded(entry, f"r{number}") for number, entry in enumerate(entries, start=1)],
        version=__version__,
        style=Markup(style),  # noqa: S704 (the package's own)
        script=Markup(script),  # noqa: S704
        style_hash=_hash(style),
        script_hash=_hash(script),
        refresh_s=refresh_s,
    )


def fragment(record: Record) -> str:
    """What a notebook shows: the page's body with its styles, without a script, its ids its own."""
    entry = _shown(Entry(record), f"sizer-{secrets.token_hex(4)}", whole=False)
    style = Markup(_asset("page.css"))  # noqa: S704 (the package's own)
    return _rendered("fragment.html", entry=entry, style=style)


def save_page(record: Record, path: str | os.PathLike[str], force: bool = False) -> None:
    """Write a record's page. Raises UsageError as `write_page` does."""
    write_page(Path(path), page([Entry(record)]), force)


def _guarded(entry: Entry, ids: str) -> dict[str, Any]:
    """An entry as the templates need it. Raises DataError for a record that was read and has values no record has."""
    if entry.data is None:
        return _shown(entry, ids)
    with refusing_odd_values(entry.title):
        return _shown(entry, ids)


def _shown(entry: Entry, ids: str, whole: bool = True) -> dict[str, Any]:
    """An entry as the templates need it: what stands above the figures, the figures, the rest."""
    record = entry.record
    asked = [int(found.group(1)) for title in entry.answers if (found := _ASKED.fullmatch(title))]
    figures = [
        drawn for number, one in enumerate(charts(record, asked), start=1) if (drawn := _drawn(one, f"{ids}-{number}"))
    ]
    blocks = [block for block in report(record) if not isinstance(block, Curve)]  # (the figures show it better)
    lead = _lead(blocks) if figures else len(blocks)
    return {
        "ids": ids,
        "title": visible(entry.title),
        "lead": list(_nodes(blocks[:lead])),
        "figures": figures,
        "rest": list(_nodes(blocks[lead:])),
        "answers": {title: list(lines) for title, lines in entry.answers.items()},
        "remarks": [block.text for block in remarks(record) if isinstance(block, Paragraph)],
        "json": embedded(entry) if whole else "",
    }


def _lead(blocks: Sequence[Block]) -> int:
    """How many blocks stand above the figures: those before the first table, up to the last empty line there."""
    table = next((index for index, block in enumerate(blocks) if isinstance(block, (Table, Fitted))), len(blocks))
    return next((index for index in reversed(range(table)) if blocks[index] == BLANK), table)


def embedded(entry: Entry) -> Markup:
    """The record's JSON so that nothing in it ends the element that it stands in."""
    data = entry.data
    if data is None:
        data = entry.record.to_dict() | ({"answers": entry.answers} if entry.answers else {})
    text = json.dumps(packed(data), separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 (escaped above; JSON beyond ASCII is escaped by json)


def packed(value: Any) -> Any:
    """JSON data in which a long list of objects with the same fields names these once, as ``_columns`` of ``_rows``.

    The script that saves the record undoes it. A sweep of 700 sizes is half as long so.
    """
    if isinstance(value, Mapping):
        return {name: packed(each) for name, each in value.items()}
    if not isinstance(value, (list, tuple)):
        return value
    items = [packed(each) for each in value]
    names = list(items[0]) if len(items) >= _LONG_LIST and isinstance(items[0], dict) else []
    if names and all(isinstance(each, dict) and list(each) == names for each in items):
        return {"_columns": names, "_rows": [list(each.values()) for each in items]}
    return items


def _drawn(figure: Figure, ids: str) -> _Drawn | None:
    """A figure at each width; None where there is nothing to draw."""
    draw: Any = drawn_chart if isinstance(figure, Chart) else drawn_icicle
    pictures = [draw(figure, size, f"{ids}{size.name[0]}") for size in SIZES]
    if not all(pictures):
        return None
    keys = list(dict.fromkeys(_keys(figure)))
    return _Drawn(figure.title, figure.description, figure.label, pictures, keys, figure.table)


def _keys(figure: Figure) -> Iterator[tuple[str, str]]:
    """What colours and signs stand for: a class of the sign, and what it is."""
    if not isinstance(figure, Chart):
        yield from ((f"box s{min(index, 5)}", name) for index, name in enumerate(figure.shades))
        return
    yield from ((f"box s{min(index, 5)}", name) for index, name in enumerate(figure.shades))
    for series in figure.series if len(figure.series) + len(figure.bands) > 1 else ():
        yield f"{series.look} c{(series.colour - 1) % 8 + 1}", series.name
    for band in figure.bands:
        yield f"wide c{(band.colour - 1) % 8 + 1}", band.name


def _nodes(blocks: Sequence[Block]) -> Iterator[dict[str, Any]]:
    """Blocks as the templates need them; empty lines are left out."""
    for block in blocks:
        if isinstance(block, Line):
            if block.text:
                yield {"kind": "heading" if block.strong else "line", "text": block.text}
        elif isinstance(block, Paragraph):
            kind = "heading" if block.strong else "paragraph"
            yield {"kind": kind, "head": block.head.strip(), "text": block.text}
        elif isinstance(block, Detail):
            yield {"kind": "detail", "text": block.text}
        elif isinstance(block, Table):
            yield table_node(block)
        elif isinstance(block, Fitted):
            yield table_node(block.table)
            yield from _nodes(block.below)
        elif isinstance(block, More):
            yield {"kind": "more", "what": block.what, "nodes": list(_nodes(block.blocks))}


def table_node(table: Table) -> dict[str, Any]:
    """A table by rows, at most so many; how many are left out."""
    rows = list(zip_longest(*(column.cells for column in table.columns), fillvalue=""))
    titled = any(column.title for column in table.columns)
    hidden = max(len(rows) - _ROWS, 0)
    return {
        "kind": "table",
        "titles": [column.title for column in table.columns] if titled else [],
        "looks": " ".join(filter(None, map(_look, range(1, _STYLED + 1), table.columns))),
        "rows": rows[: len(rows) - hidden],
        "hidden": hidden,
        "total": table.ends_in_total and not hidden,
    }


def _look(number: int, column: Column) -> str:
    """A class of the table that says of a column, by its number, that it stands at the right, or may be broken."""
    if column.right:
        return f"r{number}"
    return f"w{number}" if any(len(cell) > _SHORT for cell in column.cells) else ""


@cache
def _asset(name: str) -> str:
    return (files("sizer.report.pages") / "templates" / name).read_text(encoding="utf-8").strip()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"told": told, "label": label, "labels": labels, "visible": visible, "table": table_node}
    return environment


def _rendered(name: str, **values: object) -> str:
    return str(_environment().get_template(name).render(**values))


def _hash(text: str) -> str:
    """The hash of an inline element's content, as a Content-Security-Policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"

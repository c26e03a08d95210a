"""From a file of text, gzipped or not, to columns of cells as they are written, each row with its line.

Python's `csv` cuts the rows, since it says in which line each begins and pads or cuts none; Arrow holds the cells.
"""

from __future__ import annotations

import codecs
import gzip
import io
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from sizer.base.errors import DataError
from sizer.base.units import counted, format_bytes
from sizer.size_search.data.memory import available_bytes, require_memory
from sizer.size_search.data.reading.dialect import DELIMITER_NAMES, Dialect, find_dialect
from sizer.size_search.data.reading.rows import Record, records

_SAMPLE_BYTES = 1 << 20
_SAMPLE_LINES = 1000
_CHUNK_ROWS = 20_000
#: A chunk of rows, the cells and the numbers made of them are held at the same time.
_COPIES = 2
_CELL_BYTES = 24
_BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True, eq=False)
class Cells:
    """A table as it is written: Arrow arrays of text, "" for an empty cell.

    ``lines`` (n,) are the lines that the rows begin in, counted from 1; ``place`` is what to call them.
    """

    name: str
    names: tuple[str, ...]
    columns: tuple[Any, ...]
    lines: npt.NDArray[np.int64]
    delimiter: str = ""
    place: str = "line"
    remarks: tuple[str, ...] = ()
    dialect: Dialect | None = None

    def only(self, names: Sequence[str]) -> Cells:
        """The columns of these names."""
        return replace(self, names=tuple(names), columns=tuple(self.columns[self.names.index(name)] for name in names))

    def where(self, column: int, cell: str) -> str:
        """The place of the first such cell in a column: "line 7"."""
        import pyarrow.compute as pc

        row = pc.index(self.columns[column], cell).as_py()
        return f"{self.place} {self.lines[row]}"


def encoding_of(head: bytes) -> str | None:
    """The encoding that a file's first bytes say, by its mark or its zeros; None for bytes that are no text."""
    for mark, encoding in _BOMS.items():
        if head.startswith(mark):
            return encoding
    if b"\0" not in head:
        return "utf-8"
    for encoding, zeros, others in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        if zeros.count(0) > 0.9 * len(zeros) and not others.count(0):
            return encoding
    return None


def read_cells(path: Path, is_gzipped: bool, expected: Sequence[str] = ()) -> Cells:
    """Read a table's cells. Raises DataError for text that is no table or does not fit into memory."""
    head = _head(path, is_gzipped)
    encoding = encoding_of(head)
    if encoding is None:
        raise DataError(f"{path.name} holds something else than text; expected a CSV or TSV file, gzipped")
    try:
        return _read(path, is_gzipped, head, encoding, expected)
    except UnicodeDecodeError:
        encoding, said = _without_utf8(path, is_gzipped)
        found = _read(path, is_gzipped, head, encoding, expected)
        remark = f"{path.name} is not UTF-8: read as {said}; check names with accents"
        return replace(found, remarks=(remark, *found.remarks))


def _read(path: Path, is_gzipped: bool, head: bytes, encoding: str, expected: Sequence[str]) -> Cells:
    lines = list(islice(io.StringIO(head.decode(encoding, "replace"), newline=""), _SAMPLE_LINES + 1))
    is_whole = len(lines) <= _SAMPLE_LINES and len(head) < _SAMPLE_BYTES
    sample = lines if is_whole else lines[:-1]
    if not sample:
        raise DataError(
            f"{path.name} is no table: its first line goes on for more than {format_bytes(_SAMPLE_BYTES)}; write a row "
            f"a line, with at most some 100,000 columns"
        )
    try:
        dialect = find_dialect(sample, path.name, expected)
        limit = _memory_limit(path, is_gzipped, head, sample, dialect)
        with _open(path, is_gzipped) as stream:
            capped = io.BufferedReader(_Capped(stream, path.name, limit))
            text = io.TextIOWrapper(capped, encoding=encoding, newline="")
            return collect(path.name, text, dialect)
    except DataError as error:
        said = str(error)
        raise DataError(said if path.name in said else f"{path.name} is no table: {said}") from None


def _open(path: Path, is_gzipped: bool) -> IO[bytes]:
    return gzip.open(path, "rb") if is_gzipped else path.open("rb")  # type: ignore[return-value]


def _head(path: Path, is_gzipped: bool) -> bytes:
    with _open(path, is_gzipped) as stream:
        head = stream.read(_SAMPLE_BYTES)
    if not head.strip():
        raise DataError(f"{path.name} unpacks to nothing; expected a table in text")
    return head


def _without_utf8(path: Path, is_gzipped: bool) -> tuple[str, str]:
    """The encoding of text that is not UTF-8, and its name: Windows-1252 where bytes are letters only there."""
    seen: set[int] = set()
    with _open(path, is_gzipped) as stream:
        while chunk := stream.read(_SAMPLE_BYTES):
            seen.update(re.findall(rb"[\x80-\x9f]", chunk) and set(chunk))
    is_windows = bool(seen & set(range(0x80, 0xA0))) and not seen & {0x81, 0x8D, 0x8F, 0x90, 0x9D}
    return ("cp1252", "Windows-1252") if is_windows else ("latin-1", "Latin-1")


def _text_bytes(path: Path, is_gzipped: bool) -> int:
    """Bytes of text: exact, or what the end of a gzip file says (modulo 4 GiB)."""
    size = path.stat().st_size
    if not is_gzipped:
        return size
    with path.open("rb") as stream:
        stream.seek(-4, io.SEEK_END)
        return max(size, int.from_bytes(stream.read(4), "little"))


def _memory_limit(path: Path, is_gzipped: bool, head: bytes, sample: Sequence[str], dialect: Dialect) -> int | None:
    """Bytes of text that fit into memory. Raises DataError where the file has more."""
    sample_bytes = min(len(head), sum(map(len, sample))) or 1
    cells = len(sample) * dialect.width
    per_byte = _COPIES * (1.0 + _CELL_BYTES * cells / sample_bytes)
    text_bytes = _text_bytes(path, is_gzipped)
    require_memory(f"{path.name} ({format_bytes(text_bytes)} of text)", per_byte * text_bytes)
    there = available_bytes()
    return None if there is None else int(there / per_byte)


def collect(name: str, text: IO[str], dialect: Dialect) -> Cells:
    """All rows as columns. Raises DataError for one that does not have the header's number of cells."""
    import pyarrow as pa

    rows = records(text, dialect.delimiter, dialect.quote, dialect.comment, dialect.first_line)
    chunks: list[list[Any]] = []
    lines: list[int] = []
    empty = 0
    while chunk := list(islice(rows, _CHUNK_ROWS)):
        wrong = next((row for row in chunk if len(row.cells) != dialect.width), None)
        if wrong is not None:
            raise DataError(_uneven(name, wrong, dialect))
        kept = [row for row in chunk if any(row.cells)]
        empty += len(chunk) - len(kept)
        lines += [row.line for row in kept]
        chunks.append(
            [pa.array(column, pa.large_string()) for column in zip(*(row.cells for row in kept), strict=True)]
        )
    pieces = [chunk for chunk in chunks if chunk]
    first = int(dialect.row_names)
    columns = [
        pa.chunked_array([piece[position] for piece in pieces], pa.large_string())
        for position in range(first, first + len(dialect.names))
    ]
    remarks = [*dialect.remarks, *([f"{name}: {empty:,} empty rows are left out"] if empty else [])]
    return _with_names(name, columns, np.array(lines, dtype=np.int64), dialect, remarks)


def _uneven(name: str, row: Record, dialect: Dialect) -> str:
    """One line on a row whose cells are not the header's."""
    names = ", ".join(dialect.names[:6]) + (" …" if len(dialect.names) > 6 else "")
    where = f"the header {len(dialect.names)}" if dialect.header_line else f"the other rows {len(dialect.names)}"
    guess = ""
    if (
        dialect.delimiter == ","
        and len(row.cells) > dialect.width
        and all(re.fullmatch(r"[+-]?\d+|", c) for c in row.cells)
    ):
        guess = "decimal commas between commas? write semicolons between cells, or decimal points"
    between = DELIMITER_NAMES.get(dialect.delimiter, repr(dialect.delimiter))
    remedy = (
        guess
        or f"cells are taken to be separated by {between}: correct or remove that line, or put such cells in quotes"
    )
    return f"{name} is no table: line {row.line} has {counted(len(row.cells), 'cell')} and {where} ({names}); {remedy}"


def _with_names(
    name: str, columns: Sequence[Any], lines: npt.NDArray[np.int64], dialect: Dialect, remarks: list[str]
) -> Cells:
    """The columns by name: those without a name and a value left out, a name that comes twice counted up."""
    import pyarrow.compute as pc

    kept: list[tuple[str, Any]] = []
    taken: set[str] = set()
    last: dict[str, int] = defaultdict(int)
    nameless = 0
    for position, (given, column) in enumerate(zip(dialect.names, columns, strict=True)):
        if not given and not pc.any(pc.not_equal(column, "")).as_py():
            nameless += 1
            continue
        called = wanted = given or f"Unnamed: {position}"
        while called in taken:
            last[wanted] += 1
            called = f"{wanted}.{last[wanted]}"
        if given and called != given:
            remarks.append(f"{name} has two columns of the name {given!r}: the second is {called!r}")
        taken.add(called)
        kept.append((called, column))
    if nameless:
        remarks.append(f"{name}: {counted(nameless, 'column')} without a name and a value left out")
    if not kept:
        raise DataError(f"{name} has no column with a name or a value; expected a table in text")
    names, arrays = zip(*kept, strict=True)
    return Cells(name, names, arrays, lines, dialect.delimiter, "line", tuple(remarks), dialect)


class _Capped(io.RawIOBase):
    """A stream that ends in a DataError where it unpacks to more than fits into memory, whatever its end says."""

    def __init__(self, stream: IO[bytes], name: str, limit: int | None) -> None:
        self._stream, self._name, self._limit, self._read = stream, name, limit, 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read on, and count."""
        data = self._stream.read(len(buffer))
        self._read += len(data)
        if self._limit is not None and self._read > self._limit:
            raise DataError(
                f"{self._name} unpacks to more than {format_bytes(self._limit)} of text, more than fits into the "
                f"memory that is free; use a sample of its rows"
            )
        buffer[: len(data)] = data
        return len(data)

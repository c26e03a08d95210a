"""Reading CSV, TSV and their kin, gzipped or not: delimiter, heading, encoding and decimal comma from the content."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sizer.base.errors import DataError
from sizer.base.units import format_bytes
from sizer.size_search.data.memory import available_bytes, require_memory
from sizer.size_search.data.table import Table

if TYPE_CHECKING:
    import pandas as pd

_SAMPLE_BYTES = 1 << 20
_SAMPLE_ROWS = 200
_DELIMITERS = (",", "\t", ";", "|")
#: What people write for a missing value beside what pandas knows (empty, NA, NaN, null and their kin).
_MISSING = ("?", "-", ".", "*", " ")
_DECIMAL_COMMA = re.compile(r"^\s*-?\d+,\d+\s*$")
#: pandas holds the pieces it has parsed and the table made of them at the same time.
_PARSER_COPIES = 2


@dataclass(frozen=True)
class _Dialect:
    """How a file writes its table. A delimiter of None is white space; ``names`` None: the first line has them."""

    delimiter: str | None
    names: tuple[str, ...] | None
    decimal: str
    encoding: str

    def options(self) -> dict[str, Any]:
        """Arguments of `pandas.read_csv`."""
        return {
            "sep": r"\s+" if self.delimiter is None else self.delimiter,
            "header": 0 if self.names is None else None,
            "names": None if self.names is None else list(self.names),
            "decimal": self.decimal,
            "encoding": self.encoding,
            "na_values": list(_MISSING),
            "skipinitialspace": True,
            "low_memory": False,
        }


def read_text(path: Path, is_gzipped: bool) -> Table:
    """Read a table from text. Raises DataError for text that is no table or does not fit into memory."""
    head = _head(path, is_gzipped)
    dialect = _dialect(path.name, head)
    text_bytes = _text_bytes(path, is_gzipped)
    per_byte = _bytes_per_byte(path.name, head, dialect)
    require_memory(f"{path.name} ({format_bytes(text_bytes)} of text)", per_byte * text_bytes)
    there = available_bytes()
    limit = None if there is None else int(there / per_byte)
    remarks = []
    try:
        frame = _parse(path, is_gzipped, dialect.options(), limit)
    except UnicodeDecodeError:
        frame = _parse(path, is_gzipped, dialect.options() | {"encoding": "latin-1"}, limit)
        remarks.append(f"{path.name} is not UTF-8: read as Latin-1; check names with accents")
    if dialect.names is not None:
        remarks.append(f"{path.name} has no line of column names: they are {dialect.names[0]} to {dialect.names[-1]}")
    return Table(path.name, frame, remarks=tuple(remarks))


def _open(path: Path, is_gzipped: bool) -> IO[bytes]:
    return gzip.open(path, "rb") if is_gzipped else path.open("rb")  # type: ignore[return-value]


def _head(path: Path, is_gzipped: bool) -> bytes:
    """The first lines, whole ones where there is more than one."""
    with _open(path, is_gzipped) as stream:
        head = stream.read(_SAMPLE_BYTES)
    if not head.strip():
        raise DataError(f"{path.name} unpacks to nothing; expected a table in text")
    if b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path.name} holds something else than text; expected a CSV or TSV file, gzipped")
    return head[: head.rfind(b"\n") + 1] if len(head) == _SAMPLE_BYTES and b"\n" in head else head


def _text_bytes(path: Path, is_gzipped: bool) -> int:
    """Bytes of text: exact, or what the end of a gzip file says (modulo 4 GiB)."""
    size = path.stat().st_size
    if not is_gzipped:
        return size
    with path.open("rb") as stream:
        stream.seek(-4, io.SEEK_END)
        return max(size, int.from_bytes(stream.read(4), "little"))


def _dialect(name: str, head: bytes) -> _Dialect:
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    lines = [line for line in head.decode(encoding, "replace").splitlines()[:_SAMPLE_ROWS] if line.strip()]
    if not lines:
        raise DataError(f"{name} has no lines; expected a table in text")
    delimiter = _delimiter(lines)
    rows = _split(lines, delimiter)
    is_headed = _has_heading(rows)
    names = None if is_headed else tuple(f"column_{number}" for number in range(1, len(rows[0]) + 1))
    return _Dialect(delimiter, names, "," if _has_decimal_comma(rows, delimiter) else ".", encoding)


def _split(lines: Sequence[str], delimiter: str | None) -> list[list[str]]:
    if delimiter is None:
        return [line.split() for line in lines]
    return list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))


def _delimiter(lines: Sequence[str]) -> str | None:
    """The delimiter that splits the lines into the same number of cells, the larger the better; None is white space."""
    scored = []
    for delimiter in (*_DELIMITERS, None):
        counts = [len(row) for row in _split(lines, delimiter)]
        usual = max(set(counts), key=counts.count)
        if usual > 1:
            # White space also splits sentences: it counts only where nothing else fits as well.
            scored.append((counts.count(usual) / len(counts), delimiter is not None, usual, delimiter))
    best = max(scored, key=lambda score: score[:3], default=None)
    return "," if best is None else best[3]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _has_heading(rows: list[list[str]]) -> bool:
    """Whether the first row has names: texts that their own columns do not hold again, or a count from 0 (pandas')."""
    first, rest = [cell.strip() for cell in rows[0]], rows[1:]
    if first == [str(number) for number in range(len(first))]:
        return True
    texts = [position for position, cell in enumerate(first) if cell and not _is_number(cell)]
    again = [
        position
        for position in texts
        if first[position] in _MISSING
        or any(row[position].strip() == first[position] for row in rest if row[position:])
    ]
    has_numbers = any(_is_number(cell) for cell in first)
    return bool(texts) and (not again if has_numbers else len(again) <= len(texts) / 2)


def _has_decimal_comma(rows: list[list[str]], delimiter: str | None) -> bool:
    return delimiter != "," and any(_DECIMAL_COMMA.match(cell) for row in rows[1:] for cell in row)


def _bytes_per_byte(name: str, head: bytes, dialect: _Dialect) -> float:
    """Memory that a byte of text takes while it is read, from the first megabyte."""
    try:
        sample = _read_csv(io.BytesIO(head), dialect.options() | {"encoding_errors": "replace"})
    except (ValueError, csv.Error) as error:
        raise _no_table(name, error) from None
    taken = sample.memory_usage(deep=True, index=False).sum() / len(head)
    return float(max(1.0, _PARSER_COPIES * taken))


def _parse(path: Path, is_gzipped: bool, options: dict[str, Any], limit: int | None) -> pd.DataFrame:
    with _open(path, is_gzipped) as stream:
        try:
            return _read_csv(io.BufferedReader(_Capped(stream, path.name, limit)) if is_gzipped else stream, options)
        except UnicodeDecodeError:
            raise
        except (ValueError, csv.Error) as error:
            raise _no_table(path.name, error) from None


def _read_csv(stream: Any, options: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd

    frame: pd.DataFrame = pd.read_csv(stream, index_col=False, **options)
    frame.columns = [str(column).strip() for column in frame.columns]
    return frame


def _no_table(name: str, error: Exception) -> DataError:
    reason = " ".join(str(error).replace("Error tokenizing data. C error: ", "").split())
    return DataError(f"{name} is no table: {reason}; expected the same number of cells in every line")


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

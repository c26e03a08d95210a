"""Zip archives of others, such as exported programs: bounded in what they unpack to, whatever their directory says."""

from __future__ import annotations

import json
import zipfile
import zlib
from typing import Any

#: What reading a damaged archive raises: a wrong checksum or stream, a password, a method or text that is none.
ARCHIVE_ERRORS = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error, ValueError, RuntimeError, NotImplementedError),
    *(AttributeError, TypeError, KeyError),
)
#: What reading a member of a damaged, encrypted or oddly packed archive raises, beside an OSError.
DAMAGED_MEMBER = (EOFError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError)
#: torch stores what it exports as it is. JSON that somebody packed has a tenth of its size; a bomb a thousandth.
_MOST_TIMES, _MOST_BEYOND = 30, 2**24


def check_unpacked(archive: zipfile.ZipFile, packed_bytes: int) -> None:
    """Raises ValueError for an archive that unpacks to far more than it has."""
    unpacked = sum(item.file_size for item in archive.infolist())
    if unpacked > _MOST_TIMES * packed_bytes + _MOST_BEYOND:
        raise ValueError(f"its {packed_bytes:,} bytes unpack to {unpacked:,}, which no exported program does")


def read_json(archive: zipfile.ZipFile, name: str, most_bytes: int) -> Any:
    """The JSON of a member. Raises ValueError for more than ``most_bytes`` and for what is none."""
    size = archive.getinfo(name).file_size
    if size > most_bytes:
        raise ValueError(f"its {name.rpartition('/')[2]} has {size:,} bytes; at most {most_bytes:,} are read")
    try:
        return json.loads(archive.read(name))
    except RecursionError:
        raise ValueError(f"its {name.rpartition('/')[2]} is nested too deep") from None

"""Reading data from where a user says it is: a file, a bundled set, or one of PMLB. No pickle is ever read.

What a file holds is told from its content; a name that says something else is refused, so that nobody trains on the
wrong file.
"""

from __future__ import annotations

import difflib
import importlib
import re
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from sizer.base.errors import DataError, UsageError
from sizer.base.storage import cache_folder
from sizer.size_search.data.metrics import CLASSIFICATION, REGRESSION
from sizer.size_search.data.reading.cells import encoding_of
from sizer.size_search.data.reading.rules import Reading
from sizer.size_search.data.reading.tables import read_by, with_text_read
from sizer.size_search.data.table import Table

#: scikit-learn's sets that come with the package -> kind of task.
SKLEARN = {
    "breast_cancer": CLASSIFICATION,
    "diabetes": REGRESSION,
    "digits": CLASSIFICATION,
    "iris": CLASSIFICATION,
    "linnerud": REGRESSION,
    "wine": CLASSIFICATION,
}


def read_sklearn(name: str) -> Table:
    """One of scikit-learn's bundled sets. Raises UsageError for another name, DataError without the package."""
    if name not in SKLEARN:
        raise UsageError(f"there is no set sklearn:{name}; the bundled ones are {', '.join(SKLEARN)}")
    datasets = _package("sklearn.datasets", f"sklearn:{name}", "scikit-learn", "data")
    bunch: Any = getattr(datasets, f"load_{name}")(as_frame=True)
    targets = tuple(bunch.frame.columns[len(bunch.feature_names) :])
    return Table(f"sklearn:{name}", bunch.frame, targets, SKLEARN[name])


def read_pmlb(name: str) -> Table:
    """A set of PMLB, from the cache folder or from the network.

    Raises UsageError for a name that PMLB does not have, DataError without the package or the network.
    """
    pmlb = _package("pmlb", f"pmlb:{name}", "pmlb", "pmlb")
    if name not in pmlb.dataset_names:
        raise UsageError(f"PMLB has no set {name!r}{_nearest(name, pmlb.dataset_names)}; pmlb.dataset_names lists them")
    folder = cache_folder() / "pmlb"
    try:
        frame = pmlb.fetch_data(name, local_cache_dir=str(folder), dropna=False)
    except (OSError, ValueError, EOFError) as error:
        # requests' own errors are OSErrors. What a network error says is long and about sockets.
        raise DataError(
            f"pmlb:{name} could not be fetched ({type(error).__name__}): PMLB comes over the network, which seems to "
            f"be absent; fetch it where there is one and copy {folder / name}, or name a file"
        ) from None
    kind = CLASSIFICATION if name in pmlb.classification_dataset_names else REGRESSION
    return Table(f"pmlb:{name}", frame, ("target",), kind)


def _package(module: str, source: str, package: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise DataError(
            f"{source} needs {package}, which is not installed; install cache-sizer[{extra}] or name a file"
        ) from None


def _nearest(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=3)
    return f"; near it are {', '.join(close)}" if close else ""


_HEAD_BYTES = 64 * 1024

TEXT, GZIP, PARQUET, NPZ, ARFF, LIBSVM = "text", "gzipped text", "Parquet", "NPZ", "ARFF", "LIBSVM"
#: Ending of a name -> what such a file holds. The first ending of each is what a renamed file is told to have.
_ENDINGS = {
    ".csv": TEXT,
    ".tsv": TEXT,
    ".txt": TEXT,
    ".data": TEXT,
    ".dat": TEXT,
    ".tab": TEXT,
    ".csv.gz": GZIP,
    ".tsv.gz": GZIP,
    ".txt.gz": GZIP,
    ".parquet": PARQUET,
    ".pq": PARQUET,
    ".npz": NPZ,
    ".arff": ARFF,
    ".libsvm": LIBSVM,
    ".svmlight": LIBSVM,
    ".svm": LIBSVM,
}


class _Mark(NamedTuple):
    """First bytes of a file, what it then is, and whether it can be read."""

    start: bytes
    content: str
    readable: bool = False


_MARKS = (
    _Mark(b"\x1f\x8b", GZIP, True),
    _Mark(b"PAR1", PARQUET, True),
    _Mark(b"PK\x03\x04", "zip", True),
    _Mark(b"PK\x05\x06", "an empty zip archive"),
    _Mark(b"\x93NUMPY", "a single NPY array"),
    _Mark(b"\x80\x02", "a pickle"),
    _Mark(b"\x80\x03", "a pickle"),
    _Mark(b"\x80\x04", "a pickle"),
    _Mark(b"\x80\x05", "a pickle"),
    _Mark(b"\x89HDF", "HDF5"),
    _Mark(b"SQLite format 3", "an SQLite database"),
    _Mark(b"ARROW1", "an Arrow file"),
    _Mark(b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    _Mark(b"%PDF", "a PDF"),
    _Mark(b"\x89PNG", "a picture"),
    _Mark(b"\xff\xd8\xff", "a picture"),
    _Mark(b"BZh", "a bzip2 archive"),
    _Mark(b"\xfd7zXZ", "an xz archive"),
    _Mark(b"\x28\xb5\x2f\xfd", "a zstd archive"),
    _Mark(b"\x7fELF", "a program"),
)
_EXPECTED = "a CSV or TSV file (also gzipped), Parquet, NPZ, ARFF or LIBSVM"


#: Two lines of a label and pairs of position and value.
_LABEL = rb"[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?(?:,[0-9]+)*"
_PAIRS = _LABEL + rb"(?:[ \t]+qid:[0-9]+)?(?:[ \t]+[0-9]+:[+-]?[0-9.eE+-]+)+[ \t]*(?:#[^\n]*)?\r?(?:\n|$)"
_LIBSVM = re.compile(rb"(?:#[^\n]*\n)*(?:" + _PAIRS + rb"){1,2}", re.MULTILINE)


def read_table(source: str | Path, reading: Reading | None = None) -> Table:
    """Read a data set: a file, ``sklearn:NAME`` or ``pmlb:NAME``.

    Raises UsageError for a name that there is not, DataError for content that cannot be read or does not fit into the
    memory that is free.
    """
    prefix, colon, name = str(source).partition(":")
    if colon and prefix in ("sklearn", "pmlb") and not isinstance(source, Path):
        return read_sklearn(name) if prefix == "sklearn" else read_pmlb(name)
    return read_file(Path(source), reading or Reading())


def read_file(path: Path, reading: Reading) -> Table:
    """Read a file by its content. Raises as `read_table` does."""
    content = _checked_content(path)
    try:
        if content in (TEXT, GZIP):
            return _read_text(path, content == GZIP, reading)
        from sizer.size_search.data import arrays

        if content == PARQUET:
            return with_text_read(arrays.read_parquet(path), reading)
        if content == LIBSVM:
            return with_text_read(arrays.read_libsvm(path, reading), reading)
        if content == ARFF:
            return arrays.read_arff(path, reading)
        return with_text_read(arrays.read_npz(path), reading)
    except MemoryError:
        raise DataError(f"{path.name} does not fit into the memory that is free; use a sample of its rows") from None
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise DataError(f"{path.name} cannot be read ({reason}); is it damaged or cut short?") from None


def _read_text(path: Path, is_gzipped: bool, reading: Reading) -> Table:
    from sizer.size_search.data.reading.cells import read_cells

    cells = read_cells(path, is_gzipped, reading.expected)
    notation: dict[str, Any] = {} if cells.dialect is None else cells.dialect.notation()
    frame, rules, remarks = read_by(cells, reading, notation)
    return Table(path.name, frame, remarks=(*cells.remarks, *remarks), rules=rules)


def _checked_content(path: Path) -> str:
    """What the file holds. Raises when that is nothing, cannot be read, or is not what the name says."""
    content = _content(path)
    ending = next((end for end in sorted(_ENDINGS, key=len, reverse=True) if path.name.lower().endswith(end)), None)
    if ending is not None and _ENDINGS[ending] != content:
        right = next(end for end, held in _ENDINGS.items() if held == content)
        raise DataError(f"{path.name} is {content} by its content, not what its name says; rename it to end in {right}")
    return content


def _content(path: Path) -> str:
    """What the first bytes say. Raises UsageError for a file that is not there, DataError for one of no known kind."""
    if not path.exists():
        raise UsageError(f"there is no file {path}; expected {_EXPECTED}, sklearn:NAME or pmlb:NAME")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; expected {_EXPECTED}")
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    if not head.strip():
        raise DataError(f"{path.name} is empty ({len(head)} bytes); expected {_EXPECTED}")
    mark = next((mark for mark in _MARKS if head.startswith(mark.start)), None)
    if mark is None:
        return _text_content(path.name, head)
    if not mark.readable:
        raise DataError(f"{path.name} is {mark.content}, which is not read; convert it to {_EXPECTED}")
    return _zip_content(path) if mark.content == "zip" else mark.content


def _zip_content(path: Path) -> str:
    try:
        names = zipfile.ZipFile(path).namelist()
    except zipfile.BadZipFile as error:
        raise DataError(f"{path.name} is a damaged or unfinished NPZ or zip file ({error})") from None
    if names and all(name.endswith(".npy") for name in names):
        return NPZ
    held = "an Excel workbook" if any(name.startswith("xl/") for name in names) else "a zip archive"
    raise DataError(f"{path.name} is {held}, which is not read; convert it to {_EXPECTED}")


def _is_arff(head: bytes) -> bool:
    """Whether the first line of all but comments and blank ones is ARFF's."""
    lines = (line.strip() for line in head.removeprefix(b"\xef\xbb\xbf").split(b"\n"))
    first = next((line for line in lines if line and not line.startswith(b"%")), b"")
    return re.match(rb"@relation\b", first, re.IGNORECASE) is not None


def _text_content(name: str, head: bytes) -> str:
    """Text, unless the bytes look like none, or like a page or record rather than a table."""
    if encoding_of(head) is None:
        raise DataError(f"{name} is no text and of no known format; expected {_EXPECTED}")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:200].lower()
    if _is_arff(head):
        return ARFF
    if _LIBSVM.match(head):
        return LIBSVM
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise DataError(f"{name} is a web page or XML, not a table (a download that failed?); expected {_EXPECTED}")
    if start.startswith((b"{", b'["', b"[{", b"[[")):
        raise DataError(f"{name} is JSON, which is not read; convert it to {_EXPECTED}")
    return TEXT

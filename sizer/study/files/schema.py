"""The published files: what each is called and holds, where a folder has it, and what a damaged one is told as.

Names, columns, units and quirks stand in `schema.json`, after the authors' own notes. Times are UTC in what this
package returns.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from sizer.base.archives import DAMAGED_MEMBER
from sizer.base.errors import MeasurementError
from sizer.study.published import facts

if TYPE_CHECKING:
    import pandas as pd

#: The authors' own notes on their data name these addresses.
PAGE = "https://data.openei.org/submissions/5991"
#: The time zone of the power samples, whatever their trailing Z says.
POWER_TIME_ZONE = "US/Mountain"
#: A file of this name marks a folder whose files are made from the cost model.
GENERATED = "GENERATED"
#: Columns of the quantiles in `NODE_POWER`, between its min and max.
POWER_QUANTILES = (
    *("p000001", "p00001", "p0001", "p001"),
    *(f"p{percent}" for percent in range(1, 100)),
    *("p999", "p9999", "p99999", "p999999"),
)
LOSS_QUANTILES = tuple(f"test_loss_quantile_{percent}" for percent in (0, 25, 50, 75, 100))


class Source(NamedTuple):
    """One of the published files: its published name first, then what it is called once it is unpacked.

    ``columns`` maps a column's name to its pandas dtype, ``list`` where it holds a value an epoch or layer.
    """

    names: tuple[str, ...]
    holds: str
    columns: dict[str, str]


def _source(name: str) -> Source:
    names, holds, columns = (facts("schema")[name][part] for part in ("names", "holds", "columns"))
    return Source(tuple(names), holds, {column: dtype for column, (dtype, *_) in columns.items()})


METADATA, ENERGY, NODE_SINFO, NODE_POWER = map(_source, ("metadata", "energy", "node_sinfo", "node_power"))
SUMMARIES, STANDARDIZED = _source("summaries"), _source("standardized")
#: Keys of the folders of `SUMMARIES`, in order.
SUMMARY_PARTITIONS: tuple[str, ...] = tuple(facts("schema")["summaries"]["partitions"])
#: What the energy step needs, and what it makes.
RAW = (METADATA, ENERGY, NODE_SINFO, NODE_POWER)
ALL = (*RAW, SUMMARIES, STANDARDIZED)


def find(folder: Path, source: Source) -> Path | None:
    """The file or folder of a source, or None."""
    return next((folder / name for name in source.names if (folder / name).exists()), None)


def locate(folder: Path, source: Source) -> Path:
    """The file or folder of a source. Raises MeasurementError, which says where to get it."""
    remedy = (
        f"; `sizer study fetch FOLDER` downloads the published files ({PAGE}), `sizer study generate FOLDER` makes "
        "some to try"
    )
    if not folder.is_dir():
        raise MeasurementError(f"{folder} is no folder; expected one with the study's files{remedy}")
    found = find(folder, source)
    if found is None:
        raise MeasurementError(f"{folder} has no {' or '.join(source.names)} ({source.holds}){remedy}")
    return found


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what reading a damaged file raises into one line that names the file."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise MeasurementError(f"{path} cannot be read ({first_line(error)}); download it again") from None
    except DAMAGED_MEMBER as error:
        raise MeasurementError(f"{path} is no complete zip file ({first_line(error)}); download it again") from None
    except OSError as error:
        raise MeasurementError(f"{path} cannot be read ({error.strerror or first_line(error)})") from None
    except ValueError as error:  # what pandas raises for a table that is none
        raise MeasurementError(f"{path} is no such table ({first_line(error)})") from None


def first_line(error: Exception) -> str:
    """The beginning of what an exception says, its type where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def is_safe(member: str) -> bool:
    """Whether an archive's member stays inside the folder it is unpacked to, on any system."""
    path = PurePosixPath(member.replace("\\", "/"))
    return not path.is_absolute() and ".." not in path.parts and ":" not in member and "\0" not in member


def read_table(path: Path, read: Callable[[io.BufferedIOBase | Any], pd.DataFrame]) -> pd.DataFrame:
    """Read a CSV file, or the one CSV file inside a zip file. Raises MeasurementError where that fails."""
    with readable(path):
        if path.suffix != ".zip":
            with path.open("rb") as stream:
                return read(stream)
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith(".csv") and not _is_shadow(name)]
            if len(members) != 1:
                raise MeasurementError(f"{path} holds {len(members)} CSV files; expected one")
            with archive.open(members[0]) as stream:
                return read(stream)


def _is_shadow(member: str) -> bool:
    """MacOS puts a second, hidden copy of every file into a zip."""
    return member.startswith("__MACOSX/") or PurePosixPath(member).name.startswith("._")

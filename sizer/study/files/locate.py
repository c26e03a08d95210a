"""Where a folder has the study's files: names, alternatives, and where to get what is missing."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sizer.base.errors import MeasurementError

if TYPE_CHECKING:
    import pandas as pd

#: The authors' own notes on their data name these addresses.
PAGE = "https://data.openei.org/submissions/5991"

Read = TypeVar("Read")


class Source(NamedTuple):
    """One of the study's files: its published name first, then what it is called once it is unpacked."""

    names: tuple[str, ...]
    holds: str


ENERGY = Source(("butter_e_energy.zip", "butter_e_energy"), "power samples, one log a job")
METADATA = Source(("butter_e_metadata.csv.zip", "butter_e_metadata.csv"), "runs, their settings and times")
NODE_POWER = Source(("node_power_dist.csv", "node_power_dist.csv.zip"), "power quantiles of each node")
NODE_SINFO = Source(("node_sinfo.csv", "node_sinfo.csv.zip"), "hardware of each node")
SUMMARIES = Source(("summary_by_epoch", "summary_by_epoch.tar"), "losses by epoch of each experiment")
STANDARDIZED = Source(
    ("runs_with_standardized_energy.csv.zip", "runs_with_standardized_energy.csv"), "runs with their energy"
)
#: What the energy step needs, and what it makes.
RAW = (METADATA, ENERGY, NODE_SINFO, NODE_POWER)
ALL = (*RAW, SUMMARIES, STANDARDIZED)


def find(folder: Path, source: Source) -> Path | None:
    """The file or folder of a source, or None."""
    return next((folder / name for name in source.names if (folder / name).exists()), None)


def locate(folder: Path, source: Source) -> Path:
    """The file or folder of a source. Raises MeasurementError, which says where to get it."""
    if not folder.is_dir():
        raise MeasurementError(f"{folder} is no folder; expected one with the study's files{_REMEDY}")
    found = find(folder, source)
    if found is None:
        raise MeasurementError(f"{folder} has no {' or '.join(source.names)} ({source.holds}){_REMEDY}")
    return found


_REMEDY = (
    f"; `sizer study fetch FOLDER` downloads the published files ({PAGE}), `sizer study generate FOLDER` makes some "
    "to try"
)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what reading a damaged file raises into one line that names the file."""
    import pyarrow as pa

    try:
        yield
    except zipfile.BadZipFile as error:
        raise MeasurementError(f"{path} is no complete zip file ({error}); download it again") from None
    except (pa.ArrowException, UnicodeDecodeError, EOFError) as error:
        raise MeasurementError(f"{path} cannot be read ({_first_line(error)}); download it again") from None
    except OSError as error:
        raise MeasurementError(f"{path} cannot be read ({error.strerror or _first_line(error)})") from None
    except ValueError as error:  # what pandas raises for a table that is none
        raise MeasurementError(f"{path} is no such table ({_first_line(error)})") from None


def _first_line(error: Exception) -> str:
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

"""The runs frame of a folder: kept by an earlier step, or made from the published tables or the raw files."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from sizer.base.errors import MeasurementError
from sizer.base.storage import write_whole
from sizer.study.files import locate
from sizer.study.files.schema import STANDARDIZED, names
from sizer.study.files.tables import read_standardized, read_summaries
from sizer.study.runs.energy import read_energies
from sizer.study.runs.networks import RunsFrame, with_networks
from sizer.study.step import Advance, Rule, unseen

RUNS_FILE = "runs.parquet"
_LISTS = ("widths", "full")


def load_runs(folder: Path, advance: Advance = unseen) -> RunsFrame:
    """The runs frame (`sizer.study.runs.networks`) of a folder, and the rules by which it came about.

    Read from the first of: ``runs.parquet`` (what `sizer study energy` wrote), the published standardised runs, the
    raw files. Runs that the filters marked are left out. Raises MeasurementError, which says where to get files.
    """
    kept = folder / RUNS_FILE
    if kept.is_file():
        return RunsFrame(read_runs_file(kept), ())
    if locate.find(folder, locate.STANDARDIZED) is not None:
        frame, rules = read_standardized(folder)
    else:
        frame, step = read_energies(folder, advance)
        rules = step.rules
    return completed(folder, frame, rules)


def completed(folder: Path, frame: pd.DataFrame, rules: tuple[Rule, ...] = ()) -> RunsFrame:
    """The runs frame of standardised runs; the folder's losses by epoch, if they are there, tell the widths."""
    marked = frame["filter"].eq(True)  # an empty one is no mark
    unmarked = Rule("filtered", "marked by a filter in the file", int(marked.sum()))
    found = with_networks(frame[~marked], _known_networks(folder))
    return RunsFrame(found.frame, (*rules, unmarked, *found.rules))


def _known_networks(folder: Path) -> pd.DataFrame | None:
    if not (folder / locate.SUMMARIES.names[0]).is_dir():
        return None
    return read_summaries(folder, ["experiment_id", "widths"]).frame


def read_runs_file(path: Path) -> pd.DataFrame:
    """A runs frame that `write_runs` wrote; widths are tuples again."""
    with locate.readable(path):
        frame = pd.read_parquet(path)
    if missing := [name for name in ("run_time", "hardware", *_LISTS) if name not in frame]:
        raise MeasurementError(f"{path} has no column {', '.join(missing)}; `sizer study energy` writes it anew")
    for name in _LISTS:
        column = np.empty(len(frame), dtype=object)
        column[:] = [tuple(map(int, each)) for each in frame[name]]
        frame[name] = column
    return frame


def write_runs(frame: pd.DataFrame, folder: Path) -> tuple[str, str]:
    """Write a runs frame as ``runs.parquet``, and its published columns as the published file; returns the paths."""
    kept, published = folder / RUNS_FILE, folder / locate.STANDARDIZED.names[0]
    listed = frame.copy(deep=False)
    for name in _LISTS:
        listed[name] = frame[name].map(list)
    write_whole(kept, listed.to_parquet(index=False))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(published.stem, frame[names(STANDARDIZED)].to_csv(index=False))
    write_whole(published, stream.getvalue())
    return str(kept), str(published)

"""The runs frame of a folder: kept by an earlier step, or made from the published tables or the raw files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sizer.base.errors import MeasurementError
from sizer.study.files.schema import STANDARDIZED, SUMMARIES, find, readable
from sizer.study.files.tables import read_standardized, read_summaries
from sizer.study.runs.energy import read_energies
from sizer.study.runs.networks import of_tuples, with_networks
from sizer.study.step import Advance, Rule, Table, save_parquet, save_zipped_csv, unseen

RUNS = "runs"
_LISTS = ("widths", "full")


def load_runs(folder: Path, advance: Advance = unseen) -> Table:
    """The runs frame (`sizer.study.runs.networks`) of a folder, and the rules by which it came about.

    Read from the first of: ``runs.parquet`` (what `sizer study energy` wrote), the published standardised runs, the
    raw files. Runs that the filters marked are left out. Raises MeasurementError, which says where to get files.
    """
    kept = folder / f"{RUNS}.parquet"
    if kept.is_file():
        return Table(_read_kept(kept), ())
    if find(folder, STANDARDIZED) is not None:
        return completed(folder, *read_standardized(folder))
    frame, step = read_energies(folder, advance)
    return completed(folder, frame, step.rules)


def completed(folder: Path, frame: pd.DataFrame, rules: tuple[Rule, ...]) -> Table:
    """The runs frame of standardised runs; the folder's losses by epoch, if they are there, tell the widths."""
    marked = frame["filter"].eq(True)  # an empty one is no mark
    has_losses = (folder / SUMMARIES.names[0]).is_dir()
    networks = read_summaries(folder, ["experiment_id", "widths"]).frame if has_losses else None
    found = with_networks(frame[~marked], networks)
    return Table(found.frame, (*rules, Rule.of("filtered", "marked by a filter in the file", marked), *found.rules))


def _read_kept(path: Path) -> pd.DataFrame:
    """A runs frame that `write_runs` wrote; widths are tuples again."""
    with readable(path):
        frame = pd.read_parquet(path)
    if missing := [name for name in ("run_time", "hardware", *_LISTS) if name not in frame]:
        raise MeasurementError(f"{path} has no column {', '.join(missing)}; `sizer study energy` writes it anew")
    return frame.assign(**{name: of_tuples(frame[name]) for name in _LISTS})


def write_runs(frame: pd.DataFrame, folder: Path) -> tuple[str, str]:
    """Write a runs frame as ``runs.parquet``, and its published columns as the published file; returns the paths."""
    kept = save_parquet(frame.assign(**{name: frame[name].map(list) for name in _LISTS}), folder, RUNS)
    return kept, save_zipped_csv(frame[list(STANDARDIZED.columns)], folder / STANDARDIZED.names[0])

"""The power logs of all jobs in one table: read, brought to UTC, put in order.

Quirk: a timestamp ends in Z and is US/Mountain local time. In the hour that clocks repeat in autumn the order of a log
tells the second pass. Samples that are unreadable, repeated or out of order are counted by the rules.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from sizer.base.archives import DAMAGED_MEMBER
from sizer.models.shapes import FloatArray, IntArray
from sizer.study.files.schema import ENERGY, POWER_TIME_ZONE, first_line, is_safe, locate, readable
from sizer.study.step import Advance, Rule, examples, unseen

_HOUR_US = 3_600_000_000
_JOB = re.compile(r"[0-9]{1,12}")
_ZONE_TEXT = r"\s*(Z|z|UTC|[+-]\d{2}(:?\d{2})?)$"


class PowerLogs(NamedTuple):
    """Samples in order of log and time, a log being one node's part of one job's file.

    ``logs`` has slurm_job_id and node of each log. ``log``, ``time_us`` (since 1970, UTC) and ``watts`` have an entry
    a sample; ``jobs`` are those whose file was read. ``rules`` count what was left out or repaired.
    """

    logs: pd.DataFrame
    log: IntArray
    time_us: IntArray
    watts: FloatArray
    jobs: frozenset[int]
    rules: tuple[Rule, ...]


def read_power(folder: Path, jobs: Collection[int] | None = None, advance: Advance = unseen) -> PowerLogs:
    """Samples of ``butter_e_energy`` (a zip file or a folder of CSV files), of some jobs or of all.

    Raises MeasurementError where there is no such file, or where the zip file itself is damaged.
    """
    read, file_rules = _read_all(locate(folder, ENERGY), jobs, advance)
    whole = pa.concat_tables([_schema().empty_table(), *(table for _, table in read)])
    local_us, readable_time = _local_times(whole.column("timestamp"))
    node = whole.column("node").combine_chunks().dictionary_encode()
    watts = whole.column("watts").to_numpy().astype(np.float64)
    lengths = np.array([(job, len(table)) for job, table in read], dtype=np.int64).reshape(-1, 2)
    kinds = max(len(node.dictionary), 1)
    usable = readable_time & np.isfinite(watts)
    log = (np.repeat(*lengths.T) * kinds + node.indices.to_numpy(zero_copy_only=False))[usable]
    numbers, log = np.unique(log, return_inverse=True)
    time_us, impossible = to_utc(local_us[usable], log)
    names = node.dictionary.to_pandas().to_numpy()
    logs = pd.DataFrame({"slurm_job_id": numbers // kinds, "node": names[numbers % kinds]})
    ordered, order_rules = _in_order(logs, log[~impossible], time_us[~impossible], watts[usable][~impossible])
    lost = len(usable) - int(usable.sum()) + int(impossible.sum())
    unread = Rule("unreadable sample", "no time, a time that the time zone skips, or no power", lost, "samples")
    return PowerLogs(logs, *ordered, frozenset(job for job, _ in read), (*file_rules, unread, *order_rules))


def _read_all(
    path: Path, jobs: Collection[int] | None, advance: Advance
) -> tuple[list[tuple[int, pa.Table]], tuple[Rule, ...]]:
    """(job, its samples) of each file that could be read, and the rules with the names of the files that were not."""
    read, unsafe, other, damaged = [], [], [], []
    wanted = None if jobs is None else set(jobs)
    with readable(path):
        for share, name, content in _members(path):
            stem = PurePosixPath(name).stem
            if not is_safe(name):
                unsafe.append(name)
            elif not (name.endswith(".csv") and _JOB.fullmatch(stem)):
                other.append(name)
            elif wanted is None or int(stem) in wanted:
                advance("reading power", share)
                try:
                    read.append((int(stem), _parse(content())))
                except (pa.ArrowException, KeyError, OSError, *DAMAGED_MEMBER) as error:
                    damaged.append(f"{name}: {first_line(error)[:80] if str(error) else 'empty'}")
    return read, (
        Rule.listing("unsafe member", "a path that leads out of the archive: not read", unsafe),
        Rule.listing("no power log", "a file that is not named after a job number: not read", other),
        Rule.listing("damaged log", "a power log that cannot be read", damaged),
    )


def _members(path: Path) -> Iterator[tuple[float, str, Callable[[], bytes]]]:
    """(share done, name, how to read it) of each file in a zip file or a folder."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file())
        for number, file in enumerate(files):
            yield number / len(files), file.name, file.read_bytes
        return
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        for number, entry in enumerate(entries):
            yield number / len(entries), entry.filename, lambda entry=entry: archive.read(entry)  # type: ignore[misc]


def _parse(content: bytes) -> pa.Table:
    """A log's CSV text. Raises KeyError for a missing column, ArrowInvalid for what is no table of powers."""
    schema = _schema()
    options = pa.csv.ConvertOptions(
        column_types=schema, null_values=["", "nan", "NaN", "NA"], strings_can_be_null=False
    )
    reading = pa.csv.ReadOptions(use_threads=False)  # a log is too short to share out
    table = pa.csv.read_csv(pa.py_buffer(content), reading, convert_options=options)
    if missing := [name for name in schema.names if name not in table.column_names]:
        raise KeyError(f"no column {', '.join(missing)}")
    return table.select(schema.names)


def _schema() -> pa.Schema:
    """Columns of a power log; watts are whole in the published ones."""
    return pa.schema({"timestamp": pa.string(), "node": pa.string(), "watts": pa.float64()})


def _local_times(text: pa.ChunkedArray) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Local times in us as if they were UTC, whatever zone the text claims, and which could be read."""
    import pyarrow as pa

    bare = pc.ascii_rtrim(text, characters="Z")
    try:
        times = pc.cast(bare, pa.timestamp("us")).to_numpy()
    except pa.ArrowInvalid:  # other zones, or no times: the slow way takes all
        bare = pc.replace_substring_regex(text, pattern=_ZONE_TEXT, replacement="")
        series = pd.Series(bare.to_pylist())
        times = pd.to_datetime(series, format="ISO8601", errors="coerce").to_numpy("datetime64[us]")
    readable = ~np.isnat(times)
    return times.astype("datetime64[us]").astype(np.int64), readable


def to_utc(local_us: IntArray, log: IntArray) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """US/Mountain local times in UTC (us), and which of them do not exist. Samples are in the order of their files.

    A time that comes twice (the hour after clocks are put back) is the second one after the log's clock went back, or
    where the log goes on from there without a gap and does not lead up to it.
    """
    index = pd.to_datetime(local_us, unit="us")
    first, second = (
        index.tz_localize(POWER_TIME_ZONE, ambiguous=np.full(len(index), is_summer), nonexistent="NaT")
        for is_summer in (True, False)
    )
    impossible = np.asarray(first.isna())
    utc, later = (times.tz_convert("UTC").to_numpy("datetime64[us]").astype(np.int64) for times in (first, second))
    twice = np.flatnonzero(~impossible & (utc != later))
    for positions in np.split(twice, np.flatnonzero(np.diff(log[twice])) + 1) if len(twice) else ():
        is_second = _second_pass(positions, utc, log)
        utc[positions[is_second]] = later[positions[is_second]]
    return utc, impossible


def _second_pass(positions: IntArray, utc: IntArray, log: IntArray) -> npt.NDArray[np.bool_]:
    """Which samples of one log, all in the hour that comes twice, are of its second pass."""
    went_back = np.diff(utc[positions]) < 0
    if went_back.any():
        return np.concatenate([[False], np.logical_or.accumulate(went_back)])
    before, after = positions[0] - 1, positions[-1] + 1
    lead = utc[positions[0]] - utc[before] if before >= 0 and log[before] == log[positions[0]] else np.inf
    follow = utc[after] - utc[positions[-1]] if after < len(utc) and log[after] == log[positions[0]] else np.inf
    return np.full(len(positions), follow - _HOUR_US < lead and np.isfinite(follow))


def _in_order(
    logs: pd.DataFrame, log: IntArray, time_us: IntArray, watts: FloatArray
) -> tuple[tuple[IntArray, IntArray, FloatArray], tuple[Rule, ...]]:
    """Samples sorted by log and time, each time once: of two samples of one time the first written counts."""
    # Within a log, in the order written: files are read one after another, but their nodes can take turns.
    by_log = np.argsort(log, kind="stable")
    log, time_us, watts = log[by_log], time_us[by_log], watts[by_log]
    back = (np.diff(time_us) < 0) & (np.diff(log) == 0)
    order = np.lexsort((time_us, log))
    unordered = log[1:][back]
    log, time_us, watts = log[order], time_us[order], watts[order]
    again, differs = np.zeros((2, len(log)), dtype=bool)
    again[1:] = (np.diff(time_us) == 0) & (np.diff(log) == 0)
    differs[1:] = again[1:] & (np.diff(watts) != 0)
    kinds = (
        ("unordered", "a sample written after a later one of its log: sorted", unordered),
        ("written twice", "a sample of the same time and power as another: one counts", log[again & ~differs]),
        (
            "two powers",
            "a sample of the same time as another, of another power: the first written counts",
            log[differs],
        ),
    )
    rules = tuple(Rule(name, meaning, len(met), "samples", _named(logs, met)) for name, meaning, met in kinds)
    return (log[~again], time_us[~again], watts[~again]), rules


def _named(logs: pd.DataFrame, log: IntArray) -> tuple[str, ...]:
    some = logs.iloc[np.unique(log)[:3]]
    return examples(f"job {job} on {node}" for job, node in zip(some["slurm_job_id"], some["node"], strict=True))

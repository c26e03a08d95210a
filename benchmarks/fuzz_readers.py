"""What `fuzz.py` gives odd inputs to: each reader, its first inputs, and the modules that are its own."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import fuzz_first as first
from fuzz_first import CONDITIONS, NETWORK, SMALL
from fuzz_options import AIMS, LAYOUTS, READINGS, TASKS, WAYS, chosen
from fuzz_trial import LONGEST_S


class Reader(NamedTuple):
    """What reads a file, and what is known of it.

    ``suffix`` is the file's ending, ``form`` how inputs are changed, ``seeds`` gives the first ones; coverage is of
    ``modules`` without the functions of ``other``, each set of them with the reason why no file can reach it. An input
    takes as long as ``slow`` of others', and a run gives so many fewer. One that takes more than ``longest_s`` of
    processor time hangs.
    """

    read: Callable[[Path], Any]
    suffix: str
    form: str
    seeds: Callable[[], Iterator[bytes]]
    modules: tuple[str, ...]
    other: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    slow: int = 1
    longest_s: float = LONGEST_S


def table(path: Path) -> None:
    """A table, as a search reads it, and once more by the rules that its first half has, as new data is read."""
    from sizer.size_search.data.file_kinds import read_table
    from sizer.size_search.data.reading.rules import Reading, ReadingOptions

    options = dict(chosen(path.read_bytes(), READINGS))
    asked = {name: options.pop(name) for name in ("targets", "wanted") if name in options}
    reading = Reading(ReadingOptions(**options), **asked)
    content = path.read_bytes()
    # A name without an ending lets the content decide what it is; one in some says that it is text.
    named = path.with_name("input.csv" if zlib.crc32(content) % 17 == 0 else "input")
    named.write_bytes(content)
    whole = read_table(named, reading)
    if len(whole.frame.columns) > 1000:
        return  # (which take a second each time)
    half = path.with_name("half")
    half.write_bytes(content[: len(content) // 2] if content[:2] not in first.BINARY else content)
    rules = read_table(half, reading).rules
    read_table(named, Reading(rules=rules, wanted=tuple(whole.frame.columns[1:])))


def power_log(path: Path) -> None:
    """The log of a wattmeter."""
    from sizer.meters.wattmeter_csv import LogFormat, read_power_log

    read_power_log(path, LogFormat(**chosen(path.read_bytes(), LAYOUTS)))


def profile(path: Path) -> None:
    """A profile of hardware."""
    from sizer import profiles

    profiles.load(path)


def measurements(path: Path) -> None:
    """What a calibration timed, read; one in some fitted again, which takes a hundred times as long."""
    from sizer.calibration.calibration import replay
    from sizer.calibration.measurements import read_measurements

    read_measurements(path)
    if zlib.crc32(path.read_bytes()) % 16 == 0:
        replay(path, keep=False)


def search_log(path: Path) -> None:
    """The log of a search."""
    from sizer.size_search.log import SearchFolder

    folder = path.parent / "search"
    folder.mkdir(exist_ok=True)
    path.replace(folder / "log.jsonl")
    SearchFolder(folder).read()


def study_log(path: Path) -> None:
    """The log of one's own study."""
    from sizer.study.own_runs.log import read_log

    path.replace(path.parent / "own_study.jsonl")
    study = read_log(path.parent)
    _ = study.levels, study.remarks


def operators(path: Path) -> None:
    """The library of operators that were timed here, and the prices made of it."""
    from sizer.operators.between import fit_between
    from sizer.operators.library import read_library
    from sizer.operators.prices import Prices

    library = read_library(path, CONDITIONS)
    fit_between(library.steps)
    prices = Prices(library)
    for call in library.calls.values():
        prices.of(call)


def family_log(path: Path) -> None:
    """Timings of a family that were kept."""
    from sizer.calibration.disturbance import disturbed, quiet_levels
    from sizer.families.kept import KeptTimings

    timings = KeptTimings(path).timings("a")
    levels_s = quiet_levels(timings)
    for timing in timings:
        disturbed(timing, levels_s)


def tuning(path: Path) -> None:
    """What a tuning recommends, before a script is run with it."""
    from sizer.report.pages.saved import read_json, record_of
    from sizer.tuning import applying
    from sizer.tuning.record import Tuning

    found = record_of(read_json(path), path.name)
    if isinstance(found, Tuning):  # (`sizer run --with` refuses the others)
        applying.check_levers(found, path.name)


def record(path: Path) -> None:
    """A record, read back from Python and shown, and put on a page as `sizer report` does."""
    import sizer
    from sizer.report.pages.page import page
    from sizer.report.pages.saved import MOST_BYTES, read_entry

    way = chosen(path.read_bytes(), WAYS)
    if way == "large":
        os.truncate(path, MOST_BYTES + 1)
    str(sizer.load(path))
    page([read_entry(path, is_anonymous=way == "anonymous")])


def exported(path: Path) -> None:
    """An exported program, inspected."""
    import sizer
    from sizer.inspection.loading import load_target

    _packed(path)
    module, inputs = load_target(str(path), ())
    sizer.inspect(module, inputs)


def saved(path: Path) -> None:
    """A network that a search saved, which predicts a file, tables, and an array."""
    import numpy as np
    import pandas as pd

    import sizer

    _packed(path, NETWORK)
    network = sizer.load(path)
    frame = pd.read_csv(SMALL)
    refused = None
    for asked in (
        lambda: network.predict_source(SMALL),
        lambda: network.predict(frame),
        lambda: network.predict(frame.head(0)),
        lambda: network.doubts(frame),
        lambda: network.predict(np.zeros((4, len(network.preparation.column_names)))),
        lambda: network.probabilities(frame),
    ):
        try:
            asked()
        except sizer.SizerError as error:  # noqa: PERF203 (six of them)
            refused = error
    if refused is not None:
        raise refused


def _packed(path: Path, base: Path | None = None) -> None:
    """An archive of the members that a file holds as JSON, text as it is, and of those that a base has beside them."""
    content = path.read_bytes()
    if content.startswith(b"PK"):
        return  # (an archive already)
    try:
        members = json.loads(content)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        members = {}
    with zipfile.ZipFile(path, "w") as target:
        for name, value in members.items():
            text = value if isinstance(value, str) else json.dumps(value)
            with contextlib.suppress(ValueError, IndexError):  # (a name that no archive can have)
                target.writestr(name[:1000], text.encode("utf-8", "surrogatepass"))
        if base is not None:
            with zipfile.ZipFile(base) as source:
                for name in source.namelist():
                    if name not in members:
                        target.writestr(name, source.read(name))


def sysfs(path: Path) -> None:
    """A captured machine: JSON of paths and texts."""
    from sizer.detection.detect import detect

    try:
        files = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        for name, text in files.items() if isinstance(files, dict) else ():
            with contextlib.suppress(OSError, ValueError):
                if ".." not in name and isinstance(text, str):
                    file = Path(folder, name.lstrip("/"))
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(text.encode("utf-8", "surrogatepass"))
        str(detect(folder))


def network(path: Path) -> None:
    """Networks and amounts, as options take them."""
    from sizer.base.units import read_bytes, read_joules, read_number, read_seconds, read_whole
    from sizer.inspection.networks import parse_mlp
    from sizer.method.training_step import Training  # noqa: F401 (what a network is priced with is there)

    text = path.read_bytes().decode("utf-8", "surrogateescape")
    for read in (read_whole, read_number, read_seconds, read_bytes, read_joules):
        with contextlib.suppress(ValueError):  # (what options take for a refusal)
            read(text)
    parse_mlp(text)


def prepared(path: Path) -> None:
    """The second half of a table, prepared for a search; the first half is new data, or the validation part."""
    from sizer.size_search.data.file_kinds import read_table
    from sizer.size_search.data.fit_columns import unlike
    from sizer.size_search.data.preparation import Preparation
    from sizer.size_search.data.prepare import PreparingSettings, prepare
    from sizer.size_search.data.reading.rules import Reading

    content = path.read_bytes()
    asked = {} if content[:2] in first.BINARY else chosen(content, TASKS)
    settings = PreparingSettings(**{"target": _last_column(path), **asked})
    named = path.with_suffix("")
    path.replace(named)
    found = read_table(named, Reading(targets=settings.target))
    half = len(found.frame) // 2
    new, own = replace(found, frame=found.frame[:half]), replace(found, frame=found.frame[half:])
    made = prepare(own, settings, new if asked.get("seed") else None)
    again = Preparation.from_dict(json.loads(json.dumps(made.preparation.to_dict())))
    unlike(again, made.looks, again.encode(new.frame if half % 7 != 3 else new.frame.iloc[:, 1:]))


def _last_column(path: Path) -> tuple[str, ...]:
    """The name of the last column of a table, as its first line has it; y of a table that is no text."""
    if path.read_bytes()[:2] in first.BINARY:
        return ("y",)
    line = path.read_bytes()[:10_000].split(b"\n")[0].decode("utf-8", "replace")
    return (line.replace(";", ",").replace("\t", ",").split(",")[-1].strip(' "\r\ufeff') or "y",)


def small_search(path: Path) -> None:
    """A search on a table, two epochs a size."""
    import sizer

    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        os.environ[name] = str(path.parent / "home")
    aim = chosen(path.read_bytes(), AIMS)
    small: dict[str, Any] = {
        "max_epochs": 2,
        "max_time_s": 1.0,
        "batch_size": 16,
        "depth": 2,
        "meter": "none",
        "fresh": True,
    }
    sizer.search(path, target=_last_column(path), **aim, **small)


_WRITES, _OBJECTS, _PEOPLE = "they write", "what they take are objects of Python", "they are for people"
_ELSEWHERE = "what they read is a name, not a file"

READERS: dict[str, Reader] = {
    "table": Reader(
        *(table, "", "table", first.tables),
        ("size_search/data/file_kinds", "size_search/data/arrays", "size_search/data/reading/*"),
        {_ELSEWHERE: ("read_sklearn", "read_pmlb", "_nearest")},
    ),
    "power-log": Reader(
        *(power_log, ".csv", "text", first.power_logs),
        ("meters/wattmeter_csv", "meters/log_*", "meters/power_units", "meters/timestamps", "meters/local_times"),
        {"it is of a run, not of a file": ("WattmeterLog.*",)},
    ),
    "network": Reader(*(network, ".txt", "text", first.networks), ("base/units",), {_PEOPLE: ("format_*", "_digits")}),
    "profile": Reader(profile, ".json", "json", first.files("profiles/*.json"), ("profiles/rules", "profiles/reading")),
    "record": Reader(
        *(record, ".json", "json", first.records), ("report/pages/saved", "report/pages/odd_values"), slow=10
    ),
    "sysfs": Reader(
        *(sysfs, ".json", "json", first.trees),
        ("detection/linux", "detection/sysfs_caches", "detection/cpu_topology", "detection/procfs", "detection/levels"),
    ),
    "measurements": Reader(
        *(measurements, ".jsonl", "lines", first.measurements),
        ("calibration/measurements",),
        {
            _WRITES: ("interrupted_or_new", "create", "appended", "_not_written"),
            _OBJECTS: ("Case.*", "Measurements.*"),
        },
        slow=4,
    ),
    "search-log": Reader(
        *(search_log, ".jsonl", "lines", first.search_logs),
        ("size_search/log",),
        {_WRITES: ("SearchFolder.[!r]*", "*_checkpoint"), _OBJECTS: ("check_same", "fingerprint", "Epoch.*")},
    ),
    "study-log": Reader(
        *(study_log, ".jsonl", "lines", first.study_logs),
        ("study/own_runs/log",),
        {_WRITES: ("RunLog.*",), _OBJECTS: ("origin_of",)},
    ),
    "operators": Reader(
        *(operators, ".jsonl", "lines", first.library),
        ("operators/library",),
        {_WRITES: ("Log.*", "_shorten", "library_*", "conditions")},
    ),
    "family-log": Reader(
        *(family_log, ".jsonl", "lines", first.family_logs),
        ("families/kept",),
        {_WRITES: ("KeptTimings.*", "_not_written")},
    ),
    "tuning": Reader(
        *(tuning, ".json", "json", first.tunings),
        ("tuning/applying",),
        {"they look at a script and start a process": ("check", "begin_anew", "put*", "_*")},
    ),
    "exported": Reader(
        *(exported, ".pt2", "members", first.exported_programs), ("inspection/exported_program",), slow=4
    ),
    "saved": Reader(
        *(saved, ".pt2", "members", first.saved_networks),
        ("size_search/saved_network", "inspection/safe_program"),
        {
            _WRITES: ("facts_of_reading", "SavedNetwork.of_*", "SavedNetwork.save", "_exported", "check_path"),
            "it is what is written": ("PreparedNetwork*",),
        },
        slow=50,
    ),
    "prepared": Reader(
        *(prepared, ".csv", "table", first.prepared_tables),
        tuple(f"size_search/data/{name}" for name in ("table", "targets", "fit_columns", "prepare", "preparation")),
        {"trainings ask for them": ("Task.*",)},
        slow=4,
    ),
    "search": Reader(
        *(small_search, ".csv", "text", first.small_tables),
        tuple(f"size_search/data/{name}" for name in ("halves", "other_rows", "metrics")),
        slow=100,
        longest_s=30,  # (it trains: a search ends with the epoch in which its time does)
    ),
}

"""Feed readers of files, network strings and command lines what nobody writes on purpose, and see what they make of it.

    python benchmarks/fuzz.py [READER ...] [--inputs 20000] [--seed 0] [--folder FOLDER]
    python benchmarks/fuzz.py --replay        the stored seeds, once
    python benchmarks/fuzz.py --keep --folder FOLDER        add what a run found to the stored seeds

Right is an answer or a refusal in one line; wrong is any other exception, more than 5 s, or a refusal of several
lines. Each reader has a process of its own; atheris guides it by the branches that it finds (PyPI, Python 3.11 to 3.13;
without it inputs are changed at random), and command lines are hypothesis's. FOLDER (a temporary one) gets
faults.jsonl, a line a kind with the input, and the inputs that found new branches, from which the coverage of each
reader's modules is taken.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import fnmatch
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
SEEDS = ROOT / "benchmarks" / "data" / "fuzz_seeds.json"
LONGEST_S = 5
#: Inputs that found branches are stored up to so many bytes, and so many of a reader.
_SHORT, _KEPT = 1500, 12


class Hang(BaseException):
    """A reader took too long."""


class Reader(NamedTuple):
    """What reads a file: the file's ending, how inputs are changed, the first ones, the modules that coverage is of."""

    read: Callable[[Path], Any]
    suffix: str
    form: str
    seeds: Callable[[], Iterator[bytes]]
    modules: tuple[str, ...]


# What reads


def table(path: Path) -> None:
    """A table, as a search reads it."""
    from sizer.size_search.data.file_kinds import read_file
    from sizer.size_search.data.reading.rules import Reading, ReadingOptions

    options = _chosen(path, ({}, {}, {}, {"decimal": ","}, {"missing": ("-200", "x")}, {"decimal": "."}))
    read_file(path, Reading(ReadingOptions(**options)))


def power_log(path: Path) -> None:
    """The log of a wattmeter."""
    from sizer.meters.wattmeter_csv import LogFormat, read_power_log

    read_power_log(path, LogFormat(**_chosen(path, _LAYOUTS)))


_LAYOUTS: tuple[dict[str, Any], ...] = (
    *({}, {}, {}, {}, {"time_zone": "US/Mountain"}, {"time_zone": "+02:00"}, {"unit": "kW"}, {"decimal": ","}),
    *({"node": "node1"}, {"node": "plug"}, {"watts_column": "watts"}, {"time_column": "time"}, {"period_s": 1.0}),
    *({"watts_column": "power", "unit": "mW"}, {"time_zone": "Europe/Berlin", "clock_offset_s": -3600.0}),
)


def _chosen(path: Path, options: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """Options that go with a file: the same for the same content."""
    return options[zlib.crc32(path.read_bytes()) % len(options)]


def profile(path: Path) -> None:
    """A profile of hardware."""
    from sizer import profiles

    profiles.load(path)


def measurements(path: Path) -> None:
    """What a calibration timed, fitted again."""
    from sizer.calibration.calibration import replay

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

    library = read_library(path, _CONDITIONS)
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

    found = record_of(read_json(path), path.name)
    applying.check_levers(found, path.name)


def record(path: Path) -> None:
    """A record, read back, shown and put on a page."""
    from sizer.report.pages.page import page
    from sizer.report.pages.saved import read_entry

    entry = read_entry(path)
    str(entry.record)
    page([entry])


def exported(path: Path) -> None:
    """An exported program, inspected."""
    import sizer
    from sizer.inspection.loading import load_target

    _packed(path, "archive/models/model.json")
    module, inputs = load_target(str(path), ())
    sizer.inspect(module, inputs)


def saved(path: Path) -> None:
    """A network that a search saved, which predicts."""
    from sizer.size_search.saved_network import load

    _packed(path, "archive/extra/sizer.json")
    load(path).predict_source(TESTS / "data" / "before_the_move" / "search" / "small.csv")


def _packed(path: Path, member: str) -> None:
    """The stored network with one member in the place of its own."""
    content = path.read_bytes()
    with zipfile.ZipFile(_NETWORK) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, content if name == member else source.read(name))


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


def small_search(path: Path) -> None:
    """A search on a table, one epoch a size."""
    import sizer

    target = path.read_bytes().split(b"\n")[0].split(b",")[-1].decode("utf-8", "replace").strip(' "\r') or "y"
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        os.environ[name] = str(path.parent / "home")
    sizer.search(path, target=target, target_r2=0.5, max_epochs=1, max_time_s=2.0, depth=2, meter="none", fresh=True)


# What they are given first

_NETWORK = TESTS / "data" / "before_the_move" / "search" / "model.pt2"
_MOVED = TESTS / "data" / "before_the_move"


def _files(*patterns: str) -> Callable[[], Iterator[bytes]]:
    return lambda: (path.read_bytes() for pattern in patterns for path in sorted(ROOT.glob(pattern)) if path.is_file())


def _tables() -> Iterator[bytes]:
    sys.path.insert(0, str(TESTS))
    from odd_tables import ODD

    for odd in ODD.values():
        yield odd.text if isinstance(odd.text, bytes) else odd.text.encode()
    yield from _files("tests/data/cases/*.csv", "tests/data/cases/*.txt", "tests/data/cases/*.tsv")()
    yield b"% c\n@relation r\n@attribute 'a b' numeric\n@attribute c {x,y}\n@data\n" + b"1,x\n2,y\n?,x\n" * 9
    yield b"1 1:0.5 3:2e-3\n-1 2:1 # c\n" * 12
    yield b"sep=;\na;b\n" + b"1,5;2\n" * 25


def _member(name: str) -> Callable[[], Iterator[bytes]]:
    def seeds() -> Iterator[bytes]:
        with zipfile.ZipFile(_NETWORK) as archive:
            yield archive.read(name)

    return seeds


def _short_logs(*patterns: str) -> Callable[[], Iterator[bytes]]:
    """Logs cut to their first lines: a reader sees no more kinds of line in the rest."""
    return lambda: (b"\n".join(content.split(b"\n")[:60]) + b"\n" for content in _files(*patterns)())


def _trees() -> Iterator[bytes]:
    from sizer.detection.captured_tree import NotedTree
    from sizer.detection.linux import read_cpu

    tree = NotedTree("/")
    read_cpu(tree)
    yield json.dumps(tree.noted).encode()


def _power_logs() -> Iterator[bytes]:
    """The first rows of every family of logs that power_logs.py writes, of what ipmitool prints, of those of tests."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import power_logs

    watts = power_logs.known_watts(0)[:12]
    for one in power_logs.variants(40, 0):
        text = power_logs.FAMILIES[one.family](one, list(power_logs.samples(one, watts)))
        yield ((power_logs.PREAMBLE if one.preamble else "") + text + "\n").encode()
    yield b"03/06/2025 18:00:00\nPSU1 Power | 120 | Watts | ok\nTemp | 30 | degrees C | ok\n" * 12
    yield b'[{"time": "2025-03-06T18:00:00Z", "power": {"watts": 12.5}}]\n'
    yield b'{"ts": 1741290000, "apower": 12.5}\n{"ts": 1741290001, "apower": 13}\n' * 6
    yield b"time,power (W)\n" + b"".join(b"2025-10-26 02:%02d:00,5\n" % (n % 60) for n in range(0, 130, 10))
    yield from _short_logs("tests/data/cases/logs/*")()


def _networks() -> Iterator[bytes]:
    yield from (b"784-512x5-10", b"784,512,10", b"30x64x1", b"2^20", b"1h30m", b"10MiB", b"5Wh", b"20,000", b"1e-3")


_CONDITIONS = {"torch": "2", "threads": 1}


def _library() -> Iterator[bytes]:
    from sizer.operators.call import Call, TensorSpec
    from sizer.operators.library import Log
    from sizer.operators.timing import OperatorTime

    a, b, c = (TensorSpec(shape, None, "float32") for shape in ((8, 16), (16, 4), (8, 4)))
    calls = [Call("aten.mm.default", (a, b), (), (c,), 512), Call("aten.relu.default", (c,), (), (c,), 0)]
    calls += [Call("aten.sum.dim_IntList", (a, (0,), True), (), (TensorSpec((1, 16), None, "float32"),), 0)]
    with tempfile.TemporaryDirectory() as folder:
        log = Log(Path(folder, "library.jsonl"), _CONDITIONS)
        log.timings([(call, OperatorTime(1e-6 * (n + 1), 2e-6 * (n + 1))) for n, call in enumerate(calls)])
        terms = ("operators_s", "forward", "backward", "optimizer", "views", "kept_bytes", "measured_s")
        log.steps([{"block": f"b{n}", **{name: 1.0 + n % (3 + m) for m, name in enumerate(terms)}} for n in range(9)])
        log.close()
        yield Path(folder, "library.jsonl").read_bytes()


def _family_log() -> Iterator[bytes]:
    from datetime import datetime, timezone

    date, around = datetime.now(timezone.utc).isoformat(timespec="seconds"), {"a": [1e-3, 1.1e-3], "b": [2e-3, 2e-3]}
    timing = {"case": 0, "step_s": 1e-3, "steps": 9, "disturbed": 0.0, "reference_s": around}
    rows = ({"structure": "a", "date": date, "round": n, **timing, "kernel": {"switches": 3.0}} for n in range(6))
    yield b"".join(_dumped(row) + b"\n" for row in rows)


def _small_tables() -> Iterator[bytes]:
    yield b"a,b,y\n" + b"".join(b"%d,%d,%d\n" % (n, n * n % 17, n % 5) for n in range(60))
    yield b"a;b;y\n" + b"".join(b"%d,5;k%d;%d\n" % (n, n % 3, n % 5) for n in range(60))


READERS: dict[str, Reader] = {
    "table": Reader(table, ".csv", "text", _tables, ("size_search/data/file_kinds", "size_search/data/reading/*")),
    "power-log": Reader(
        *(power_log, ".csv", "text", _power_logs),
        ("meters/wattmeter_csv", "meters/log_*", "meters/power_units", "meters/timestamps", "meters/local_times"),
    ),
    "network": Reader(network, ".txt", "text", _networks, ("base/units",)),
    "profile": Reader(profile, ".json", "json", _files("profiles/*.json"), ("profiles/rules", "profiles/reading")),
    "record": Reader(record, ".json", "json", _files("tests/data/records/*.json"), ("report/pages/saved",)),
    "sysfs": Reader(
        *(sysfs, ".json", "json", _trees),
        ("detection/linux", "detection/sysfs_caches", "detection/cpu_topology", "detection/procfs", "detection/levels"),
    ),
    "measurements": Reader(
        measurements,
        ".jsonl",
        "lines",
        _files("tests/data/before_the_move/calibration/*.jsonl"),
        ("calibration/measurements",),
    ),
    "search-log": Reader(
        *(search_log, ".jsonl", "lines", _short_logs("tests/data/before_the_move/search/*/log.jsonl")),
        ("size_search/log",),
    ),
    "study-log": Reader(
        study_log,
        ".jsonl",
        "lines",
        _short_logs("tests/data/before_the_move/study/*.jsonl"),
        ("study/own_runs/log",),
    ),
    "operators": Reader(
        operators,
        ".jsonl",
        "lines",
        _library,
        ("operators/library",),
    ),
    "family-log": Reader(family_log, ".jsonl", "lines", _family_log, ("families/kept",)),
    "tuning": Reader(
        tuning,
        ".json",
        "json",
        _files("tests/data/records/tuning.json"),
        ("tuning/applying",),
    ),
    "exported": Reader(
        *(exported, ".pt2", "json", _member("archive/models/model.json")),
        ("inspection/exported_program", "inspection/safe_program"),
    ),
    "saved": Reader(saved, ".pt2", "json", _member("archive/extra/sizer.json"), ("size_search/saved_network",)),
    "search": Reader(small_search, ".csv", "text", _small_tables, ("size_search/data/*",)),
}
#: Functions of these modules that read nothing of the kind: they write, need a machine, or are for people.
OTHER: dict[str, tuple[str, ...]] = {
    "network": ("format_*", "_digits"),
    "power-log": ("WattmeterLog.*",),
    "measurements": ("interrupted_or_new", "create", "appended", "_not_written", "Case.*", "Measurements.*"),
    "search-log": ("SearchFolder.[!r]*", "check_same", "fingerprint", "Epoch.*", "*_checkpoint"),
    "study-log": ("RunLog.*", "origin_of"),
    "operators": ("Log.*", "_shorten", "library_*", "conditions", "text_of"),
    "family-log": ("KeptTimings.*", "_not_written"),
    "tuning": ("check", "begin_anew", "put*", "_*"),
    "saved": (
        "facts_of_reading",
        "SavedNetwork.of_*",
        "SavedNetwork.save",
        "_exported",
        "check_path",
        "PreparedNetwork*",
    ),
}
#: Readers whose inputs take tenths of a second, and the share of the inputs that they get.
SLOW = {"exported": 20, "saved": 50, "search": 100, "measurements": 20, "record": 10}

# How inputs are changed

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, 10**40, 0.5, -1e308, 1e308, "", "x", "a\x1b[2Jb\u202e", "\ud800", "../../x"),
    *([], {}, [None], [[]], {"a": 1}, "9" * 400, "NaN"),
)
ODD_TEXTS = (
    *(b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"'", b",", b";", b"\t", b"\n", b"\r\n", b" " * 300, b"-" * 300),
    *(
        b"1e999",
        b"nan",
        b"-inf",
        b"9" * 400,
        b"\x1b[2J",
        "\u202e\u00a0\u0661".encode(),
        b"2021-02-30 25:61",
        b"#",
        b"%",
    ),
    *(b"@relation", b"1:1", b"sep=", b"Infinity", b"1.000,5", b"0x10", b"12:00 PM", b"T", b"Z", b"+99:99"),
)


def changed_json(value: Any, draw: random.Random) -> Any:
    """JSON data with one of its parts in another's place, gone, twice or odd."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        name = draw.choice(list(value))
        chance = draw.random()
        if chance < 0.1:
            return {key: item for key, item in value.items() if key != name}
        if chance < 0.15:
            return {**value, str(draw.choice(ODD_VALUES))[:40]: value[name]}
        return {**value, name: changed_json(value[name], draw)}
    if isinstance(value, list) and value and draw.random() < 0.85:
        at = draw.randrange(len(value))
        chance = draw.random()
        if chance < 0.1:
            return value[:at] + value[at + 1 :]
        if chance < 0.2:
            return value[:at] + [value[at]] * draw.choice((2, 3, 40)) + value[at + 1 :]
        return [*value[:at], changed_json(value[at], draw), *value[at + 1 :]]
    if isinstance(value, int | float) and draw.random() < 0.5:
        return draw.choice((-value, value * 2, value + 1, float(value), str(value), value * 10**9, value / 3))
    return draw.choice(ODD_VALUES)


def changed_text(content: bytes, draw: random.Random) -> bytes:
    """Text with a piece cut, doubled, stretched or put in."""
    first = draw.randrange(len(content) + 1)
    last = min(len(content), first + draw.choice((0, 1, 2, 8, 64, 512)))
    piece = content[first:last]
    new = draw.choice(
        (b"", piece * 2, piece * draw.choice((3, 50)), draw.choice(ODD_TEXTS), draw.choice(ODD_TEXTS) + piece)
    )
    return (content[:first] + new + content[last:])[:200_000]


def changed(content: bytes, form: str, seed: int) -> bytes:
    """An input made of another, by what readers of its form expect."""
    draw = random.Random(seed)  # noqa: S311 (inputs, no secrets)
    with contextlib.suppress(ValueError, RecursionError, AttributeError, TypeError, OverflowError):
        for _ in range(draw.choice((1, 1, 1, 2, 4))):
            if form == "json" and draw.random() < 0.95:
                content = _dumped(changed_json(json.loads(content), draw))
            elif form == "lines" and draw.random() < 0.9:
                lines = content.split(b"\n")
                at = draw.randrange(max(len(lines) - 1, 1))
                lines[at] = _dumped(changed_json(json.loads(lines[at]), draw))
                content = b"\n".join(lines)
            else:
                content = changed_text(content, draw)
    return content


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


# One reader


class Trial:
    """One reader in this process: what it was given, and what went wrong."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.reader, self.folder = name, READERS[name], folder
        self.given = 0
        self.kinds: Counter[str] = Counter()
        signal.signal(signal.SIGALRM, _hangs)

    def give(self, content: bytes) -> None:
        """Let the reader read an input."""
        self.given += 1
        path = self.folder / f"input{self.reader.suffix}"
        path.write_bytes(content)
        signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
        try:
            kind = wrong(lambda: self.reader.read(path))
        except Hang:
            kind = "hang"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if kind is not None:
            self.kinds[kind] += 1
            if self.kinds[kind] == 1:
                note = {"reader": self.name, "kind": kind, "input": base64.b64encode(content).decode()}
                with (self.folder / "faults.jsonl").open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(note) + "\n")


def _hangs(*_: object) -> None:
    raise Hang


def wrong(call: Callable[[], Any]) -> str | None:
    """What is wrong with how a call ends, with its place; None for an answer, or a refusal in a line."""
    from sizer.base.errors import SizerError

    quiet = io.StringIO()
    try:
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            call()
    except SizerError as error:
        said = str(error)
        if "\n" in said or not said:
            return f"a refusal of {'several lines' if said else 'no letter'}, {_place(error)}"
    except Exception as error:
        return f"{type(error).__name__}: {_place(error)}"
    return None


def _place(error: BaseException) -> str:
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if "/fuzz.py" not in frame.filename]
    ours = [frame for frame in own if any(part in frame.filename for part in ("/sizer/", "/models/", "/profiles/"))]
    frame = (ours or own)[-1] if own else None
    return "" if frame is None else f"{Path(frame.filename).name}:{frame.name}"


def fuzz_one(name: str, inputs: int, seed: int, folder: Path) -> None:
    """Fuzz a reader in this process; the last line of standard output is what was found, as JSON."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    try:
        import atheris
    except ImportError:
        atheris = None
    if atheris is not None:
        with atheris.instrument_imports(include=["sizer"]):
            for module in _modules(READERS[name].modules):
                __import__(module)
    seeds = [*READERS[name].seeds(), *(content for kept, content in stored() if kept == name)]
    for number, content in enumerate(seeds):
        (corpus / f"seed{number:04d}").write_bytes(content)
    for content in seeds[:1]:  # (what it imports is not counted as its time)
        first = folder / f"input{READERS[name].suffix}"
        first.write_bytes(content)
        wrong(lambda first=first: READERS[name].read(first))
    trial = Trial(name, folder)
    began = time.monotonic()

    def told() -> None:
        seconds = round(time.monotonic() - began, 1)
        (folder / "found.json").write_text(
            json.dumps({"inputs": trial.given, "seconds": seconds, "kinds": trial.kinds})
        )

    if atheris is None:
        draw = random.Random(seed)  # noqa: S311
        for number in range(inputs):
            trial.give(changed(draw.choice(seeds), READERS[name].form, draw.getrandbits(32)))
            if number % 500 == 0:
                told()
        told()
        return

    def one(content: bytes) -> None:
        trial.give(content)
        if trial.given % 500 == 0 or trial.given >= inputs:
            told()

    def mutated(content: bytes, most: int, number: int) -> bytes:
        return changed(content, READERS[name].form, number)[:most]

    options = [f"-runs={inputs}", f"-seed={seed + 1}", "-max_len=200000", "-rss_limit_mb=4096", "-print_final_stats=0"]
    atheris.Setup(["fuzz", str(corpus), *options], one, custom_mutator=mutated)
    atheris.Fuzz()  # (ends the process)


def _modules(patterns: tuple[str, ...]) -> Iterator[str]:
    for path in _sources(patterns):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts if parts[0] == "sizer" else ("sizer", *parts))


def _sources(patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        base = ROOT if pattern.startswith("profiles") else ROOT / "sizer"
        yield from (path for path in sorted(base.glob(f"{pattern}.py")) if path.name != "__init__.py")


def cover(name: str, folder: Path) -> None:
    """The share of branches of a reader's modules that its corpus takes, as the last line of standard output."""
    import coverage

    measured = coverage.Coverage(
        branch=True, data_file=None, include=[str(path) for path in _sources(READERS[name].modules)]
    )
    measured.start()
    trial = Trial(name, folder)
    for path in sorted((folder / "corpus").iterdir()):
        trial.give(path.read_bytes())
    measured.stop()
    with contextlib.redirect_stdout(io.StringIO()):
        measured.json_report(outfile=str(folder / "coverage.json"))
    found = _functions(json.loads((folder / "coverage.json").read_text()), OTHER.get(name, ()))
    branches, taken = (sum(each[at] for each in found.values()) for at in (0, 1))
    missed = sorted(((all_ - own, one) for one, (all_, own) in found.items() if own < all_), reverse=True)
    (folder / "missed.txt").write_text("".join(f"{count} {one}\n" for count, one in missed))
    print(json.dumps({"branches": branches, "covered": taken / max(branches, 1), "corpus": trial.given}))


def _functions(report: dict[str, Any], other: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Functions of a report, each with its branches and those that were taken."""
    return {
        f"{file}:{name}": (of["summary"]["num_branches"], of["summary"]["covered_branches"])
        for file, found in report["files"].items()
        for name, of in found["functions"].items()
        if name and not any(fnmatch.fnmatch(name, pattern) for pattern in other)
    }


# Command lines

_COMMANDS: dict[str, tuple[str, ...]] = {
    "recommend": (
        "--input-dim",
        "--depth",
        "--output-dim",
        "--batch-size",
        "--shape",
        "--dtype",
        "--optimizer",
        "--top",
    ),
    "inspect": ("--mlp", "--batch-size", "--optimizer", "--dtype", "--observations", "--device", "--threads"),
    "detect": ("--sysroot",),
    "profiles show": (),
    "profiles compare": ("--input-dim", "--depth", "--batch-size", "--quantity"),
    "profiles export": (),
    "report": ("--html",),
    "search": ("--target", "--loss", "--r2", "--accuracy", "--depth", "--missing", "--decimal", "--widths"),
    "predict": ("--output",),
    "calibrate": ("--budget", "--replay", "--meter", "--threads", "--log-unit", "--wattmeter-log"),
    "study": (),
    "help": (),
}
_WORDS = (
    *(
        "784",
        "0",
        "-1",
        "1e400",
        "2-8",
        "8-2",
        "all",
        "rectangle",
        "adam",
        "float32",
        "butter-e-cpu",
        "nvidia-h200",
        "cpu",
    ),
    *(
        "784-512x2-10",
        "1-1",
        "x",
        "",
        " ",
        "\x1b[2J",
        "\u202e",
        "\ud800",
        "9" * 500,
        "a,b",
        ",",
        "--",
        "-",
        "1h30m",
        "2^20",
    ),
    *("/dev/null", "/", "no/such/file", "cuda:0", "none", "y", "0.5", "10MiB", "a" * 5000, "\0", "*", "~", "NaN"),
)
_FLAGS = ("--json", "--details", "--why-not", "--help", "--no-such-option", "--fresh")


def command_lines(count: int, seed: int, folder: Path) -> dict[str, Any]:
    """Run command lines in this process: each ends with one of the exit codes, and says one line where it is not 0."""
    import hypothesis
    from hypothesis import strategies as st

    from sizer.cli import run

    word = st.one_of(st.sampled_from(_WORDS), st.text(max_size=12))
    kinds: Counter[str] = Counter()
    began, given = time.monotonic(), 0
    signal.signal(signal.SIGALRM, _hangs)

    @st.composite
    def lines(draw: Any) -> list[str]:
        command = draw(st.sampled_from(sorted(_COMMANDS)))
        found = [*command.split(), *draw(st.lists(word, max_size=2))]
        for option in draw(st.lists(st.sampled_from((*_COMMANDS[command], *_FLAGS)), max_size=5)):
            found += [option] if option in _FLAGS else [option, draw(word)]
        return (
            found
            if command not in ("calibrate", "search")
            else [*found, "--budget" if command == "calibrate" else "--seed", "x"]
        )

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(lines())
    def each(arguments: list[str]) -> None:
        nonlocal given
        given += 1
        kind = _ended(run, arguments)
        if kind is not None:
            kinds[kind] += 1
            if kinds[kind] == 1:
                note = {"reader": "command-line", "kind": kind, "arguments": arguments}
                with (folder / "faults.jsonl").open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(note) + "\n")

    each()
    return {"inputs": given, "seconds": round(time.monotonic() - began, 1), "kinds": dict(kinds)}


def _ended(run: Callable[[list[str]], int], arguments: list[str]) -> str | None:
    out, said = (
        io.TextIOWrapper(io.BytesIO(), "utf-8"),
        io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace"),
    )
    signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
            code = run(arguments)
        said.flush()
        text = said.buffer.getvalue().decode()  # type: ignore[attr-defined]
    except Hang:
        return f"hang: {arguments[0]}"
    except BaseException as error:
        return f"{type(error).__name__}: {_place(error)}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    refusal = [line for line in text.splitlines() if line.startswith("sizer: ")]
    if code not in (0, 1, 2) or (code and len(refusal) != 1) or "Traceback" in text:
        return f"exit {code} with {len(refusal)} lines of refusal: {arguments[0]}"
    if set(text) & set("\x1b\u202e\0"):
        return f"a refusal that steers the terminal: {arguments[0]}"
    return None


# All of them


def stored() -> Iterator[tuple[str, bytes]]:
    """The stored seeds: inputs that once went wrong, by reader."""
    for kept in json.loads(SEEDS.read_text(encoding="utf-8")) if SEEDS.exists() else ():
        yield kept["reader"], base64.b64decode(kept["input"])


def keep(folder: Path) -> int:
    """Add to the stored seeds what went wrong in a run, and some of the short inputs that found branches. How many."""
    found = dict.fromkeys(stored())
    before = len(found)
    for name in READERS:
        faults = folder / name / "faults.jsonl"
        lines = faults.read_text().splitlines() if faults.exists() else ()
        wrong_ones = [base64.b64decode(json.loads(line)["input"]) for line in lines]
        corpus = sorted((folder / name / "corpus").glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime)
        new = [path.read_bytes() for path in corpus if path.stat().st_size <= _SHORT][-_KEPT:]
        found |= {(name, content): None for content in (*wrong_ones, *new)}
    kept = [{"reader": name, "input": base64.b64encode(content).decode()} for name, content in found]
    SEEDS.write_text("[\n" + ",\n".join(map(json.dumps, kept)) + "\n]\n", encoding="utf-8")
    return len(found) - before


def replay(folder: Path) -> Iterator[tuple[str, str]]:
    """Give each reader its stored seeds; yields what goes wrong."""
    for name, content in stored():
        trial = Trial(name, folder)
        trial.give(content)
        yield from ((name, kind) for kind in trial.kinds)


def run_all(names: list[str], inputs: int, seed: int, folder: Path) -> bool:
    """Fuzz each reader in a process of its own, print a row each. Whether nothing went wrong."""
    sound = True
    print(f"{'reader':14} {'inputs':>9} {'s':>6} {'branches':>9} {'covered':>8}  wrong", flush=True)
    for name in names:
        own = folder / name
        own.mkdir(parents=True, exist_ok=True)
        if name == "command-line":
            found = command_lines(max(inputs // 50, 20), seed, own)
            covered: dict[str, Any] = {}
        else:
            here = [sys.executable, "-P", __file__, "--folder", str(own), "--seed", str(seed)]
            log = (own / "log.txt").open("w")
            subprocess.run(
                [*here, "--one", name, "--inputs", str(max(inputs // SLOW.get(name, 1), 20))],
                stdout=log,
                stderr=log,
                check=False,
            )
            found = (
                json.loads((own / "found.json").read_text())
                if (own / "found.json").exists()
                else {"inputs": 0, "seconds": 0, "kinds": {"ended early": 1}}
            )
            done = subprocess.run([*here, "--cover", name], capture_output=True, text=True, check=False)
            covered = (
                json.loads(done.stdout.strip().splitlines()[-1]) if done.returncode == 0 and done.stdout.strip() else {}
            )
        kinds = "; ".join(f"{kind} ({count})" for kind, count in found["kinds"].items())
        share = f"{covered['covered']:.0%}" if covered else ""
        print(
            f"{name:14} {found['inputs']:9,} {found['seconds']:6.0f} {covered.get('branches', ''):>9} {share:>8}",
            kinds,
            flush=True,
        )
        sound = sound and not found["kinds"]
    return sound


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("readers", nargs="*", metavar="READER", help=", ".join((*READERS, "command-line")))
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--cover", help=argparse.SUPPRESS)
    parser.add_argument("--replay", action="store_true")
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="fuzz"))
    folder.mkdir(parents=True, exist_ok=True)
    if given.one:
        fuzz_one(given.one, given.inputs, given.seed, folder)
    elif given.cover:
        cover(given.cover, folder)
    elif given.keep:
        print(f"{keep(folder)} seeds more")
    elif given.replay:
        found = list(replay(folder))
        print("\n".join(f"{name}: {kind}" for name, kind in found) or f"{len(list(stored()))} seeds, nothing wrong")
        sys.exit(bool(found))
    else:
        sys.exit(not run_all(given.readers or [*READERS, "command-line"], given.inputs, given.seed, folder))


if __name__ == "__main__":
    main()

"""The first inputs of each reader of `fuzz.py`: valid files of every kind that it reads."""

from __future__ import annotations

import gzip
import io
import json
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fuzz_inputs import GZIP, ZIP, dumped
from fuzz_options import AIMS, BERLIN, LAYOUTS, READINGS, TASKS, WAYS, aimed

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
_MOVED = TESTS / "data" / "before_the_move"
NETWORK, SMALL = _MOVED / "search" / "model.pt2", _MOVED / "search" / "small.csv"
#: How files begin that are no text.
BINARY = (GZIP, ZIP, b"PA")


def files(*patterns: str) -> Callable[[], Iterator[bytes]]:
    """The contents of the repository's files of these names."""
    return lambda: (path.read_bytes() for pattern in patterns for path in sorted(ROOT.glob(pattern)) if path.is_file())


def tables() -> Iterator[bytes]:
    """Tables of text of every odd kind that tests know, and of every other kind of file."""
    sys.path.insert(0, str(TESTS))
    from odd_tables import ODD

    for odd in ODD.values():
        yield odd.text if isinstance(odd.text, bytes) else odd.text.encode()
    yield from files("tests/data/cases/*.csv", "tests/data/cases/*.txt", "tests/data/cases/*.tsv")()
    yield b"% c\n@relation r\n@attribute 'a b' numeric\n@attribute c {x,y}\n@data\n" + b"1,x\n2,y\n?,x\n" * 9
    yield b"@relation r\n@attribute a real\n@data\n{0 1}\n"
    yield b"1 1:0.5 3:2e-3\n-1 2:1 # c\n" * 12
    yield b"sep=;\na;b\n" + b"1,5;2\n" * 25
    rows = b"a,b,c,d,y\n" + b"".join(
        b"%d,%.1f,k%d,2021-01-%02d,%d\n" % (n, n / 7, n % 3, 1 + n % 28, n % 4) for n in range(40)
    )
    yield gzip.compress(rows, mtime=0)
    yield from (b"<!doctype html><p>no", b'{"a": 1}', b"\x89HDF....", b"\0\1\2" * 9, b" \n", b"PK\3\4....")
    yield from _typed_tables()
    yield b"a,b\n" + b"True,20210102\n" * 20 + b"False,20210103\n" * 20
    yield b"a,t\n" + b"01/02/2021,12:30\n" * 20 + b"x,y\n" + b"13:00,2021-02-30\n"
    yield b"a,y\n" + b"1,1.000\n2,2.000\n" * 20
    yield aimed(b"a,y\n" + b"1,1.000\n2,?\n3,NA\n" * 20, READINGS, {"targets": ("-1",)})
    yield aimed(b"a;y\n" + b"1,5;1.234\n2,5;2.345\n" * 20, READINGS, {"targets": ("-1",)})
    yield aimed(rows + b"oops,x,k9,soon,no\n", READINGS, {})
    yield aimed(b"d,n,y\n" + b"2021-01-02,1,4\n" * 20 + b"next week,12 km,4\n2021-31-31,2,1\n", READINGS, {})
    yield gzip.compress(b" \n" * 9, mtime=0)
    yield gzip.compress(b"\0\1\2" * 99, mtime=0)


def _typed_tables() -> Iterator[bytes]:
    """NPZ archives and Parquet files with columns of every type, and with parts set aside."""
    import numpy as np
    import pandas as pd

    x = np.arange(120.0).reshape(60, 2)
    y, words = np.arange(60) % 3, np.array(["a", "b", "?"] * 20)
    for arrays in (
        {"x": x, "y": y},
        {"x_train": x, "y_train": y, "x_test": x[:9], "y_test": y[:9]},
        {"X": x[:, 0], "label": words},
        {"a": x[:, 0], "b": words, "c": y > 0},
        {"x": x.reshape(60, 2, 1), "y": np.eye(3)[y], "z": np.arange(4)},
        {"x": x, "y": y, "x_val": x[:9], "y_val": y[:9], "words": words},
        {"x": x, "x_test": x, "y": y},
        {"c": x + 1j, "y": y, "s": np.zeros(60, dtype=[("p", "f4")])},
    ):
        target = io.BytesIO()
        np.savez(target, **arrays)
        yield target.getvalue()
    days = pd.date_range("2021-01-01", periods=60, tz="UTC")
    frame = pd.DataFrame({"a": x[:, 0], "b": words, "d": days, "e": days - days[0], "y": y, "t": y > 0})
    frame["k"], frame["n"], frame["l"] = frame["b"].astype("category"), ["1,5", "2,5", "-200"] * 20, [[1]] * 60
    frame["m"] = pd.array([1, None, -200] * 20, dtype="Int64")
    frame["z"] = pd.Series([None] * 60, dtype=object)
    for part in (
        frame,
        frame[["a", "y"]],
        frame[["a", "y"]].astype(float),
        frame[["b", "n", "m", "y"]],
        frame.head(0),
        frame[["l", "y"]],
    ):
        target = io.BytesIO()
        part.to_parquet(target)
        yield target.getvalue()


def prepared_tables() -> Iterator[bytes]:
    """Tables with targets of each kind, and columns that are filled, flagged, left out, or look otherwise before."""
    yield from _typed_tables()
    for text in (*_sixty_rows(), *_columns_of_each_kind()):
        yield aimed(text, TASKS, {})
    numbers, words = (rows("a,b,y", 80, line) for line in ("{n},{m},{b}", "{n},k{b},{w}"))
    large, same = (rows("a,b,y", 80, line) for line in ("{n},{m},900719925474099{close}", "{n},{m},1"))
    other = rows("a,b,y", 80, "{m},k{b},{w}", first="{m},k{b},c")
    yield aimed(other, TASKS, {"seed": 3, "metric": "auc"})
    yield aimed(numbers + b"3,3,inf\n", TASKS, {"kind": "regression"})
    for task in TASKS:
        for text in (numbers, words, large, same):
            yield aimed(text, TASKS, task)


def rows(header: str, count: int, line: str, first: str | None = None) -> bytes:
    """A table of so many rows of a form; the ``first`` half may have another."""
    table = [header]
    for n in range(count):
        form = line if first is None or n >= count // 2 else first
        table.append(
            form.format(
                n=n, m=n * 7 % 11, b=n % 2, w="ab"[n % 2], few=n % 9, many=n // 3, close=2 + n % 2, day=1 + n % 28
            )
        )
    return ("\n".join(table) + "\n").encode()


def _columns_of_each_kind() -> Iterator[bytes]:
    yield rows("a,y", 80, "{n},{m}.5")
    yield rows("a,b,y", 62, "{m},k{b},{m}.5")
    yield rows("a,b,y", 80, "{m},x,{b}", first=",,{b}")
    yield rows("a,k,y", 80, "{m},old,{b}", first="{m},new,{b}")
    yield rows("a,k,y", 80, "1{m},k{few},{b}", first="{n}000,k{few},{b}")
    yield rows("a,k,y", 120, "{m},k{few},{b}", first="5.00{m},k{few},{b}")
    yield rows("a,t,y", 1200, "{m},k{few},{b}", first="{m},t{many},{b}")
    yield rows("a,t,y", 1200, "{m},t{many},{b}")
    yield rows("a,t,y", 3000, "{m},t{many},{b}")
    yield rows("a,b,y", 80, "{m},k{b},\u0661") + "\n".join(["3,k1,\u0662"] * 9).encode()
    yield rows("a,t,u,y", 1200, "{m},t{many},u{n},{b}")
    yield rows("n,a,y", 80, "{n},{n}.5,{m}.5") + rows("n,a,y", 9, "{n},9999,{m}.5")[6:]
    yield rows("a,i,y", 80, "{m},inf,{b}") + b"3,,1\n"
    yield rows("a,i,y", 80, "{m},,{b}", first="{m},{m},{b}") + b"3,inf,1\n"
    yield rows("a,z,y", 80, "{m},900719925474099{close},True", first="{n},1,False") + b"3,9007199254740991,False\n"
    yield rows("d,y", 80, "2021-02-{day:02d},{b}") + b",1\n"
    yield rows("d,e,y", 80, "2021-02-{day:02d}T10:00:00+01:00,oops,{m}") + b",,1\n"
    yield rows("y,a", 80, "{n},") + rows("", 9, "{n},")
    yield rows("a,y", 80, "{n},u{n}")
    yield rows("a,y", 80, "{n},")
    yield rows("y", 80, "{m}")
    yield rows("a,y", 9, "{n},{b}")


def _sixty_rows() -> Iterator[bytes]:
    yield b"a,b,y\n" + b"".join(b"%d,%d,%d\n" % (n, n * n % 17, n % 5) for n in range(60))
    yield b"a;b;y\n" + b"".join(b"%d,5;k%d;%d\n" % (n, n % 3, n % 5) for n in range(60))


def small_tables() -> Iterator[bytes]:
    """Tables of sixty rows, and some of enough that their validation rows come in halves, with each aim."""
    for text in _sixty_rows():
        yield aimed(text, AIMS, {"target_r2": 0.5})
    numbers = rows("a,b,y", 900, "{n}0,{m},{n}.{b}", first="{n}0,{few},{n}")
    classes = rows("a,b,y", 900, "{n}0,{m},high", first="{n}0,{m},low")
    for aim in AIMS:
        yield aimed(classes if {"target_accuracy", "target_metric"} & aim.keys() else numbers, AIMS, aim)
    yield aimed(rows("a,b,y", 2100, "{m},{few},{m}.{b}"), AIMS, {"target_r2": 0.5})
    for few in (6, 7, 9):  # (rows that make the whole of a metric)
        for aim in ({"target_r2": 0.02}, {"target_loss": 0.95}):
            yield aimed(rows("a,b,y", 900, "{m},{few},0.5") + b"500,3,1000000\n" * few, AIMS, aim)
    yield aimed(rows("a,b,y", 900, "{m},{few},high") + b"1,1,low\n" * 2, AIMS, {"target_metric": ("auc", 0.7)})


def short_logs(*patterns: str) -> Iterator[bytes]:
    """Logs cut to their first lines: a reader sees no more kinds of line in the rest."""
    return (b"\n".join(content.split(b"\n")[:60]) + b"\n" for content in files(*patterns)())


def power_logs() -> Iterator[bytes]:
    """The first rows of every family of logs that power_logs.py writes, of what ipmitool prints, of those of tests."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import power_logs

    watts = power_logs.known_watts(0)[:12]
    for one in power_logs.variants(40, 0):
        text = power_logs.FAMILIES[one.family](one, list(power_logs.samples(one, watts)))
        yield ((power_logs.PREAMBLE if one.preamble else "") + text + "\n").encode()
    yield from short_logs("tests/data/cases/logs/*")
    yield from _odd_power_logs()


def _odd_power_logs() -> Iterator[bytes]:
    yield b"03/06/2025 18:00:00\nPSU1 Power | 120 | Watts | ok\nTemp | 30 | degrees C | ok\n" * 12
    yield b"    Instantaneous power reading:  120 Watts\n    IPMI timestamp: Thu Mar  6 18:00:00 2025\n" * 6
    yield b'[{"time": "2025-03-06T18:00:00Z", "power": {"watts": 12.5, "of": [1, null]}}, 3]\n'
    yield b'{"ts": 1741290000, "apower": 12.5}\n{"ts": 1741290001, "apower": 13}\n' * 6
    for header, *lines in _ODD_ROWS:
        yield "\n".join((header, *lines, "")).encode()
    for layout, header, clocks in _CLOCKS:
        text = header + "\n" + "".join(f"{clock},{50 + at % 7}\n" for at, clock in enumerate(clocks))
        yield aimed(text.encode(), LAYOUTS, layout)
    watched = {"watts_column": "power", "unit": "mW"}
    yield aimed(b"time,entity,value\n" + b"2025-03-06 18:00:00,power,9000\n" * 3, LAYOUTS, watched)
    yield aimed(b"time;power (W)\n" + b"2025-03-06 18:00:00;1,234\n" * 3, LAYOUTS, {"decimal": ","})
    yield "time,power (W)\n2025-03-06 18:00:00,50\n".encode("utf-16")
    yield b"time,power (\xb5W)\n2025-03-06 18:00:00,50\n"


_DAY = "2025-10-26"
_ODD_ROWS = (
    ("time;power (W)", *("2025-03-06 18:00:00;1,5", "2025-03-06 18:00:01;1.5")),
    ("time;power (W)", *("2025-03-06 18:00:00;1,234", "2025-03-06 18:00:01;2,345")),
    ("time;power (%)", *("2025-03-06 18:00:00;50", "2025-03-06 18:00:01;51")),
    ("time;power (kWh)", *("2025-03-06 18:00:00;50", "2025-03-06 18:00:01;51")),
    ("time;power (W)", *("2025-03-06 18:00:00;50 kW", "2025-03-06 18:00:01;51 kW")),
    ("time;power", *("2025-03-06 18:00:00;50 kW", "2025-03-06 18:00:01;51")),
    ("time;power", *("2025-03-06 18:00:00;50 VA", "2025-03-06 18:00:01;51 VA")),
    ("time_ms,watts", *("0,50", "1000,51", "2000,52")),
    ("time_ms,watts", *("1741290000,50", "1741290001,51")),
    ("time,watts", *("45722.5,50", "45722.50001,51", "45722.50002,52")),
    ("time (UTC),watts", *("2025-03-06 18:00:00,50", "2025-03-06 18:00:01,51")),
    ("time (CET),watts", *("2025-03-06 18:00:00,50", "2025-03-06 18:00:01,51")),
    ("time,watts", *("2025-03-06 18:00:00 ABC,50", "2025-03-06 18:00:01 ABC,51")),
    ("time,watts", *("2025-03-06 18:00:03,50", "2025-03-06 18:00:02,51", "2025-03-06 18:00:01,51")),
    ("time,watts", *("13/03/2025 18:00:00,50", "03/13/2025 18:00:02,51", "2025-03-06 18:00:01,51")),
    ("time,watts", *("2025-03-06 18:00:00,50", "1741290000,51")),
    ("time,start,watts", *("2025-03-06 18:00:00,2025-03-06 18:00:00,50", "2025-03-06 18:00:01,2025-03-06 18:00:02,51")),
    ("time,watts,watts", *("2025-03-06 18:00:00,50,1", "2025-03-06 18:00:01,51,1")),
    ("time,watts,,", *("2025-03-06 18:00:00,50", "2025-03-06 18:00:01,51")),
    ("time watts", *("1 2025-03-06T18:00:00 50", "2 2025-03-06T18:00:01 51")),
    ("# time,watts", *("2025-03-06 18:00:00,50", "2025-03-06 18:00:01,51")),
    ("time,power_l1,power_l2,power_total", *("2025-03-06 18:00:00,50,51,101", "2025-03-06 18:00:01,50,51,101")),
    ("time,power_now,power_avg", *("2025-03-06 18:00:00,50,51", "2025-03-06 18:00:01,50,51")),
    ("time,a,b", *("2025-03-06 18:00:00,50,51", "2025-03-06 18:00:01,50,51")),
    ("time,value", *("2025-03-06 18:00:00,50", "2025-03-06 18:00:01,50")),
    ("time,offset,watts", *("2025-03-06 18:00:00,+01:00,50", "2025-03-06 18:00:01,60,50", "2025-03-06 18:00:01,,50")),
    ("entity_id,state,last_changed", *(f"sensor.plug_power,50,2025-03-06T18:00:0{n}Z" for n in range(3))),
    ("entity_id,state,last_changed", *(f"sensor.plug_voltage,50,2025-03-06T18:00:0{n}Z" for n in range(3))),
)
#: Hours that come twice: gone back within them, joined to what is before, after, to neither; one that is skipped.
_CLOCKS = tuple(
    ({"time_zone": BERLIN}, "time,power (W)", clocks)
    for clocks in (
        [f"{_DAY} 02:{minute:02d}:00" for minute in (*range(0, 60, 10), *range(0, 60, 10))],
        [f"{_DAY} {clock}:00" for clock in ("01:40", "01:50", "02:00", "02:10", "05:00", "05:10")],
        [f"{_DAY} {clock}:00" for clock in ("00:10", "02:40", "02:50", "03:00", "03:10")],
        [f"{_DAY} {clock}:00" for clock in ("00:10", "02:30", "02:31", "05:00")],
        [f"2025-03-30 {clock}:00" for clock in ("01:50", "02:30", "03:10")],
    )
)


def networks() -> Iterator[bytes]:
    """Networks and amounts."""
    yield from (b"784-512x5-10", b"784,512,10", b"30x64x1", b"2^20", b"1h30m", b"10MiB", b"5Wh", b"20,000", b"1e-3")


CONDITIONS = {"torch": "2", "threads": 1}


def library() -> Iterator[bytes]:
    """A library of three operators."""
    from sizer.operators.call import Call, TensorSpec
    from sizer.operators.library import Log
    from sizer.operators.timing import OperatorTime

    a, b, c = (TensorSpec(shape, None, "float32") for shape in ((8, 16), (16, 4), (8, 4)))
    calls = [Call("aten.mm.default", (a, b), (), (c,), 512), Call("aten.relu.default", (c,), (), (c,), 0)]
    calls += [Call("aten.sum.dim_IntList", (a, (0,), True), (), (TensorSpec((1, 16), None, "float32"),), 0)]
    with tempfile.TemporaryDirectory() as folder:
        log = Log(Path(folder, "library.jsonl"), CONDITIONS)
        log.timings([(call, OperatorTime(1e-6 * (n + 1), 2e-6 * (n + 1))) for n, call in enumerate(calls)])
        terms = ("operators_s", "forward", "backward", "optimizer", "views", "kept_bytes", "measured_s")
        log.steps([{"block": f"b{n}", **{name: 1.0 + n % (3 + m) for m, name in enumerate(terms)}} for n in range(9)])
        log.close()
        yield Path(folder, "library.jsonl").read_bytes()


def records() -> Iterator[bytes]:
    """A record of each kind, one of them with answers beside its fields."""
    yield from files("tests/data/records/*.json")()
    text = (TESTS / "data" / "records" / "recommendation.json").read_text(encoding="utf-8")
    yield dumped({**json.loads(text), "answers": {"why not 512": ["too wide"]}})
    yield dumped({**json.loads(text), "answers": []})
    yield text.replace("0.001", "1e999").encode()
    yield text.replace('"depth":6', f'"depth":{10**30}').replace('"depth": 6', f'"depth": {10**30}').encode()
    yield from (b"[]", b'{"format": 3}', aimed(b"{}", WAYS, "large"))
    for content in files("tests/data/records/*.json")():
        yield aimed(content, WAYS, "anonymous")


def tunings() -> Iterator[bytes]:
    """A tuning that recommends levers and sets variables, those that levers set and another."""
    one = json.loads((TESTS / "data" / "records" / "tuning.json").read_bytes())
    yield dumped(one)
    yield dumped({**one, "environment": {"OMP_NUM_THREADS": "1", "OMP_PLACES": "cores"}})
    yield dumped({**one, "environment": {"LD_PRELOAD": "libother.so"}})
    yield dumped({**one, "levers": [{**lever, "file": "os"} for lever in one["levers"]]})


def measurements() -> Iterator[bytes]:
    """A measurement file of the least networks, with each field that a timing can have."""
    for content in files("tests/data/before_the_move/calibration/*.jsonl")():
        yield content
        header, *timings = map(json.loads, content.splitlines())
        header["plan"], shown = header["plan"][:2], [one for one in timings if one.get("case", 9) < 2]
        more = {"reference_s": {"a": [1e-3, 1.1e-3]}, "energy_j": 2.0, "window_unix_s": [1.0, 2.0]}
        yield b"\n".join(dumped(each) for each in (header, *({**one, **more} for one in shown), {"end": True})) + b"\n"


def search_logs() -> Iterator[bytes]:
    """The logs of searches, one of them with an ensemble."""
    for content in short_logs("tests/data/before_the_move/search/*/log.jsonl"):
        yield content
        yield content + dumped({"event": "ensemble", "members": [], "value": 0.5}) + b"\n"


def study_logs() -> Iterator[bytes]:
    """The log of a study whose joules are estimated, of one where they are measured, of one of time alone."""
    for content in short_logs("tests/data/before_the_move/study/*.jsonl"):
        header, _, rest = content.partition(b"\n")
        for label in ("estimated", "measured", "none"):
            meter = {**json.loads(header)["meter"], "label": label}
            yield dumped({**json.loads(header), "meter": meter}) + b"\n" + rest


def family_logs() -> Iterator[bytes]:
    """Timings of a family, and a file that has grown so long that it is written anew."""
    from datetime import datetime, timezone

    date, around = datetime.now(timezone.utc).isoformat(timespec="seconds"), {"a": [1e-3, 1.1e-3], "b": [2e-3, 2e-3]}
    timing = {"case": 0, "step_s": 1e-3, "steps": 9, "disturbed": 0.0, "reference_s": around}
    rows = ({"structure": "a", "date": date, "round": n, **timing, "kernel": {"switches": 3.0}} for n in range(6))
    lines = b"".join(dumped(row) + b"\n" for row in rows)
    yield lines
    yield b"{}\n" * 10_001 + lines


def trees() -> Iterator[bytes]:
    """Captured machines: this one, those of tests, and those of the published collections where they are there."""
    from sizer.detection.captured_tree import NotedTree
    from sizer.detection.linux import read_cpu

    def noted(root: str) -> bytes:
        tree = NotedTree(root)
        read_cpu(tree)
        return dumped(tree.noted)

    yield noted("/")
    sys.path.insert(0, str(TESTS))
    import machines

    for make in (machines.server, machines.hybrid):
        with tempfile.TemporaryDirectory() as folder:
            tree = noted(str(make(Path(folder))))
        yield tree
        for more, gone in _MACHINES:
            yield dumped({name: text for name, text in json.loads(tree).items() if not gone or gone not in name} | more)


_CPU, _NODE = "/sys/devices/system/cpu", "/sys/devices/system/node"
_INDEX = f"{_CPU}/cpu0/cache/index"
#: What other machines have: (files more, a part of the names of those that are not there).
_MACHINES: tuple[tuple[dict[str, str], str], ...] = (
    ({"/sys/hypervisor/type": "xen\n"}, ""),
    ({"/sys/class/dmi/id/sys_vendor": "QEMU\n", "/sys/class/dmi/id/product_name": "Standard PC\n"}, ""),
    ({"/proc/cpuinfo": "vendor_id : IBM/S390\nprocessor 0: version = FF, machine = 2964\nprocessor 1: x\n"}, ""),
    ({"/proc/cpuinfo": "processor : 0\nCPU implementer : 0x41\nCPU part : 0xd0b\n"}, ""),
    ({f"{_NODE}/node0/meminfo": "Node 0 MemTotal: 1024 kB\n", f"{_NODE}/node0/cpulist": "0-3\n"}, "meminfo"),
    ({f"{_NODE}/node0/cpumap": "f\n", f"{_NODE}/node1/cpumap": "0\n", f"{_NODE}/online": "0-1\n"}, ""),
    ({"/proc/driver/nvidia/gpus/0000:01:00.0/numa_status": "Node: 1\nStatus: online\n"}, ""),
    ({f"{_CPU}/types/core/cpulist": "0\n", f"{_CPU}/types/atom/cpumap": "2\n", f"{_CPU}/types/none/cpulist": "x"}, ""),
    ({"/sys/devices/cpu_core/cpus": "\n", "/sys/devices/cpu_atom/cpus": "0-1\n"}, ""),
    ({f"{_CPU}/online": "1-2\n"}, ""),
    ({f"{_CPU}/cpu0/online": "0\n"}, f"{_CPU}/online"),
    (
        {
            **{f"{_INDEX}{n}/level": "2\n" for n in (7, 8)},
            **{f"{_INDEX}{n}/type": "Data\n" for n in (7, 8)},
            **{f"{_INDEX}{n}/size": f"{n}00K\n" for n in (7, 8)},
            **{f"{_INDEX}{n}/shared_cpu_list": "0-1\n" for n in (7, 8)},
        },
        "",
    ),
)


def _program(name: str = "archive/models/model.json") -> Any:
    with zipfile.ZipFile(NETWORK) as archive:
        return json.loads(archive.read(name))


def saved_networks() -> Iterator[bytes]:
    """The parts of a saved network that are JSON: what it is, as it is, of classes, of an array; the others."""
    facts = "archive/extra/sizer.json"
    found = _program(facts)
    yield dumped({facts: found})
    made = found["preparation"]
    target = {**made["target"], "kind": "classification", "classes": [0], "means": [], "scales": []}
    yield dumped({facts: {**found, "preparation": {**made, "target": target}}})
    numbers = [{**column, "name": f"x_{number}"} for number, column in enumerate(made["numbers"])]
    categories = [{**column, "name": "x_3", "has_missing": True} for column in made["categories"]]
    yield dumped({facts: {**found, "preparation": {**made, "numbers": numbers, "categories": categories}}})
    rule = {"kind": "number", "form": {"decimal": ".", "grouping": "", "affix": ""}, "order": None, "missing": ["-1"]}
    rules = [{"name": name, **rule, "is_used": True} for name in "abc"]
    yield dumped({facts: {**found, "reading": {"format": "sizer.reading/1", "columns": rules, "notation": {}}}})
    with zipfile.ZipFile(NETWORK) as archive:
        for name in archive.namelist():
            if name.endswith((".json", "model.pt")) and name != facts:
                yield dumped({name: json.loads(archive.read(name)) if name.endswith(".json") else "no pickle"})
    for target in ("torch.os.system", "torch.ops.aten.from_file.default", "torch.ops.aten.no_such.default"):
        program = _program()
        program["graph_module"]["graph"]["nodes"][0]["target"] = target
        yield dumped({"archive/models/model.json": program})
    for more in ({"guards_code": ["1"]}, {"as_custom_obj": {}}, {"expr_str": "__import__('os')"}):
        yield dumped({"archive/models/model.json": {**_program(), **more}})
    for pickled in ([], {"config": {"a": {"path_name": "weight_0", "use_pickle": True}}}):
        yield dumped({"archive/data/weights/model_weights_config.json": pickled})
    yield dumped({"archive/data/aotinductor/x": "code"})
    yield dumped({facts: 3})


def exported_programs() -> Iterator[bytes]:
    """Programs of small networks, as torch.export writes them."""
    import warnings

    import torch
    from torch import nn

    class Odd(nn.Module):
        """Arguments of every kind that a program can have."""

        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.conv, self.norm = nn.Embedding(11, 8), nn.Conv1d(8, 8, 3, padding=1), nn.BatchNorm1d(8)
            self.out = nn.Linear(8, 11)
            self.out.weight = self.tokens.weight
            self.register_buffer("places", torch.arange(8))

        def forward(self, words: torch.Tensor, _: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
            found = self.norm(self.conv(self.tokens(words).transpose(1, 2)))
            low, high = found.clamp(min=0.1).chunk(2, dim=1)
            found = torch.cat([high, low], dim=1).to(torch.float64).to(torch.float32)
            found = nn.functional.pad(found, (1, 0), value=0.5)[..., 1:].contiguous().transpose(1, 2)
            found = found[:, :, self.places] * torch.ones(8, dtype=torch.float32)
            found = found.reshape(words.shape[0], 5 * 8).reshape(-1, 8)
            return self.out(nn.functional.dropout(found, 0.1)), torch.full_like(
                found, 2.0, memory_format=torch.preserve_format
            )

    plain = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    rows = torch.export.Dim("rows", min=2, max=64)
    programs = (
        (plain, (torch.ones(3, 6),), None),
        (plain, (torch.ones(3, 6),), ({0: rows},)),
        (Odd(), (torch.ones(3, 5, dtype=torch.int64),), ({0: rows},)),
        (Odd(), (torch.ones(3, 5, dtype=torch.int64), None), None),
    )
    for module, given, shapes in programs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # (torch's tracer warns of its own insides)
            program = torch.export.export(module, given, dynamic_shapes=shapes)
            target = io.BytesIO()
            torch.export.save(program, target)
        with zipfile.ZipFile(target) as archive:
            parts = {
                name: json.loads(archive.read(name))
                for name in archive.namelist()
                if name.endswith(("model.json", "_weights_config.json"))
            }
        yield dumped(parts)
        yield dumped({"serialized_exported_program.json": parts["archive/models/model.json"]})

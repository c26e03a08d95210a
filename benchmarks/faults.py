"""Let a machine fail under sizer, one fault after the other: nothing is lost, one line says it, the rerun goes on.

    python benchmarks/faults.py [FAULT ...] [--times 20] [--seed 0]

A row a fault: how many times, how long it took, what was wrong (a traceback, several lines, a lost line of a log, a
process that lives on, a rerun that does not end), or why this machine does not allow it. Mounting needs root;
`clock-back` needs Debian's libfaketime, the rows of Ray the package ray. `benchmarks/kill.py` kills calibrations alone
and compares their timings.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from fault_bench import ROOT, WORKS, Bench, Ended, NotHereError, Work, bench_in, lost, refused, small_disk, went_on

_RECOMMEND = ("recommend", "--input-dim", "8", "--depth", "3")
_UNPRIVILEGED = 65534
_FILLER = ".filler"


def kills(name: str, bench: Bench, times: int) -> Iterator[str]:
    """SIGKILL at a random moment of a command; what it kept only grows, nothing lives on, and a rerun ends."""
    work, before = WORKS[name], list[str]()
    for _ in range(times):
        ended = bench.killed(work)
        now = bench.lines(work)
        if lost(before, now) and name != "calibrate":  # (a finished calibration makes room for the next one)
            yield "a line is lost"
        yield from (f"lives on: {left}" for left in bench.left_over())
        before = now
        if ended is not None and (ended.traceback or ended.code not in (0, 1)):
            yield ended.last
        if ended is not None:
            bench.forget(work)
            before = []
    yield from went_on(bench, work, [] if name == "calibrate" else before)


def kills_calibrate(bench: Bench, times: int) -> Iterator[str]:
    """As `kills`, by kill.py, which compares timing by timing."""
    import kill

    for number, outcome in enumerate(kill.kill_often(times, bench.draw.getrandbits(16), bench.folder)):
        if outcome.problem is not None:
            yield f"kill {number}: {outcome.problem}"
    yield from bench.left_over()


def full_disk(bench: Bench, times: int) -> Iterator[str]:
    """Each command on a disk with no or few KiB left, which then has room again."""
    for number in range(min(times, 3)):
        for name, work in WORKS.items():
            if name == "ensembles":
                continue
            with small_disk(bench.folder):
                _fill(bench.folder, bench.draw.choice((0, 4, 8, 16)) if number else 0)
                ended = bench.run(*work.arguments)
                problem = refused(ended) if ended.code else None  # (a few KiB may be enough)
                if problem is not None:
                    yield f"{name}: {problem}"
                before = bench.lines(work)
                (bench.folder / _FILLER).unlink()
                yield from (f"{name}: {each}" for each in went_on(bench, work, before))


def _fill(folder: Path, left_kib: int) -> None:
    """Fill a disk but for so much."""
    free = shutil.disk_usage(folder).free - left_kib * 1024
    with (folder / _FILLER).open("wb") as stream:
        stream.write(bytes(max(free, 0)))


def read_only(bench: Bench, times: int) -> Iterator[str]:  # noqa: ARG001
    """A disk that is read and not written: one line each, and what writes nothing works."""
    with small_disk(bench.folder):
        subprocess.run(["mount", "-o", "remount,ro", str(bench.folder)], check=True)
        yield from _unwritable(bench.run)


def other_user(bench: Bench, times: int) -> Iterator[str]:  # noqa: ARG001
    """Folders that this user may not write, as a user who is not root."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None:
        raise NotHereError("needs root and setpriv: another user than the owner is wanted")
    other = ("setpriv", f"--reuid={_UNPRIVILEGED}", f"--regid={_UNPRIVILEGED}", "--clear-groups")
    bench.folder.chmod(0o755)
    try:
        tried = bench.run("--version", before=other).code
    except OSError:
        tried = 1
    if tried:
        raise NotHereError("another user cannot run this Python")
    yield from _unwritable(partial(bench.run, before=other))


def _unwritable(run: Callable[..., Ended]) -> Iterator[str]:
    """What is wrong where nothing can be written."""
    for name, work in WORKS.items():
        problem = refused(run(*work.arguments))
        if problem is not None:
            yield f"{name}: {problem}"
    for name, arguments in _WRITERS.items():
        problem = refused(run(*arguments))
        if problem is not None:
            yield f"{name}: {problem}"
    for arguments in (_RECOMMEND, ("detect",), ("inspect", "--mlp", "8-16-1"), ("profiles", "show", "apple-m2")):
        ended = run(*arguments)
        if ended.code or ended.traceback:
            yield f"{arguments[0]}, which has nothing to write: {ended.last}"


_RECORDS = ROOT / "tests" / "data" / "records"
_WRITERS: dict[str, tuple[str, ...]] = {
    "calibrate --operators": ("calibrate", "--operators", "--budget", "12s", "--quiet"),
    "recommend --html": (*_RECOMMEND, "--html", "page.html"),
    "report --html": ("report", str(_RECORDS / "machine.json"), "--html", "page.html"),
    "study generate": ("study", "generate", "demo", "--runs", "100"),
    "doctor --bundle": ("doctor", "--bundle", "bundle.zip"),
}


def no_home(bench: Bench, times: int) -> Iterator[str]:  # noqa: ARG001
    """No HOME and no XDG folder in the environment."""
    bare = {name: value for name, value in bench.environment.items() if not name.startswith(("XDG_", "HOME"))}
    ended = bench._replace(environment=bare).run(*_RECOMMEND)
    if ended.code:
        yield ended.last


def two_at_once(bench: Bench, times: int) -> Iterator[str]:  # noqa: ARG001
    """A second run in the folder of one that runs."""
    for name in ("search", "study", "calibrate"):
        work = WORKS[name]
        first = bench.started(*work.arguments)
        bench.until_it_writes(work, first)
        first.send_signal(signal.SIGSTOP)  # (it holds its lock while the second looks)
        problem = refused(bench.run(*work.arguments))
        first.kill()
        first.communicate()
        if problem is not None:
            yield f"{name}: {problem}"


def clock_back(bench: Bench, times: int) -> Iterator[str]:  # noqa: ARG001
    """The clock set back by a day while a command runs, and a rerun before its files were written."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not libraries:
        raise NotHereError("needs libfaketime")
    clock = bench.folder / "clock"
    faked = {"LD_PRELOAD": str(libraries[0]), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    bench = bench._replace(environment={**bench.environment, **faked, "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    for name in ("search", "calibrate", "study"):
        work = WORKS[name]
        clock.write_text("+0d\n")
        process = bench.started(*work.arguments)
        bench.until_it_writes(work, process)
        clock.write_text("-1d\n")
        if name == "study":
            bench.until_it_writes(work, process)
            process.send_signal(signal.SIGINT)
        said = process.communicate()[1]
        ended = Ended(process.returncode, said.splitlines())
        if ended.code not in (0, 1, 130) or ended.traceback:
            yield f"{name}: {ended.last}"
        clock.write_text("-2d\n")
        yield from (f"{name}: {each}" for each in went_on(bench, work, []))
    for arguments in (_RECOMMEND, ("calibrate", "--show"), ("doctor",)):
        ended = bench.run(*arguments)
        if ended.code:
            yield f"{arguments[0]}: {ended.last}"


def damaged(bench: Bench, times: int) -> Iterator[str]:
    """Bits of files that sizer wrote flipped, and their ends cut off."""
    bench.run(*WORKS["search"].arguments, "--save", "model.pt2")
    bench.run(*_RECOMMEND)
    bench.run("calibrate", "--quick", "--quiet", "--meter", "none", "--threads", "1")
    (bench.folder / "study").mkdir()
    shutil.copy(ROOT / "tests" / "data" / "before_the_move" / "study" / "own_study.jsonl", bench.folder / "study")
    shutil.copy(_RECORDS / "tuning.json", bench.folder / "tuned.json")
    (bench.folder / "quick.py").write_text("print(1)\n")
    for pattern, arguments in _READERS.items():
        for path in sorted(bench.folder.glob(pattern)):
            whole = path.read_bytes()
            for number in range(times):
                path.write_bytes(_damaged(whole, number, bench.draw))
                problem = _read_or_refused(bench.run(*arguments))
                if problem is not None:
                    kept = Path(tempfile.mkdtemp(prefix="damaged")) / path.name
                    shutil.copy(path, kept)
                    yield f"{path.name}, kept as {kept}: {problem}"
            path.write_bytes(whole)


_READERS: dict[str, tuple[str, ...]] = {
    "found/log.jsonl": WORKS["search"].arguments,
    "found/trials/*32*/*.pt": WORKS["search"].arguments,
    "model.pt2": ("predict", "model.pt2", "data.csv"),
    "home/sizer/machine-*.json": _RECOMMEND,
    "home/sizer/measurements/cpu.jsonl": ("calibrate", "--show"),
    "home/sizer/profiles/*.json": _RECOMMEND,
    "study/own_study.jsonl": ("study", "read", "study"),
    "tuned.json": ("run", "--with", "tuned.json", "quick.py"),
}


def _damaged(whole: bytes, number: int, draw: random.Random) -> bytes:
    content = bytearray(whole)
    if number % 2:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    else:
        del content[draw.randrange(len(content)) :]
    return bytes(content)


def _read_or_refused(ended: Ended) -> str | None:
    """What is wrong with reading what is damaged; it may be read, or refused in one line."""
    return None if ended.code == 0 and not ended.traceback else refused(ended)


def ray_worker(bench: Bench, times: int) -> Iterator[str]:
    """A worker of Ray killed while it trains."""
    yield from _on_ray(bench, times, whole_node=False)


def ray_node(bench: Bench, times: int) -> Iterator[str]:  # noqa: ARG001
    """A node of Ray killed while it trains: the search ends on the other."""
    yield from _on_ray(bench, 1, whole_node=True)


def _on_ray(bench: Bench, times: int, whole_node: bool) -> Iterator[str]:
    try:
        import ray  # noqa: F401
    except ImportError:
        raise NotHereError("needs ray") from None
    sys.path.insert(0, str(ROOT / "tests"))
    from ray_nodes import two_nodes

    with two_nodes() as (nodes, _):
        for number in range(min(times, 5)):
            folder = f"ray{number}"
            arguments = (*WORKS["search"].arguments[:-1], folder, "--engine", "ray", "--address", nodes.address)
            work = Work((*arguments, "--max-epochs", "40"), f"{folder}/log.jsonl", 0.0)
            process = bench.started(*work.arguments)
            bench.until_it_writes(work, process)
            time.sleep(bench.draw.uniform(0.0, 2.0))
            killed = _kill_node(nodes) if whole_node else _kill_worker(nodes)
            said = process.communicate(timeout=240)[1]
            ended = Ended(process.returncode, said.splitlines())
            if not killed:
                yield "no worker trained when it was to be killed"
            if ended.code not in (0, 1) or ended.traceback:
                yield ended.last
            yield from went_on(bench, work, bench.lines(work))


def _kill_node(nodes: object) -> bool:
    nodes.kill(1)  # type: ignore[attr-defined]
    return True


def _kill_worker(nodes: object, longest_s: float = 20.0) -> bool:
    """Kill a process of the nodes that works for the search. Whether there was one."""
    until = time.monotonic() + longest_s
    while time.monotonic() < until:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                title = (folder / "cmdline").read_bytes()
                group = os.getpgid(int(folder.name))
            except OSError:
                continue
            own = group in {process.pid for process in nodes.processes}  # type: ignore[attr-defined]
            if own and title.startswith(b"ray::") and not title.startswith(b"ray::IDLE"):
                os.kill(int(folder.name), signal.SIGKILL)
                return True
        time.sleep(0.05)
    return False


FAULTS: dict[str, Callable[[Bench, int], Iterator[str]]] = {
    **{f"kills-{name}": partial(kills, name) for name in ("search", "ensembles", "study", "tune")},
    "kills-calibrate": kills_calibrate,
    **{
        fault.__name__.replace("_", "-"): fault
        for fault in (full_disk, read_only, other_user, no_home, two_at_once, clock_back, damaged, ray_worker, ray_node)
    },
}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=", ".join(FAULTS))
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sound = True
    for name in given.faults or FAULTS:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="faults") as folder:
            try:
                found = list(FAULTS[name](bench_in(Path(folder), given.seed), given.times))
            except NotHereError as reason:
                print(f"{name:16} skipped: {reason}", flush=True)
                continue
        sound = sound and not found
        took = f"{time.monotonic() - began:5.0f} s"
        print(f"{name:16} {took}  {'nothing wrong' if not found else json.dumps(found)}", flush=True)
    sys.exit(not sound)


if __name__ == "__main__":
    main()

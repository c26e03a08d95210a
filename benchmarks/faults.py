"""Let a machine fail under sizer, one fault after the other: nothing is lost, one line says it, the rerun goes on.

    python benchmarks/faults.py [FAULT ...] [--times 20] [--seed 0]

A row a fault: how often, what was wrong (a traceback, several lines, a lost line of a log, a rerun that does not end),
or why this machine does not allow it. `benchmarks/kill.py` does the same to calibrations alone, with their timings.
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
from pathlib import Path
from typing import NamedTuple

#: What fails is a search on a small table: seconds, and a log with checkpoints.
_SEARCH = (
    "search",
    "data.csv",
    "--target",
    "y",
    "--r2",
    "0.95",
    "--depth",
    "2",
    "--max-epochs",
    "3",
    "--folder",
    "found",
)
_QUIET = ("--quiet", "--meter", "none")
_LONGEST_S = 120
_UNPRIVILEGED = 65534


class Ended(NamedTuple):
    """How a process ended, and the lines that it wrote on standard error."""

    code: int
    said: list[str]


class Bench(NamedTuple):
    """A folder with a table, an environment whose home is there, and where moments are drawn from."""

    folder: Path
    environment: dict[str, str]
    draw: random.Random

    def run(self, *arguments: str, before: tuple[str, ...] = ()) -> Ended:
        """Run a command to its end."""
        command = [*before, sys.executable, "-P", "-m", "sizer", *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_LONGEST_S,
        )
        return Ended(done.returncode, done.stderr.splitlines())

    def killed(self, after_s: float) -> None:
        """Start the search and kill it after so long."""
        command = [sys.executable, "-P", "-m", "sizer", *_SEARCH, *_QUIET]
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
        process.wait()

    @property
    def log(self) -> Path:
        """The search's log."""
        return self.folder / "found" / "log.jsonl"

    def lines(self) -> list[str]:
        """The whole lines of the log."""
        return self.log.read_text().split("\n")[:-1] if self.log.exists() else []


class NotHereError(Exception):
    """A fault that the machine does not allow; the message says why."""


def refused(ended: Ended) -> str | None:
    """What is wrong with a refusal, None where it is one line."""
    own = [line for line in ended.said if line.startswith("sizer: ")]
    if any("Traceback" in line for line in ended.said):
        return "a traceback"
    return None if ended.code in (1, 2) and len(own) == 1 else f"exit {ended.code} with {len(own)} lines"


def _went_on(bench: Bench, before: list[str]) -> Iterator[str]:
    """What is wrong after a fault is gone: lines that are lost, a run that does not end."""
    if bench.lines()[: len(before)] != before:
        yield "a line of the log is lost"
    ended = bench.run(*_SEARCH, *_QUIET)
    if ended.code not in (0, 1) or any("Traceback" in line for line in ended.said):
        yield f"the rerun ended with {ended.code}"


def kills(bench: Bench, times: int) -> Iterator[str]:
    """SIGKILL at a random moment of a search; its log only grows, and a rerun ends."""
    before: list[str] = []
    for _ in range(times):
        bench.killed(bench.draw.uniform(0.5, 6.0))
        now = bench.lines()
        if now[: len(before)] != before:
            yield "a line of the log is lost"
        before = now
    yield from _went_on(bench, before)


def full_disk(bench: Bench, times: int) -> Iterator[str]:  # noqa: ARG001
    """A search in a file system of 64 KiB, which is made larger then."""
    found = bench.folder / "found"
    found.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(found)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        raise NotHereError(mounted.stderr.strip() or "no file system can be mounted")
    try:
        problem = refused(bench.run(*_SEARCH, *_QUIET))
        if problem is not None:
            yield problem
        before = bench.lines()
        subprocess.run(["mount", "-o", "remount,size=64m", str(found)], check=True)
        yield from _went_on(bench, before)
    finally:
        subprocess.run(["umount", str(found)], check=False)


def read_only(bench: Bench, times: int) -> Iterator[str]:  # noqa: ARG001
    """Folders that this user may not write, as a user who is not root."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None:
        raise NotHereError("needs root and setpriv: another user than the owner is wanted")
    other = ("setpriv", f"--reuid={_UNPRIVILEGED}", f"--regid={_UNPRIVILEGED}", "--clear-groups")
    bench.folder.chmod(0o755)
    tried = bench.run("--version", before=other)
    if tried.code:
        raise NotHereError("another user cannot run this Python")
    problem = refused(bench.run(*_SEARCH, *_QUIET, before=other))
    if problem is not None:
        yield f"search: {problem}"
    problem = refused(bench.run("calibrate", "--quick", *_QUIET, before=other))
    if problem is not None:
        yield f"calibrate: {problem}"
    if bench.run("recommend", "--input-dim", "8", "--depth", "3", before=other).code:
        yield "recommend, which writes nothing, does not work"


def no_home(bench: Bench, times: int) -> Iterator[str]:  # noqa: ARG001
    """No HOME and no XDG folder in the environment."""
    bare = {name: value for name, value in bench.environment.items() if not name.startswith(("XDG_", "HOME"))}
    ended = bench._replace(environment=bare).run("recommend", "--input-dim", "8", "--depth", "3")
    if ended.code:
        yield f"exit {ended.code}: {ended.said[-1:]}"


def two_at_once(bench: Bench, times: int) -> Iterator[str]:  # noqa: ARG001
    """A second search in the folder of one that runs."""
    command = [sys.executable, "-P", "-m", "sizer", *_SEARCH, *_QUIET]
    first = subprocess.Popen(
        command, cwd=bench.folder, env=bench.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not bench.log.exists() and first.poll() is None:
        time.sleep(0.02)
    first.send_signal(signal.SIGSTOP)  # (it holds its lock while the second looks)
    second = bench.run(*_SEARCH, *_QUIET)
    first.send_signal(signal.SIGCONT)
    first.wait()
    problem = refused(second)
    if problem is not None:
        yield problem


def damaged(bench: Bench, times: int) -> Iterator[str]:
    """Bits of the log flipped and its end cut off."""
    bench.run(*_SEARCH, *_QUIET)
    whole = bench.log.read_bytes()
    for number in range(times):
        content = bytearray(whole)
        if number % 2:
            content[bench.draw.randrange(len(content))] ^= 1 << bench.draw.randrange(8)
        else:
            del content[bench.draw.randrange(len(content)) :]
        bench.log.write_bytes(content)
        ended = bench.run(*_SEARCH, *_QUIET)
        if any("Traceback" in line for line in ended.said) or ended.code not in (0, 1, 2):
            yield f"exit {ended.code}: {ended.said[-1:]}"


def ray_worker(bench: Bench, times: int) -> Iterator[str]:  # noqa: ARG001
    """A worker of Ray killed while it trains: tests/test_search_ray.py does it, where Ray is installed."""
    raise NotHereError("see tests/test_search_ray.py, which kills a worker and a node of a cluster of its own")
    yield ""


FAULTS: dict[str, Callable[[Bench, int], Iterator[str]]] = {
    fault.__name__.replace("_", "-"): fault
    for fault in (kills, full_disk, read_only, no_home, two_at_once, damaged, ray_worker)
}


def bench_in(folder: Path, seed: int) -> Bench:
    """A fresh folder to fail in."""
    draw = random.Random(seed)  # noqa: S311 (moments, no secrets)
    rows = ((number, number * number % 97, draw.random()) for number in range(400))
    text = "a,b,c,y\n" + "".join(f"{a},{b},{c:.4f},{a % 7 + b / 97 + c:.4f}\n" for a, b, c in rows)
    (folder / "data.csv").write_text(text)
    homes = {name: str(folder / "home") for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
    return Bench(folder, {**os.environ, **homes}, draw)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=", ".join(FAULTS))
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sound = True
    for name in given.faults or FAULTS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = list(FAULTS[name](bench_in(Path(folder), given.seed), given.times))
            except NotHereError as reason:
                print(f"{name:12} skipped: {reason}", flush=True)
                continue
        sound = sound and not found
        print(f"{name:12} {'nothing wrong' if not found else json.dumps(found)}", flush=True)
    sys.exit(not sound)


if __name__ == "__main__":
    main()

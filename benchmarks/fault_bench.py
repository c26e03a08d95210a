"""What faults.py lets fail: commands whose work is kept, a folder to run them in, and what is right afterwards."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
_LONGEST_S = 300
_POLL_S = 0.02
#: One kill in so many comes before the command has written its first line.
_EARLY = 0.2
#: How long processes that a killed one started may take to notice.
_NOTICE_S = 10.0


class Work(NamedTuple):
    """A command whose work is kept: the file that grows, and how long after its first line a kill may come, in s."""

    arguments: tuple[str, ...]
    log: str
    kill_within_s: float


_QUIET = ("--quiet", "--meter", "none", "--threads", "1")
_SEARCH = (
    *("search", "data.csv", "--target", "y", "--r2", "0.95", "--depth", "2", "--max-epochs", "3"),
    *("--widths", "8,32,128", *_QUIET),
)
WORKS: dict[str, Work] = {
    "search": Work((*_SEARCH, "--ensemble", "off", "--folder", "found"), "found/log.jsonl", 2.0),
    "ensembles": Work((*_SEARCH, "--ensemble", "3", "--folder", "averaged"), "averaged/log.jsonl", 3.0),
    "calibrate": Work(("calibrate", "--budget", "12s", *_QUIET), "home/sizer/measurements/cpu.jsonl", 6.0),
    "study": Work(("study", "run", "--budget", "110s", "--folder", "study", *_QUIET), "study/own_study.jsonl", 6.0),
    "tune": Work(
        ("tune", "--budget", "5m", "--quiet", "--save", "tuned.json", "script/train.py"), "script/started", 20.0
    ),
}


class Ended(NamedTuple):
    """How a process ended, and the lines that it wrote on standard error."""

    code: int
    said: list[str]

    @property
    def traceback(self) -> bool:
        """Whether an exception came through."""
        return any("Traceback" in line for line in self.said)

    @property
    def last(self) -> str:
        """Its exit code and last line."""
        return f"exit {self.code}: {(self.said or ['nothing'])[-1][:200]}"


class NotHereError(Exception):
    """A fault that the machine does not allow; the message says why."""


class Bench(NamedTuple):
    """A folder with a table and a script, an environment whose home is there, and where moments are drawn from."""

    folder: Path
    environment: dict[str, str]
    draw: random.Random

    def run(self, *arguments: str, before: tuple[str, ...] = (), longest_s: float = _LONGEST_S) -> Ended:
        """Run a command to its end; one that takes too long is killed, and its code is that of the kill."""
        process = self.started(*arguments, before=before)
        try:
            said = process.communicate(timeout=longest_s)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            said = process.communicate()[1]
        return Ended(process.returncode, said.splitlines())

    def started(self, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            [*before, sys.executable, "-P", "-m", "sizer", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def killed(self, work: Work) -> Ended | None:
        """Start work and kill it at a random moment; how it ended, where it did so before."""
        after_s, early = self.draw.uniform(0.0, work.kill_within_s), self.draw.random() < _EARLY
        process = self.started(*work.arguments)
        if not early:
            self.until_it_writes(work, process)
        try:
            said = process.communicate(timeout=after_s)[1]
            return Ended(process.returncode, said.splitlines())
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return None

    def until_it_writes(self, work: Work, process: subprocess.Popen[str]) -> None:
        """Wait until the work's file is new or longer, or the process has ended."""
        before = self._state(work)
        while process.poll() is None and self._state(work) == before:
            time.sleep(_POLL_S)

    def _state(self, work: Work) -> tuple[int, int] | None:
        with suppress(OSError):
            found = (self.folder / work.log).stat()
            return found.st_ino, found.st_size
        return None

    def lines(self, work: Work) -> list[str]:
        """The whole lines of the work's file."""
        path = self.folder / work.log
        return path.read_text(errors="replace").split("\n")[:-1] if path.exists() else []

    def forget(self, work: Work) -> None:
        """Take away what was kept of work that has ended, so that it begins anew."""
        path = self.folder / work.log
        if path.parent.name == "script":
            path.unlink(missing_ok=True)
        else:
            shutil.rmtree(path.parent, ignore_errors=True)

    def left_over(self) -> list[str]:
        """Processes of this folder that live on after those that started them were killed; they are killed too."""
        until = time.monotonic() + _NOTICE_S
        while (found := list(self._processes())) and time.monotonic() < until:
            time.sleep(0.2)
        for pid, _ in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return [name for _, name in found]

    def _processes(self) -> Iterator[tuple[int, str]]:
        mark = str(self.folder).encode()
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                command = (folder / "cmdline").read_bytes()
                if command and int(folder.name) != os.getpid() and mark in (folder / "environ").read_bytes():
                    yield int(folder.name), command.replace(b"\0", b" ").decode(errors="replace")[:80]


def refused(ended: Ended) -> str | None:
    """What is wrong with a refusal, None where it is one line."""
    own = [line for line in ended.said if line.startswith("sizer: ")]
    if ended.traceback:
        return f"a traceback: {ended.said[-1][:200]}"
    return None if ended.code in (1, 2) and len(own) == 1 else f"exit {ended.code} with {len(own)} lines"


def lost(before: list[str], now: list[str]) -> bool:
    """Whether a line that was there is gone or another."""
    return now[: len(before)] != before


def went_on(bench: Bench, work: Work, before: list[str]) -> Iterator[str]:
    """What is wrong after a fault is gone: lines that are lost, a run that does not end.

    A study or a tuning, which would take minutes, is interrupted by the keyboard once it has added a run.
    """
    if lost(before, bench.lines(work)):
        yield "a line is lost"
    process = bench.started(*work.arguments)
    is_long = work in (WORKS["study"], WORKS["tune"])
    if is_long:
        bench.until_it_writes(work, process)
        process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=_LONGEST_S)[1]
    ended = Ended(process.returncode, said.splitlines())
    if ended.code not in (0, 1, 130 if is_long else 0) or ended.traceback:
        yield f"the rerun: {ended.last}"
    if is_long and lost(before, bench.lines(work)):
        yield "the rerun lost a line"


@contextmanager
def small_disk(folder: Path, size: str = "256m") -> Iterator[None]:
    """A file system of its own in the place of a folder, which keeps what was in it."""
    kept = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise NotHereError("there is no mount here") from None
    if mounted.returncode:
        raise NotHereError(mounted.stderr.strip() or "no file system can be mounted")
    try:
        for name, content in kept.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


_SCRIPT = """
import pathlib, torch
with pathlib.Path({mark!r}).open("a") as stream:
    stream.write("started\\n")
model = torch.nn.Linear(64, 64)
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
for _ in range(20000):
    optimizer.zero_grad()
    model(torch.ones(256, 64)).square().mean().backward()
    optimizer.step()
"""


def bench_in(folder: Path, seed: int) -> Bench:
    """A fresh folder to fail in."""
    draw = random.Random(seed)  # noqa: S311 (moments, no secrets)
    rows = ((number, number * number % 97, draw.random()) for number in range(400))
    text = "a,b,c,y\n" + "".join(f"{a},{b},{c:.4f},{a % 7 + b / 97 + c:.4f}\n" for a, b, c in rows)
    (folder / "data.csv").write_text(text)
    (folder / "script").mkdir()
    (folder / "script" / "train.py").write_text(_SCRIPT.format(mark=str(folder / WORKS["tune"].log)))
    homes = ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    environment = {**os.environ, **{name: str(folder / "home") for name in homes}}
    return Bench(folder, environment, draw)

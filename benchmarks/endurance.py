"""Let sizer work for long in one process: memory and time a step stay as they were at its start.

    python benchmarks/endurance.py WHAT --into endurance.jsonl [--steps N]
    python benchmarks/endurance.py --plot endurance.jsonl --image docs/endurance.png

WHAT is search (trials of a training that takes no time, 10,000), sessions (calibrations kept and fitted together, 100),
hook (reports, 100,000), log (runs of one's own study added to its log, 1,000,000) or files (the same log read back and
written in the published schema; a step is a run, 200,000). A line of the file is a stretch of steps: the last of them,
the median and the longest time of the processor for one in s, the memory of the process (resident, MiB) after it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

MOVED = Path(__file__).resolve().parents[1] / "tests" / "data" / "before_the_move"
_STRETCHES = 40
#: Every so many-th report of the hook looks for optimizers among all objects, which takes tens of ms.
_LOOKS = 50
#: Stretches at the start that are not compared: imports, caches that fill once.
_WARM_UP = 4


def resident_mib() -> float:
    """Resident memory of this process in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def search(steps: int, folder: Path) -> Iterator[int]:
    """A trial of a search each: a training that takes no time and never reaches its target."""
    import sizer

    began, ended = threading.Semaphore(0), threading.Event()

    def train(topology: Any, epochs: int, seed: int, resume_state: Any) -> Iterator[tuple[float, float]]:  # noqa: ARG001
        began.release()
        for _ in range(epochs):
            yield 1.0 + 1.0 / topology.num_free_parameters, 1e-3

    def run() -> None:
        sizer.search(
            *(train,), input_dim=8, observations=1000, target_loss=0.1, depth=2, max_epochs=1, meter="none",
            widths=tuple(range(1, steps + 1)), folder=folder,
        )  # fmt: skip
        ended.set()

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    while worker.is_alive():
        if began.acquire(timeout=0.2):
            yield 1
    if not ended.is_set():
        raise RuntimeError("the search ended early")


def sessions(steps: int, folder: Path) -> Iterator[int]:
    """A calibration's session each: kept, and fitted with those before."""
    from sizer.calibration.calibration import replay
    from sizer.calibration.kept_sessions import keep_finished, kept_sessions

    header, *rest = (MOVED / "calibration" / "cpu.jsonl").read_text().splitlines()
    told, path, now = json.loads(header), folder / "cpu.jsonl", datetime.now(timezone.utc)
    for number in range(steps):
        told["settings"]["date"] = (now - timedelta(minutes=steps - number)).isoformat(timespec="seconds")
        keep_finished(path)
        path.write_text("\n".join([json.dumps(told), *rest, ""]))
        replay(*(kept.path for kept in kept_sessions(path)), keep=False)
        yield 1


def hook(steps: int, folder: Path) -> Iterator[int]:  # noqa: ARG001
    """A report of the hook each, on a network and an optimizer of its own; every 50th finds the optimizer by itself."""
    import torch

    from sizer.hook.watching import Watch

    data = torch.ones(8, 4)
    for number in range(steps):
        model = torch.nn.Linear(4, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        named = {"model": model, "optimizer": optimizer} if number % _LOOKS else {}
        with Watch(quiet=True, **named) as watched:
            for _ in range(2):
                optimizer.zero_grad()
                model(data).square().mean().backward()
                optimizer.step()
        assert watched.record is not None
        yield 1


def _run(number: int) -> dict[str, Any]:
    """A run of one's own study, as its log holds it."""
    lines = (MOVED / "study" / "own_study.jsonl").read_text().splitlines()
    kept = json.loads(lines[1])
    return {**kept, "run_id": f"run-{number}", "repetition": number, "epochs": 10, "test_losses": [1.0] * 10}


def log(steps: int, folder: Path) -> Iterator[int]:
    """A run of one's own study each, added to its log."""
    from sizer.study.own_runs.log import RunLog

    runs, one = RunLog(folder), _run(0)
    runs.append(json.loads((MOVED / "study" / "own_study.jsonl").read_text().splitlines()[0]))
    for number in range(steps):
        runs.append({**one, "run_id": f"run-{number}", "repetition": number})
        yield 1
    runs.close()


def files(steps: int, folder: Path) -> Iterator[int]:
    """Studies that grow in even steps, up to so many runs: each read back and written anew."""
    from sizer.study.own_runs.files import write_files
    from sizer.study.own_runs.log import LOG_NAME, read_log

    header, one = (MOVED / "study" / "own_study.jsonl").read_text().splitlines()[0], _run(0)
    with (folder / LOG_NAME).open("w") as stream:
        stream.write(f"{header}\n")
        for number in range(1, _STRETCHES // 4 + 1):
            some = steps // (_STRETCHES // 4)
            for run in range((number - 1) * some, number * some):
                stream.write(json.dumps({**one, "run_id": f"run-{run}", "repetition": run}) + "\n")
            stream.flush()
            yield 0  # (what follows is timed)
            write_files(read_log(folder), folder)
            yield number * some


WORK: dict[str, tuple[Callable[[int, Path], Iterator[int]], int]] = {
    "search": (search, 10_000),
    "sessions": (sessions, 100),
    "hook": (hook, 100_000),
    "log": (log, 1_000_000),
    "files": (files, 200_000),
}


def stretches(what: str, steps: int, longest_s: float) -> Iterator[dict[str, Any]]:
    """Work, and what each stretch of it took."""
    began, before = time.monotonic(), time.process_time()
    done, times = 0, list[float]()
    with tempfile.TemporaryDirectory() as folder:
        for count in WORK[what][0](steps, Path(folder)):
            now = time.process_time()  # (what others do to the machine is none of its time)
            if count:
                times.append((now - before) / count)
                done += 1 if count == 1 else count - done
            if times and (count > 1 or len(times) >= max(steps // _STRETCHES, 1)):
                told = {"what": what, "step": done, "step_s": statistics.median(times), "longest_s": max(times)}
                yield {**told, "resident_mib": round(resident_mib(), 1)}
                times = []
                if time.monotonic() - began > longest_s:
                    return
            before = time.process_time()


def summary(lines: list[dict[str, Any]]) -> Iterator[str]:
    """How the last fifth of the stretches compares with the first after the warm-up."""
    for what, own in _by_work(lines).items():
        some = max(len(own) // 5, 1)
        first, last = own[min(_WARM_UP, len(own) - 1) :][:some], own[-some:]
        times = [statistics.median(each["step_s"] for each in part) for part in (first, last)]
        memory = [statistics.median(each["resident_mib"] for each in part) for part in (first, last)]
        yield (
            f"{what:10} {own[-1]['step']:>9,} steps  {times[0] * 1e3:8.3f} to {times[1] * 1e3:8.3f} ms a step "
            f"({times[1] / times[0]:.2f})  {memory[0]:6.0f} to {memory[1]:6.0f} MiB ({memory[1] - memory[0]:+.1f})"
        )


def _by_work(lines: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for each in lines:
        if found[each["what"]] and each["step"] <= found[each["what"]][-1]["step"]:
            found[each["what"]].clear()  # (another run of it: the last one counts)
        found[each["what"]].append(each)
    return found


def plot(lines: list[dict[str, Any]], image: Path) -> None:
    """Time and memory a step, one column a kind of work."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import MaxNLocator

    works = _by_work(lines)
    figure, axes = plt.subplots(2, len(works), figsize=(2.6 * len(works), 4.2), sharex="col", squeeze=False)
    for column, (what, own) in enumerate(works.items()):
        steps = [each["step"] for each in own]
        axes[0][column].plot(steps, [each["step_s"] * 1e3 for each in own], color="tab:blue")
        axes[1][column].plot(steps, [each["resident_mib"] for each in own], color="tab:orange")
        axes[0][column].set_title(f"{what}, {steps[-1]:,} steps", fontsize=9)
        for row in (0, 1):
            axes[row][column].set_ylim(0, 1.15 * axes[row][column].get_ylim()[1])
            axes[row][column].tick_params(labelsize=7)
        axes[1][column].xaxis.set_major_locator(MaxNLocator(3))
        axes[1][column].xaxis.set_major_formatter("{x:,.0f}")
    axes[0][0].set_ylabel("processor time a step, ms", fontsize=8)
    axes[1][0].set_ylabel("resident memory, MiB", fontsize=8)
    figure.supxlabel("steps done", fontsize=8)
    figure.tight_layout()
    figure.savefig(image, dpi=110)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=WORK)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--longest", type=float, default=1e9, help="stop after so many seconds")
    parser.add_argument("--into", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--image", type=Path)
    given = parser.parse_args()
    if given.plot is not None:
        lines = [json.loads(line) for line in given.plot.read_text().splitlines()]
        print("\n".join(summary(lines)))
        if given.image is not None:
            plot(lines, given.image)
        return
    found = []
    for each in stretches(given.what, given.steps or WORK[given.what][1], given.longest):
        found.append(each)
        if given.into is not None:
            with given.into.open("a") as stream:
                stream.write(json.dumps(each) + "\n")
    print("\n".join(summary(found)))


if __name__ == "__main__":
    main()

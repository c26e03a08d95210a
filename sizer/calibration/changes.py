"""What is different now from when a machine was calibrated, for commands that train or time anyway.

Takes at most 0.3 s on a machine that is not overloaded, draws no random numbers, and gives back what it took. Never
called by the hook or `sizer inspect`, which must not time anything in a user's process.
"""

from __future__ import annotations

import json
import math
import os
import platform
import select
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from sizer.calibration.disturbance import ANOTHER_SPEED, of_steps, scatter
from sizer.calibration.validity import calibration_of
from sizer.detection.captured_tree import Tree
from sizer.detection.detect import detected
from sizer.method.hardware import Device

_GOVERNOR = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
#: Time for the reference steps, in s, opening them left out, and the fewest samples of each.
_SECONDS = 0.15
_FEWEST = 5


def changes_since_calibration(
    name: str | None = None, threads: int | None = None, told_elsewhere: bool = False
) -> tuple[str, ...]:
    """Sentences on what changed on a device since it was calibrated; none where it was not, or nothing did.

    Every command that trains or times anyway asks before its first training, so that nobody compares with a prediction
    for another machine: `cli.output.say_changes` prints the answers (validate, search, study run, and whatever times
    widths of a family or levers of a script), `changes_by_a_child` is for a process that is not sizer's own.
    ``threads`` are those that will train, None for torch's own. Another torch, number of threads or cache is why a
    calibration is not used: ``told_elsewhere`` leaves that to what asks for its coefficients. Raises UsageError for a
    device that is not there.
    """
    device = detected(name)
    found = calibration_of(device, threads)
    if found.profile is None or found.profile.calibration is None:
        return () if told_elsewhere or found.not_used is None else (found.not_used,)
    calibrated = found.profile.calibration
    return (*_other_system(calibrated, Tree("/")), *_other_speed(device, calibrated, threads))


#: How long a child process may take in all, in s: it is 0.3 s on a CPU; making a GPU's context takes more.
_CHILD_S = 5.0


def changes_by_a_child(name: str | None = None) -> tuple[str, ...]:
    """As `changes_since_calibration`, asked by a child process: for a program of somebody else's, which trains here.

    Nothing of it stays: no thread that a fork of the program would miss, no context on a GPU, no memory. A child that
    does not answer in time is given up: one forked after threads of OpenMP have worked here waits for them for ever.
    """
    if not sys.platform.startswith("linux"):  # (macOS: its own libraries do not survive a fork)
        return _by_a_fresh_interpreter(name)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # (threads of numpy's, which are idle)
        child = os.fork()
    if child == 0:
        _answer(writing, name)
    os.close(writing)
    try:
        answered, _, _ = select.select([reading], [], [], _CHILD_S)
        text = os.read(reading, 2**16) if answered else b""
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return tuple(json.loads(text)) if text else ()


def _by_a_fresh_interpreter(name: str | None) -> tuple[str, ...]:
    """As `changes_by_a_child`, where a process cannot fork: seconds, for the import of torch."""
    program = "import json; from sizer.calibration.changes import changes_since_calibration as ask; "
    command = [sys.executable, "-c", f"{program}print(json.dumps(ask({name!r})))"]
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    done = subprocess.run(  # noqa: S603 (this interpreter)
        command, capture_output=True, text=True, check=False, timeout=30, env=environment
    )
    return tuple(json.loads(done.stdout)) if done.returncode == 0 else ()


def _answer(writing: int, name: str | None) -> NoReturn:
    """In the child: ask, write what changed as JSON, and end without a trace."""
    try:
        text = json.dumps(changes_since_calibration(name))
        os.write(writing, text.encode())
    finally:
        os._exit(0)


def _other_system(calibrated: Mapping[str, Any], tree: Tree) -> Iterator[str]:
    """Kernel and governor that differ, where both are known."""
    now = {"kernel": platform.release() or None, "governor": tree.word(_GOVERNOR)}
    for what, value in now.items():
        before = calibrated.get(what)
        if None not in (before, value) and before != value:
            yield f"the {what} is {value}, and was {before} when this machine was calibrated; run `sizer calibrate`"


def _other_speed(device: Device, calibrated: Mapping[str, Any], threads: int | None) -> Iterator[str]:
    """Whether the reference steps take longer or shorter than at the speed that is predicted."""
    levels_s = calibrated.get("reference_s")
    if not levels_s:
        return
    from sizer.calibration.session import using_threads  # (torch, and so not at the top: reading must not load it)

    with using_threads(threads):
        taken = _taken(device)
    said = speed_now(taken, levels_s)
    if said is not None:
        yield said


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def _taken(device: Device) -> list[Mapping[str, float]]:
    from sizer.calibration.reference_steps import ReferenceSteps

    with ReferenceSteps(device) as steps:
        until = time.perf_counter() + _SECONDS
        taken = [steps.take()]
        while len(taken) < _FEWEST or time.perf_counter() < until:
            taken.append(steps.take())
            if time.perf_counter() > until + _SECONDS:  # (an overloaded machine: what there is must do)
                break
    return taken


def _beyond_scatter(name: str, ratio: float) -> float:
    """A reference step's time over its quiet one without what it scatters by itself, which is above the quiet one."""
    return max(ratio / scatter(name), min(ratio, 1.0))


def speed_now(taken: Sequence[Mapping[str, float]], levels_s: Mapping[str, float]) -> str | None:
    """How the reference steps' times compare with their quiet ones, in a sentence; None where the speed is the same.

    The median counts: what trains now gets the machine as it mostly is, and not its quietest moment.
    """
    import statistics

    from sizer.calibration.reference_steps import MEANINGS

    names = [name for name in levels_s if all(name in each for each in taken)]
    medians = {name: statistics.median(each[name] for each in taken) for name in names}
    ratios = {name: _beyond_scatter(name, median / levels_s[name]) for name, median in medians.items()}
    if not ratios:
        return None
    name, ratio = max(ratios.items(), key=lambda pair: abs(math.log(of_steps(*pair))))
    if 1 / ANOTHER_SPEED <= of_steps(name, ratio) <= ANOTHER_SPEED:
        return None
    return (
        f"this machine is {'slower' if ratio > 1 else 'faster'} now than when it was calibrated: {MEANINGS[name]} "
        f"takes {_times(ratio)} times as long; predictions are for the speed then"
    )

"""Which timings were disturbed, by the reference steps around them, and what that does to the values.

What the kernel counted meanwhile explains a disturbance and never decides on one: time that others used or that the
host kept (steal) in /proc/stat, time that tasks waited for a processor (/proc/pressure/cpu), and this process's
involuntary switches (/proc/self/status). None of them sees another virtual machine on a shared core, so their silence
means nothing. Linux only; what is not there is None.
"""

from __future__ import annotations

import math
import os
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sizer.calibration.measurements import Timing
from sizer.detection.captured_tree import Tree, natural


@dataclass(frozen=True)
class Counters:
    """Counts since boot, in s of processor time, of waiting, and in switches; None where the kernel does not count."""

    used_s: float | None = None
    stolen_s: float | None = None
    waited_s: float | None = None
    switches: int | None = None

    def since(self, before: Counters) -> dict[str, float]:
        """What was added since; counts that either does not have are left out."""
        names = ("used_s", "stolen_s", "waited_s", "switches")
        pairs = ((name, getattr(before, name), getattr(self, name)) for name in names)
        return {name: max(new - old, 0) for name, old, new in pairs if old is not None and new is not None}


def read_counters(tree: Tree, ticks_per_s: int | None = None) -> Counters:
    """The counters now. ``used_s`` is the processor time that everything but this process used, steal included."""
    used, stolen = _processor_s(tree, ticks_per_s or _ticks_per_s())
    waited = re.search(r"^some .*\btotal=(\d+)", tree.text("/proc/pressure/cpu") or "", re.MULTILINE)
    switched = re.search(r"^nonvoluntary_ctxt_switches:\s*(\d+)", tree.text("/proc/self/status") or "", re.MULTILINE)
    own = os.times()
    return Counters(
        used_s=None if used is None else used - own.user - own.system,
        stolen_s=stolen,
        waited_s=None if waited is None else int(waited.group(1)) / 1e6,
        switches=None if switched is None else int(switched.group(1)),
    )


def _processor_s(tree: Tree, ticks_per_s: int) -> tuple[float | None, float | None]:
    """Processor time used by all, steal included, and the stolen part of it, in s."""
    first = (tree.text("/proc/stat") or "").partition("\n")[0].split()
    ticks = [natural(field) for field in first[1:9]]
    if first[:1] != ["cpu"] or len(ticks) < 8 or None in ticks:
        return None, None
    user, nice, system, _, _, interrupts, soft_interrupts, stolen = (float(tick or 0) for tick in ticks)
    busy = user + nice + system + interrupts + soft_interrupts + stolen
    return busy / ticks_per_s, stolen / ticks_per_s


def _ticks_per_s() -> int:
    return os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


#: Share of a step's samples below its quiet level. Low, so that a machine that is busy nearly all the time shows its
#: quiet level too: with a load of 11 on 2 CPUs the least of 400 samples of each step is 0.5 to 3 % below their second
#: percentile, and that of the product on all threads 1.9 % below its 20th.
_LEVEL_QUANTILE = 0.005
#: How many times its level a step takes without anybody's doing: those in RAM and in the last cache scatter more, their
#: medians lie 1.06 to 1.40 and 1.05 to 1.35 times above their levels, by the minute, where networks are 0 to 4 % above
#: the truth and that of one thread in near caches lies 1.03 times above (five sessions of docs/benchmarks.md).
_SCATTER = {"ram": 1.30, "last": 1.20, "memory": 1.10}
_LEAST_SCATTER = 1.02
#: How much longer steps of networks take where a reference step takes once as long again, where it is not as much: 1.27
#: to 1.36 times in the mean of 100 where hand-offs between threads took 1.74 times (docs/benchmarks.md).
_OF_STEPS = {"handoff": 0.4}
#: A hand-off takes up to twice as long by where threads sit; one that waits for a thread that has no core now is 1,000
#: times as long, and the longer steps say what that does to networks.
_MOST_TIMES = {"handoff": 3.0}
#: Products of a series, about a millisecond, which is timed once.
SERIES = 8
#: Slowdown of a reference step from which what was timed beside it is disturbed.
TOLERANCE = 1.10
#: Undisturbed timings of a network that settle its value.
ENOUGH = 3
#: Share of the processors that others used from which that explains a disturbance.
_EXPLAINS = 0.05
#: What is said to be possible beside what the reference steps show: under a load of 5 to 11 on 2 CPUs they showed 1.5
#: where values were 1.3 times the quiet ones, in a synthetic machine 1.09 where they were 1.12 times.
_MARGIN = 1.4
#: Values that may be higher than this share are not called quiet.
QUIET_HIGH_BY = 0.05
#: Sessions whose reference steps differ by more than this ran at different speeds.
ANOTHER_SPEED = 1.15
#: How many times as long as alone a thread's share of a product takes beside the others on cores of their own: 1.11 and
#: 1.14 on machine C of docs/benchmarks.md (two threads) while it is quiet, 1.4 to 1.9 in its other state.
_BESIDE_OTHERS = 1.12
#: How many times a thread's share of a product, alone, the small products in a row take where hand-offs are quick: 0.53
#: on machine C where they are, 0.88 in the state in which each takes 5 us longer.
_HANDED_OVER = 0.53


@dataclass(frozen=True)
class Quietness:
    """How quiet a machine was while it was measured, by its reference steps.

    ``levels_s`` is the quiet time of each in s; ``disturbed_share`` the share of the timings beside which one took
    `TOLERANCE` times as long or more; ``seen_high_by`` by how much the kept values may be too high for what the steps
    showed: the geometric mean over the networks of the slowdown beside the quietest timing (`_beside`), less 1, times
    `_MARGIN`. ``room`` is how many times faster all threads together may be at another moment:
    they slow each other even at the quietest, because they always share a core or never a cache, or because a neighbour
    was there from the first moment to the last. Which of the two it is, sessions at other moments tell.
    """

    levels_s: Mapping[str, float]
    disturbed_share: float
    seen_high_by: float
    room: float = 1.0

    @property
    def high_by(self) -> float:
        """Share by which the values may be too high."""
        return (1 + self.seen_high_by) * (self.room if self.room > ANOTHER_SPEED else 1.0) - 1

    @property
    def quiet(self) -> bool:
        """Whether each network's quietest timing was taken while the machine was quiet."""
        return self.high_by <= QUIET_HIGH_BY


def quiet_levels(timings: Iterable[Timing]) -> dict[str, float]:
    """Quiet time of each reference step in s; empty where none was timed."""
    samples: dict[str, list[float]] = {}
    for timing in timings:
        for name, around in (timing.reference_s or {}).items():
            samples.setdefault(name, []).extend(around)
    levels = {name: float(np.quantile(times, _LEVEL_QUANTILE)) for name, times in samples.items()}
    if "series" in levels and "threads" in levels:  # one product of a series is quick although the series never was
        levels["series"] = min(levels["series"], levels["threads"])
    return levels


def slowdown(
    timing: Timing, levels_s: Mapping[str, float], of_two: Callable[[Sequence[float]], float] = statistics.fmean
) -> float:
    """How many times its quiet time the slowest reference step took around a timing; 1 where none was timed.

    ``of_two`` makes one time of those before and after. What a step scatters by itself is left out.
    """
    reference = timing.reference_s or {}
    around = [
        of_steps(name, of_two(reference[name]) / level / scatter(name))
        for name, level in levels_s.items()
        if name in reference
    ]
    return max(around, default=1.0)


def of_steps(name: str, ratio: float) -> float:
    """How many times as long networks' steps take where a reference step takes so many times as long."""
    share, ratio = _OF_STEPS.get(name, 1.0), min(ratio, _MOST_TIMES.get(name, math.inf))
    return 1 + share * (ratio - 1) if ratio >= 1 else 1 / (1 + share * (1 / ratio - 1))


def scatter(name: str) -> float:
    """How many times its level a reference step takes without anybody's doing."""
    return _SCATTER.get(name, _LEAST_SCATTER)


def disturbed(timing: Timing, levels_s: Mapping[str, float]) -> bool:
    """Whether the machine was slower than when it is quiet."""
    return slowdown(timing, levels_s) > TOLERANCE


def unsettled(measured: Mapping[int, Sequence[Timing]], levels_s: Mapping[str, float]) -> list[int]:
    """The cases with fewer than `ENOUGH` undisturbed timings, those with the fewest first."""
    calm = {case: sum(not disturbed(timing, levels_s) for timing in timings) for case, timings in measured.items()}
    return sorted((case for case, count in calm.items() if count < ENOUGH), key=calm.__getitem__)


def quietness(timings: Sequence[Timing]) -> Quietness | None:
    """How quiet the machine was, by timings in the order in which they were taken; None without reference steps."""
    timings = [timing for timing in timings if timing.reference_s]
    levels = quiet_levels(timings)
    if not levels:
        return None
    slow = [slowdown(timing, levels) for timing in timings]
    quietest: dict[int, int] = {}
    for index, timing in enumerate(timings):
        if timing.case not in quietest or timing.step_s < timings[quietest[timing.case]].step_s:
            quietest[timing.case] = index
    kept = np.array([max(_beside(timings, index, levels), 1.0) for index in quietest.values()])
    high_by = _MARGIN * (float(np.exp(np.mean(np.log(kept)))) - 1)
    return Quietness(levels, float(np.mean(np.array(slow) > TOLERANCE)), high_by, room(levels))


def _beside(timings: Sequence[Timing], index: int, levels_s: Mapping[str, float]) -> float:
    """How many times its quiet time a timing may have taken: the lesser of the slowdowns before and after it.

    A step that is longer than a series of products does not slip between a neighbour's turns: it is as slow as so many
    series in a row, of which those around the timing are the nearest that were taken. Their median tells: under loads
    of 8 to 12 on 2 CPUs it said 5.7, 28 and 73 times where networks took 6.4, 28 and 28 times their quiet times, the
    lesser of before and after 2.3, 8 and 3.9 times, means 14 times and more.
    """
    timing, level = timings[index], levels_s.get("series")
    slipped = slowdown(timing, levels_s, min)
    if level is None or timing.step_s <= SERIES * level:
        return slipped
    reach = math.ceil(timing.step_s / (SERIES * level)) // 2
    around = [each.reference_s for each in timings[max(index - reach, 0) : index + reach + 1]]
    taken = [statistics.fmean(each["series"]) for each in around if each and "series" in each]
    return max(slipped, statistics.median(taken) / level / scatter("series")) if taken else slipped


def room(levels_s: Mapping[str, float]) -> float:
    """How many times faster all threads together may be at another moment, at least 1; 1 for one thread.

    On cores of their own a thread would work as fast as alone, and on cores that share a cache they would hand over
    work as quickly as that allows.
    """
    if "threads" not in levels_s or "alone" not in levels_s:
        return 1.0
    alone_s = levels_s["alone"]
    beside = levels_s["threads"] / alone_s / _BESIDE_OTHERS
    handed_over = of_steps("handoff", levels_s.get("handoff", 0.0) / alone_s / _HANDED_OVER or 1.0)
    return max(beside, handed_over, 1.0)


def explanation(timings: Sequence[Timing]) -> str | None:
    """What the kernel counted beside the disturbed timings, in words; None where nothing was disturbed or counted.

    That it counted little is no sign of a quiet machine: it sees no other virtual machine on a shared core.
    """
    levels = quiet_levels(timings)
    on_gpu = _of_gpu([timing.kernel or {} for timing in timings if disturbed(timing, levels)])
    if on_gpu is not None:
        return on_gpu
    used = [timing.disturbed for timing in timings if timing.disturbed is not None and disturbed(timing, levels)]
    stolen = [(timing.kernel or {}).get("stolen_s", 0.0) for timing in timings if disturbed(timing, levels)]
    if not used or np.mean(used) < _EXPLAINS:
        return None
    host = " (part of it kept by the host)" if sum(stolen) > 0 else ""
    return f"meanwhile others used {np.mean(used):.0%} of the processors{host}"


#: Share of its highest clock below which a GPU's clock explains a disturbance.
_FULL_CLOCK = 0.9


def _of_gpu(told: Sequence[Mapping[str, float]]) -> str | None:
    """What NVML told of a GPU while it was disturbed, in words; None where it told nothing."""
    others = [each["other_processes"] for each in told if "other_processes" in each]
    clocks = [
        each["sm_clock_mhz"] / each["sm_clock_most_mhz"]
        for each in told
        if each.get("sm_clock_most_mhz") and "sm_clock_mhz" in each
    ]
    if others and max(others) > 0:
        return f"meanwhile {max(others):.0f} other process{'es' if max(others) > 1 else ''} used the GPU"
    if clocks and statistics.median(clocks) < _FULL_CLOCK:
        return f"its clock was at {statistics.median(clocks):.0%} of the highest: power, heat, or a limit"
    return None

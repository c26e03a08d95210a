"""Whether a lever leaves the losses as they are. Pure arithmetic over the losses of runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Verdicts.
SAME, ROUNDED, DIFFERENT, UNKNOWN = "bit-identical", "within rounding", "different", "none seen"
ALIKE, UNLIKE = "not reproducible, alike", "not reproducible, other losses"
#: Losses of the first steps, in which rounding has not grown yet, and how far off (relative) it may have brought them:
#: float32 has an epsilon of 1.2e-7, a sum of a thousand terms loses three digits of it.
_EARLY, _ROUNDING = 5, 1e-4
#: Runs of a script that is not reproducible are alike within so many of their own deviations, and half of their spread.
_DEVIATIONS = 3.0


def verdict(unchanged: Sequence[Sequence[float]], changed: Sequence[float]) -> str:
    """How the losses of a run compare with those of unchanged runs, of which there are at least one.

    Where unchanged runs differ among themselves only distributions are compared: means over the later half.
    """
    unchanged = [losses for losses in unchanged if losses]
    if not unchanged or not changed:
        return UNKNOWN
    if len(unchanged) > 1 and not reproducible(unchanged):
        return ALIKE if _alike([_late(losses) for losses in unchanged], _late(changed)) else UNLIKE
    first = unchanged[0]
    both = min(len(first), len(changed))
    if all(map(_equal, first[:both], changed[:both])):
        return SAME
    early = zip(first[: min(both, _EARLY)], changed[: min(both, _EARLY)], strict=True)
    return ROUNDED if all(_near(one, other) for one, other in early) else DIFFERENT


def reproducible(unchanged: Sequence[Sequence[float]]) -> bool:
    """Whether the unchanged script has the same losses in each of its runs."""
    first = unchanged[0]
    return all(all(map(_equal, first[: len(other)], other[: len(first)])) for other in unchanged[1:])


def _equal(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _near(one: float, other: float) -> bool:
    return _equal(one, other) or abs(one - other) <= _ROUNDING * max(abs(one), abs(other))


def _late(losses: Sequence[float]) -> float:
    later = losses[len(losses) // 2 :]
    return sum(later) / len(later)


def _alike(means: Sequence[float], mean: float) -> bool:
    centre = sum(means) / len(means)
    deviation = math.sqrt(sum((each - centre) ** 2 for each in means) / max(len(means) - 1, 1))
    return abs(mean - centre) <= _DEVIATIONS * deviation * math.sqrt(1 + 1 / len(means))

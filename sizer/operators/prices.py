"""What each call of a step costs by the library: as it was timed, as its family tells, or a guess that is so named."""

from __future__ import annotations

from collections.abc import Iterable
from math import log2
from typing import NamedTuple

from sizer.operators.call import Call
from sizer.operators.interpolation import FEWEST, NOISE, Interpolation, Known, Work
from sizer.operators.kinds import DEPTHWISE, ELEMENTWISE, TELLING, computed, kind_of, other_types, place_of
from sizer.operators.library import Library

MEASURED, INTERPOLATED, UNKNOWN = "measured", "interpolated", "unknown"
#: Deviation of the logarithm of a guess: a factor of two either way.
_GUESS_DEVIATION = 0.7
#: Deviation of an operator that is told by others of its kind: an exponential takes up to four times an addition.
_KIND_DEVIATION = 0.4


class CallPrice(NamedTuple):
    """Time of a call in s, near and far, the deviation of its logarithm, and how it is known."""

    near_s: float
    far_s: float
    deviation: float
    how: str


class Prices:
    """The prices of calls on this machine, each worked out once; families are fitted when they are first asked for."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._prices: dict[str, CallPrice] = {}
        self._members: dict[str, list[Call]] = {}
        self._families: dict[str, Interpolation | None] = {}
        for call in library.calls.values():
            self._members.setdefault(place_of(call).family, []).append(call)

    def of(self, call: Call) -> CallPrice:
        """The price of a call."""
        if call.key not in self._prices:
            self._prices[call.key] = self._find(call)
        return self._prices[call.key]

    def left_out_error(self, call: Call) -> float | None:
        """Mean error of the calls of its family when each is told by the others; None where there are too few."""
        family = self._family(place_of(call).family)
        return None if family is None else family.error

    def _find(self, call: Call) -> CallPrice:
        timed = self.library.times.get(call.key)
        if timed is not None:
            return CallPrice(*timed, NOISE, MEASURED)
        place, work = place_of(call), work_of(call)
        family = self._family(place.family)
        if family is not None:
            return CallPrice(*family.tell(place.features, work), INTERPOLATED)
        return self._by_others(call)

    def _family(self, name: str) -> Interpolation | None:
        """The interpolation of a family, None where too few of it were timed."""
        if name not in self._families:
            members = self._members.get(name, [])
            if len(members) < FEWEST:  # (of one code in a family too few: as the family)
                members = self._members.get(name.replace(DEPTHWISE, ""), [])
            known = [self._known(call) for call in _spread(members)] if len(members) >= FEWEST else []
            self._families[name] = Interpolation(known) if known else None
        return self._families[name]

    def _by_others(self, call: Call) -> CallPrice:
        """As operators of its kind cost, else a guess: as element-wise ones that move as many bytes."""
        kind = None if other_types(call) else kind_of(call)
        family = self._of_kind(kind) if kind in TELLING else None
        if family is not None:
            told = family.tell(_size(call), work_of(call))
            return CallPrice(told.near_s, told.far_s, max(told.deviation, _KIND_DEVIATION), INTERPOLATED)
        guess = self._of_kind(ELEMENTWISE)
        if guess is None:
            return CallPrice(0.0, 0.0, _GUESS_DEVIATION, UNKNOWN)
        told = guess.tell(_size(call), work_of(call))
        return CallPrice(told.near_s, told.far_s, max(told.deviation, _GUESS_DEVIATION), UNKNOWN)

    def _of_kind(self, kind: str) -> Interpolation | None:
        """The interpolation of a kind by bytes alone, None where too few of it were timed."""
        name = f"kind {kind}"
        if name not in self._families:
            members = [call for call in self.library.calls.values() if kind_of(call) == kind and not other_types(call)]
            known = [Known(_size(call), work_of(call), *self.library.times[call.key]) for call in _spread(members)]
            self._families[name] = Interpolation(known) if len(known) >= FEWEST else None
        return self._families[name]

    def _known(self, call: Call) -> Known:
        return Known(place_of(call).features, work_of(call), *self.library.times[call.key])


def _size(call: Call) -> tuple[float, ...]:
    """Where a call stands among those of other operators: bytes in and out."""
    return log2(max(call.bytes_in, 1)) / 2, log2(max(call.bytes_out, 1)) / 2


def work_of(call: Call) -> Work:
    """What a call does."""
    return Work(float(computed(call)), float(call.bytes_in), float(call.bytes_out), float(len(call.tensors)))


#: Calls that a family is told by: more tell little, and an inverse of thousands takes seconds.
_MOST_MEMBERS = 600


def _spread(calls: Iterable[Call]) -> list[Call]:
    every = list(calls)
    step = max(1, -(-len(every) // _MOST_MEMBERS))
    return every[::step]

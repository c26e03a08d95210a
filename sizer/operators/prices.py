"""What each call of a step costs by the library: as it was timed, as its family tells, or a guess that is so named."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sizer.operators.call import Call
from sizer.operators.interpolation import FEWEST, NOISE, Interpolation, Known, Told, Work
from sizer.operators.kinds import ELEMENTWISE, is_elementwise, place_of
from sizer.operators.library import Library

MEASURED, INTERPOLATED, UNKNOWN = "measured", "interpolated", "unknown"
#: Deviation of the logarithm of a guess: a factor of two either way.
_GUESS_DEVIATION = 0.7
#: Deviation of an element-wise operator that is told by others: an exponential takes up to four times an addition.
_ELEMENTWISE_DEVIATION = 0.4


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
        told = self._by_others(call)
        how = INTERPOLATED if is_elementwise(call.operator) else UNKNOWN
        deviation = _ELEMENTWISE_DEVIATION if how == INTERPOLATED else _GUESS_DEVIATION
        return CallPrice(told.near_s, told.far_s, max(told.deviation, deviation), how)

    def _family(self, name: str) -> Interpolation | None:
        """The interpolation of a family, None where too few of it were timed."""
        if name not in self._families:
            members = self._members.get(name, [])
            if len(members) < FEWEST:  # (of one code in a family too few: as the family)
                members = self._members.get(name.partition(" ")[0], [])
            known = [self._known(call) for call in _spread(members)] if len(members) >= FEWEST else []
            self._families[name] = Interpolation(known) if known else None
        return self._families[name]

    def _by_others(self, call: Call) -> Told:
        """As element-wise operators cost that move as many bytes."""
        if ELEMENTWISE not in self._families:
            members = [call for call in self.library.calls.values() if is_elementwise(call.operator)]
            known = [self._known(call) for call in _spread(members)]
            self._families[ELEMENTWISE] = Interpolation(known) if len(known) >= FEWEST else None
        family = self._families[ELEMENTWISE]
        if family is None:
            return Told(0.0, 0.0, _GUESS_DEVIATION)
        return family.tell(place_of(call).features, work_of(call))

    def _known(self, call: Call) -> Known:
        return Known(place_of(call).features, work_of(call), *self.library.times[call.key])


def work_of(call: Call) -> Work:
    """What a call does."""
    return Work(float(call.flops), float(call.bytes_in), float(call.bytes_out), float(len(call.tensors)))


#: Calls that a family is told by: more tell little, and an inverse of thousands takes seconds.
_MOST_MEMBERS = 600


def _spread(calls: Iterable[Call]) -> list[Call]:
    every = list(calls)
    step = max(1, -(-len(every) // _MOST_MEMBERS))
    return every[::step]

"""The two machines of a comparison, read by name: coefficients of the same quantity where both have some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sizer import profiles
from sizer.calibrated import calibration_of
from sizer.coefficients import Coefficients
from sizer.comparison import Asked, Compared, Comparison, compare
from sizer.devices import choose
from sizer.errors import UsageError
from sizer.hardware import is_detected
from sizer.profiles import Profile

QUANTITIES = ("time", "energy")


def compare_named(first: str, second: str, asked: Asked, quantity: str | None = None) -> Comparison:
    """Compare two profiles, by name or file, or devices of this machine (``cpu``, ``cuda:0``).

    ``quantity`` is ``time`` or ``energy``; None takes what both know, their joules where both know both. Raises
    UsageError where they know nothing in common, ProfileError for a profile that cannot be used.
    """
    if first == second:
        raise UsageError(f"{first} and {second} are the same machine; name two")
    if quantity not in (None, *QUANTITIES):
        raise UsageError(f"unknown quantity {quantity!r}; expected time or energy")
    machines = [_known(name, asked.dtype) for name in (first, second)]
    wanted = quantity or _in_common(machines)
    return compare(_of_quantity(machines[0], wanted), _of_quantity(machines[1], wanted), asked)


class _Known(NamedTuple):
    """A machine as it is used, and all its coefficients by quantity."""

    used: Compared
    by_quantity: Mapping[str, Coefficients]


def _known(name: str, dtype: str) -> _Known:
    chosen = choose(name, dtype)
    used = Compared(chosen.device, chosen.coefficients)
    if not is_detected(chosen.device):
        profile: Profile | None = profiles.load(name)
    else:
        profile = calibration_of(chosen.device).profile
    by_quantity = {} if profile is None else dict(profile.by_quantity)
    return _Known(used, {**by_quantity, used.coefficients.quantity: used.coefficients})


def _in_common(machines: Sequence[_Known]) -> str | None:
    """The quantity of both; None where they have none in common, which comparing them refuses."""
    first, second = (machine.used.coefficients.quantity for machine in machines)
    if first == second:
        return first
    return next((q for q in QUANTITIES if all(q in machine.by_quantity for machine in machines)), None)


def _of_quantity(machine: _Known, quantity: str | None) -> Compared:
    if quantity is None:
        return machine.used
    if quantity not in machine.by_quantity:
        known = " and ".join(machine.by_quantity)
        raise UsageError(f"the {quantity} on {machine.used.device.id} is not known, only its {known}")
    return machine.used._replace(coefficients=machine.by_quantity[quantity])

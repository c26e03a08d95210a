"""The two machines of a comparison, read by name: coefficients of the same quantity where both have some."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sizer import profiles
from sizer.base.errors import UsageError
from sizer.calibration.validity import calibration_of
from sizer.devices import choose
from sizer.fleet.comparison import Asked, Compared, Comparison, compare
from sizer.fleet.fleet import Node
from sizer.method.coefficients import Coefficients
from sizer.method.hardware import is_detected
from sizer.profiles import Profile
from sizer.profiles.records import SHIPPED

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


#: Stands for every calibrated profile.
ALL = "all"


def fleet_nodes(names: Sequence[str], dtype: str = "float32") -> tuple[Node, ...]:
    """Nodes of the profiles named, each once; ``all``, or no name, stands for every calibrated profile.

    A device of this machine (``cpu``) counts as a node too. Raises UsageError when ``all`` finds none, ProfileError for
    a profile that cannot be used.
    """
    named = [name for name in names if name != ALL]
    nodes = {name: _named(name, dtype) for name in named}
    if not named or ALL in names:
        for profile in calibrated_profiles():
            nodes.setdefault(profile.name, _of_profile(profile, dtype))
    return tuple(nodes.values())


def calibrated_profiles() -> list[Profile]:
    """Every profile that the user calibrated, one a kind of node. Raises UsageError when there is none."""
    kinds: dict[str, Profile] = {}
    for profile in profiles.all_profiles().profiles:
        if profile.calibration is not None and profile.origin != SHIPPED:
            kinds.setdefault(json.dumps(profile.calibration.get("identity"), sort_keys=True), profile)
    if not kinds:
        raise UsageError(
            "no calibrated profile is there; `sizer calibrate` makes this machine's, `sizer calibrate --engine ray` "
            "one for each kind of node of a cluster, and --fleet NAME,NAME compares any (`sizer profiles list`)"
        )
    return list(kinds.values())


def _named(name: str, dtype: str) -> Node:
    if name in ("cpu", "cuda", "mps") or name.startswith("cuda:"):
        chosen = choose(name, dtype)
        return Node(name, chosen.device, _known_nodes(chosen.coefficients))
    return _of_profile(profiles.load(name), dtype, name)


def _of_profile(profile: Profile, dtype: str, name: str | None = None) -> Node:
    """A profile's own coefficients of each quantity; where it has none, what `recommend` goes by."""
    known = dict(profile.by_quantity) or _known_nodes(choose(name or profile.name, dtype).coefficients)
    return Node(profile.name, profile.device, known)


def _known_nodes(coefficients: Coefficients) -> dict[str, Coefficients]:
    return {} if coefficients.source == "none" else {coefficients.quantity: coefficients}

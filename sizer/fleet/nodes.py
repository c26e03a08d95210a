"""Machines read by name: the two of a comparison, and the kinds of node of a fleet.

Coefficients are taken in a quantity that all of them know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sizer import profiles
from sizer.base.errors import UsageError
from sizer.calibration.validity import calibration_of
from sizer.devices import Chosen, choose, is_device_id
from sizer.fleet.comparison import Asked, Comparison, compare
from sizer.fleet.fleet import Node
from sizer.method.coefficients import Coefficients
from sizer.method.hardware import is_detected
from sizer.profiles import Profile
from sizer.profiles.records import SHIPPED

#: What two machines may be compared in, the first that both know.
QUANTITIES = ("time", "energy")
#: Stands for every calibrated profile.
ALL = "all"


def compare_named(first: str, second: str, asked: Asked, quantity: str | None = None) -> Comparison:
    """Compare two profiles, by name or file, or devices of this machine (``cpu``, ``cuda:0``).

    ``quantity`` is ``time`` or ``energy``; None takes what both know, their joules where both know both. Raises
    UsageError where they know nothing in common, ProfileError for a profile that cannot be used.
    """
    if first == second:
        raise UsageError(f"{first} and {second} are the same machine; name two")
    if quantity not in (None, *QUANTITIES):
        raise UsageError(f"unknown quantity {quantity!r}; expected time or energy")
    machines = [choose(name, asked.dtype) for name in (first, second)]
    known = [_by_quantity(name, machine) for name, machine in zip((first, second), machines, strict=True)]
    preferred = {machine.coefficients.quantity for machine in machines}
    if quantity is None and len(preferred) > 1:
        quantity = next((each for each in QUANTITIES if all(each in by_quantity for by_quantity in known)), None)
    if quantity is not None:
        machines = [_in_quantity(quantity, *pair) for pair in zip(machines, known, strict=True)]
    return compare(machines[0], machines[1], asked)


def _by_quantity(name: str, machine: Chosen) -> dict[str, Coefficients]:
    """All coefficients of a machine: its profile's, or its calibration's, and those in use."""
    profile = calibration_of(machine.device).profile if is_detected(machine.device) else profiles.load(name)
    known = {} if profile is None else dict(profile.by_quantity)
    return {**known, machine.coefficients.quantity: machine.coefficients}


def _in_quantity(quantity: str, machine: Chosen, known: Mapping[str, Coefficients]) -> Chosen:
    if quantity not in known:
        raise UsageError(f"the {quantity} on {machine.device.id} is not known, only its {' and '.join(known)}")
    return Chosen(machine.device, known[quantity])


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
    if not is_device_id(name):
        return _of_profile(profiles.load(name), dtype, name)
    chosen = choose(name, dtype)
    return Node(name, chosen.device, _in_use(chosen))


def _of_profile(profile: Profile, dtype: str, name: str | None = None) -> Node:
    """A profile's own coefficients of each quantity; where it has none, what `recommend` goes by."""
    known = dict(profile.by_quantity) or _in_use(choose(name or profile.name, dtype))
    return Node(profile.name, profile.device, known)


def _in_use(chosen: Chosen) -> dict[str, Coefficients]:
    coefficients = chosen.coefficients
    return {} if coefficients.source == "none" else {coefficients.quantity: coefficients}

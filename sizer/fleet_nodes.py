"""The nodes of a fleet from profiles: those that are named, or every kind of node that was calibrated."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sizer import profiles
from sizer.coefficients import Coefficients
from sizer.devices import choose
from sizer.errors import UsageError
from sizer.fleet import Node
from sizer.profiles import Profile
from sizer.profiles.records import SHIPPED

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
        return Node(name, chosen.device, _known(chosen.coefficients))
    return _of_profile(profiles.load(name), dtype, name)


def _of_profile(profile: Profile, dtype: str, name: str | None = None) -> Node:
    """A profile's own coefficients of each quantity; where it has none, what `recommend` goes by."""
    known = dict(profile.by_quantity) or _known(choose(name or profile.name, dtype).coefficients)
    return Node(profile.name, profile.device, known)


def _known(coefficients: Coefficients) -> dict[str, Coefficients]:
    return {} if coefficients.source == "none" else {coefficients.quantity: coefficients}

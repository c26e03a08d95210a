"""Profiles as text for a terminal and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from sizer.base.records import plain
from sizer.base.units import format_bytes, format_quantity
from sizer.method.hardware import device_to_dict
from sizer.profiles import Fact, Profile
from sizer.report.calibration import term_table
from sizer.report.layout import hanging, plain_table

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PROFILES_FORMAT = "sizer.profiles/1"


def profiles_json(profiles: Sequence[Profile]) -> str:
    """The record ``sizer.profiles/1``: each profile with its device, rates, coefficients and sources."""
    return json.dumps({"format": PROFILES_FORMAT, "profiles": [_profile_dict(p) for p in profiles]}, indent=2)


def _profile_dict(profile: Profile) -> dict[str, Any]:
    facts = {name: plain(getattr(profile, name)) for name in ("peaks_flop_per_s", "bandwidths_bytes_per_s", "power_w")}
    return {
        "name": profile.name,
        "title": profile.title,
        "kind": profile.kind,
        "origin": profile.origin,
        "device": device_to_dict(profile.device),
        "coefficients": plain(profile.by_quantity),
        **facts,
        "sources": plain(profile.sources),
        "unverified": list(profile.unverified),
        "notes": list(profile.notes),
        "calibration": profile.calibration,
    }


def profiles_table(profiles: Sequence[Profile]) -> Table:
    """One row a profile: caches of one instance, and whether its costs are known."""
    table = plain_table()
    for title in ("name", "kind", "caches", "costs"):
        table.add_column(title, overflow="fold")
    for profile in profiles:
        caches = ", ".join(f"{level.name} {format_bytes(level.sizing_bytes)}" for level in profile.device.caches())
        table.add_row(profile.name, profile.kind, caches, _costs(profile))
    return table


def _costs(profile: Profile) -> str:
    if profile.by_quantity:
        return ", ".join(f"{found.label} {quantity}" for quantity, found in profile.by_quantity.items())
    return "datasheet peaks" if profile.peaks_flop_per_s else "none"


def profile_renderables(profile: Profile, console: Console) -> Iterator[RenderableType]:
    """A profile in full."""
    yield Text(f"{profile.title} ({profile.name}, {profile.kind}, {profile.origin})", style="bold")
    yield _level_table(profile)
    for title, facts, unit in (
        ("peak", profile.peaks_flop_per_s, "FLOP/s"),
        ("power", profile.power_w, "W"),
    ):
        for name, fact in facts.items():
            yield hanging(f"{title} {name}: ", _fact_text(fact, unit), console.width)
    for quantity, found in profile.by_quantity.items():
        yield hanging(f"{found.label} {quantity}: ", found.basis, console.width)
        yield term_table(found.terms, quantity)
    for key, source in profile.sources.items():
        yield hanging(
            f"[{key}] ",
            " ".join(part for part in (source.title, source.url or "", source.read or "") if part),
            console.width,
        )
    for note in profile.notes:
        yield hanging(" !  ", note, console.width)


def _level_table(profile: Profile) -> Table:
    table = plain_table()
    for title in ("level", "one instance", "instances", "bandwidth", "source"):
        table.add_column(title)
    for level in profile.device.levels:
        bandwidth = profile.bandwidths_bytes_per_s.get(level.name)
        text = "" if bandwidth is None else _fact_value(bandwidth, "B/s")
        table.add_row(level.name, format_bytes(level.sizing_bytes), f"{level.instances}", text, level.source)
    return table


def _fact_value(fact: Fact, unit: str) -> str:
    return f"{format_quantity(fact.value, unit)}{'' if fact.verified else ' (unverified)'}"


def _fact_text(fact: Fact, unit: str) -> str:
    source = "" if fact.source is None else f" [{fact.source}]"
    return f"{_fact_value(fact, unit)}{source} {fact.note}".rstrip()

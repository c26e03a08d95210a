"""Profiles as reports and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sizer.base.records import plain
from sizer.base.units import format_bytes, format_quantity
from sizer.method.hardware import RAM, Level, device_to_dict
from sizer.profiles import Fact, Profile
from sizer.report.calibration import term_table
from sizer.report.layout import Block, Column, Line, Paragraph, Table

PROFILES_FORMAT = "sizer.profiles/1"


def profiles_table(profiles: Sequence[Profile]) -> Table:
    """One row a profile: caches of one instance, and whether its costs are known."""
    columns = {
        "name": [profile.name for profile in profiles],
        "kind": [profile.kind for profile in profiles],
        "caches": [", ".join(map(_cache, _caches(profile))) for profile in profiles],
        "costs": [_costs(profile) for profile in profiles],
    }
    return Table([Column(title, cells, folds=True) for title, cells in columns.items()])


def _caches(profile: Profile) -> Iterator[Level]:
    return (level for level in profile.device.known_levels() if level.name != RAM)


def _cache(level: Level) -> str:
    return f"{level.name} {format_bytes(level.sizing_bytes)}"


def _costs(profile: Profile) -> str:
    if profile.by_quantity:
        return ", ".join(f"{found.label} {quantity}" for quantity, found in profile.by_quantity.items())
    return "datasheet peaks" if profile.peaks_flop_per_s else "none"


def profile_report(profile: Profile) -> Iterator[Block]:
    """A profile in full."""
    yield Line(f"{profile.title} ({profile.name}, {profile.kind}, {profile.origin})", strong=True)
    yield _level_table(profile)
    for title, facts, unit in (("peak", profile.peaks_flop_per_s, "FLOP/s"), ("power", profile.power_w, "W")):
        for name, fact in facts.items():
            cited = "" if fact.source is None else f" [{fact.source}]"
            yield Paragraph(f"{_fact_text(fact, unit)}{cited} {fact.note}".rstrip(), f"{title} {name}: ")
    for quantity, found in profile.by_quantity.items():
        yield Paragraph(found.basis, f"{found.label} {quantity}: ")
        yield term_table(found.terms, quantity)
    for key, source in profile.sources.items():
        yield Paragraph(" ".join(filter(None, (source.title, source.url, source.read))), f"[{key}] ")
    for note in profile.notes:
        yield Paragraph(note, " !  ")


def _level_table(profile: Profile) -> Table:
    levels, known = profile.device.levels, profile.bandwidths_bytes_per_s
    bandwidths = [_fact_text(known[level.name], "B/s") if level.name in known else "" for level in levels]
    columns = {
        "level": [level.name for level in levels],
        "one instance": [format_bytes(level.sizing_bytes) for level in levels],
        "instances": [f"{level.instances}" for level in levels],
        "bandwidth": bandwidths,
        "source": [level.source for level in levels],
    }
    return Table([Column(title, cells) for title, cells in columns.items()])


def _fact_text(fact: Fact, unit: str) -> str:
    return f"{format_quantity(fact.value, unit)}{'' if fact.verified else ' (unverified)'}"


def profiles_json(profiles: Sequence[Profile]) -> str:
    """The record ``sizer.profiles/1``: each profile with its device, rates, coefficients and sources."""
    return json.dumps({"format": PROFILES_FORMAT, "profiles": [_profile_dict(p) for p in profiles]}, indent=2)


def _profile_dict(profile: Profile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "title": profile.title,
        "kind": profile.kind,
        "origin": profile.origin,
        "device": device_to_dict(profile.device),
        "coefficients": plain(profile.by_quantity),
        "peaks_flop_per_s": plain(profile.peaks_flop_per_s),
        "bandwidths_bytes_per_s": plain(profile.bandwidths_bytes_per_s),
        "power_w": plain(profile.power_w),
        "sources": plain(profile.sources),
        "unverified": list(profile.unverified),
        "notes": list(profile.notes),
        "calibration": profile.calibration,
    }

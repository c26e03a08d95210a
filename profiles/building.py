"""From a checked profile record to the records that the rest of sizer works with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sizer.base.records import known_fields
from sizer.method.coefficients import Coefficients
from sizer.method.hardware import Device, Level
from sizer.profiles.records import Fact, Match, Profile, Source

#: How numbers predicted with coefficients of each source are labelled.
_LABELS = {"calibrated": "calibrated", "published": "published", "shipped": "estimated"}

#: Names in ``Device.facts``, which carry their unit.
_FACT_NAMES = {
    "peaks_flop_per_s": "peak_{}_flop_per_s",
    "bandwidths_bytes_per_s": "bandwidth_{}_bytes_per_s",
    "power_w": "power_{}_w",
}


def build_match(record: Mapping[str, Any]) -> Match:
    """The device names that a record describes."""
    return Match(**{name: tuple(phrases) for name, phrases in known_fields(Match, record["match"]).items()})


def build_profile(record: Mapping[str, Any], origin: str) -> Profile:
    """The profile of a record that `check_profile` has accepted."""
    facts = {
        "peaks_flop_per_s": _facts(record.get("peaks_flop_per_s", {})),
        "bandwidths_bytes_per_s": _bandwidths(record["levels"]),
        "power_w": _facts(record.get("power_w", {})),
    }
    coefficients = {
        quantity: _coefficients(values, quantity, record["name"])
        for quantity, values in (record["coefficients"] or {}).items()
    }
    return Profile(
        name=record["name"],
        title=record["title"],
        kind=record["kind"],
        device=_device(record, facts),
        coefficients=_first_choice(coefficients),
        by_quantity=coefficients,
        match=build_match(record),
        sources={name: Source(**known_fields(Source, source)) for name, source in record["sources"].items()},
        origin=origin,
        unverified=tuple(_unverified(record)),
        notes=tuple(record.get("notes", ())),
        calibration=record.get("calibration"),
        **facts,
    )


def _first_choice(coefficients: Mapping[str, Coefficients]) -> Coefficients | None:
    """Joules where they are known, else time; joules that are but estimated from stated power give way to time."""
    energy, time = coefficients.get("energy"), coefficients.get("time")
    if energy is not None and time is not None and energy.label == "estimated" != time.label:
        return time
    return energy or time


def _facts(values: Mapping[str, Any]) -> dict[str, Fact]:
    return {name: Fact(**known_fields(Fact, value)) for name, value in values.items() if value is not None}


def _bandwidths(levels: list[dict[str, Any]]) -> dict[str, Fact]:
    """Bandwidth of each level; of a hybrid processor's kinds the first, which sizing uses."""
    values: dict[str, Any] = {}
    for level in levels:
        if level.get("bandwidth_bytes_per_s") is not None:
            values.setdefault(level["name"], level["bandwidth_bytes_per_s"])
    return _facts(values)


def _device(record: Mapping[str, Any], facts: Mapping[str, Mapping[str, Fact]]) -> Device:
    units = record["units"]
    sources = {"name": f"profile {record['name']}"}
    if units is not None:
        sources["units"] = _cite(record["name"], units["source"], units["verified"])
    return Device(
        id=record["name"],
        kind=record["kind"],
        name=record["title"],
        units=None if units is None else int(units["value"]),
        levels=tuple(_level(level, record["name"]) for level in record["levels"]),
        warnings=tuple(record.get("warnings", ())),
        sources=sources,
        facts=dict(_device_facts(facts, record["name"])),
    )


def _level(level: Mapping[str, Any], profile: str) -> Level:
    return Level(
        name=level["name"],
        capacity_bytes=_whole(level["capacity_bytes"]),
        instances=_whole(level["instances"]),
        cpus_per_instance=_whole(level.get("cpus_per_instance")),
        line_bytes=_whole(level.get("line_bytes")),
        source=_cite(profile, level["source"], level["verified"]),
        effective_bytes=_whole(level.get("effective_bytes")),
        core_kind=level.get("core_kind"),
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _cite(profile: str, source: str | None, verified: bool) -> str:
    """Where a value is from, in a few words; ``Profile.sources`` has the title and the address."""
    return f"profile {profile}{f' ({source})' if source else ''}{'' if verified else ', unverified'}"


def _device_facts(facts: Mapping[str, Mapping[str, Fact]], profile: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Facts by names such as ``peak_float32_flop_per_s``, ``bandwidth_L2_bytes_per_s`` and ``power_limit_w``."""
    for group, values in facts.items():
        for name, fact in values.items():
            source = _cite(profile, fact.source, fact.verified)
            yield _FACT_NAMES[group].format(name), {"value": fact.value, "source": source, "verified": fact.verified}


def _coefficients(values: Mapping[str, Any], quantity: str, profile: str) -> Coefficients:
    interval = values["interval_90"]
    return Coefficients(
        source=values["source"],
        label=_LABELS[values["source"]],
        quantity=quantity,
        terms={name: float(term["value"]) for name, term in values["terms"].items()},
        interval=None if interval is None else (float(interval[0]), float(interval[1])),
        profile=profile,
        basis=values["basis"],
        conditions=values.get("conditions", {}),
    )


def _unverified(record: Mapping[str, Any]) -> Iterator[str]:
    if record["units"] is not None and not record["units"]["verified"]:
        yield "units"
    for level in record["levels"]:
        name = " ".join(part for part in (level["name"], level.get("core_kind")) if part)
        if not level["verified"]:
            yield f"{name} capacity"
        bandwidth = level.get("bandwidth_bytes_per_s")
        if bandwidth is not None and not bandwidth["verified"]:
            yield f"{name} bandwidth"
    for field, what in (("peaks_flop_per_s", "peak"), ("power_w", "power")):
        for name, fact in record.get(field, {}).items():
            if fact is not None and not fact["verified"]:
                yield f"{name} {what}"

"""What a profile record must be, checked by hand: ``sizer/schemas/profile-1.json`` says the same as a JSON Schema.

The shape is written down as a tree of checks. Rules across fields (the order of levels, the unit of a term) follow it;
the schema holds those of them that it can express.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sizer.method.coefficients import term_unit
from sizer.method.hardware import RAM
from sizer.profiles.checks import (
    Check,
    InvalidError,
    boolean,
    date,
    fields,
    free,
    interval,
    level_name,
    list_of,
    map_of,
    number,
    one_of,
    or_null,
    phrase,
    positive,
    profile_name,
    shown,
    sourced,
    text,
    url,
    whole,
)
from sizer.profiles.records import PROFILE_FORMAT

KINDS = ("cpu", "cuda", "rocm", "mps", "xpu")
DTYPES = ("float64", "float32", "tf32", "bfloat16", "float16", "mixed")
COEFFICIENT_SOURCES = ("calibrated", "published", "shipped")


def check_profile(record: object) -> None:
    """Check a whole profile record. Raises InvalidError: where, what was given, what was expected."""
    if not isinstance(record, dict):
        raise InvalidError(f'the file holds {shown(record)}; expected a JSON object with "format": "{PROFILE_FORMAT}"')
    _check_format(record)
    _profile(record)
    _check_levels(record["levels"])
    _check_sources(record)
    _check_terms(record)


def _check_format(record: Mapping[str, Any]) -> None:
    given = record.get("format")
    if given == PROFILE_FORMAT:
        return
    family = PROFILE_FORMAT.partition("/")[0]
    if isinstance(given, str) and re.fullmatch(rf"{re.escape(family)}/\d{{1,9}}", given):
        raise InvalidError(f"the format is {given}, and this version of sizer reads {PROFILE_FORMAT}; upgrade sizer")
    if given is None:
        raise InvalidError(f'there is no "format"; expected "{PROFILE_FORMAT}": is this a sizer profile?')
    raise InvalidError(f'the format is {shown(given)}; expected "{PROFILE_FORMAT}": this is no sizer profile')


# The profile.

_IDENTIFIED = {"source": or_null(text), "verified": boolean}
_NOTED = {"note": text}


def _fact(value: Check) -> Check:
    return sourced(fields({"value": value, **_IDENTIFIED}, _NOTED))


_LEVEL_CHECK = sourced(
    fields(
        {"name": level_name, "capacity_bytes": or_null(whole), "instances": or_null(whole), **_IDENTIFIED},
        {
            "cpus_per_instance": or_null(whole),
            "line_bytes": or_null(whole),
            "effective_bytes": or_null(whole),
            "core_kind": or_null(text),
            "bandwidth_bytes_per_s": or_null(_fact(positive)),
            **_NOTED,
        },
    )
)

_TERM = fields({"value": number, "unit": text})

_COEFFICIENTS = fields(
    {
        "source": one_of(*COEFFICIENT_SOURCES),
        "basis": text,
        "terms": map_of(text, _TERM, minimum=1),
        "interval_90": or_null(interval),
    },
    {"conditions": free},
)

_profile = fields(
    {
        "format": one_of(PROFILE_FORMAT),
        "name": profile_name,
        "title": text,
        "kind": one_of(*KINDS),
        "match": fields({}, {"exact": list_of(phrase), "contains": list_of(phrase), "excludes": list_of(phrase)}),
        "sources": map_of(text, fields({"title": text, "url": or_null(url), "read": or_null(date)})),
        "units": or_null(_fact(whole)),
        "levels": list_of(_LEVEL_CHECK, minimum=1),
        "coefficients": or_null(map_of(one_of("energy", "time"), _COEFFICIENTS, minimum=1)),
    },
    {
        "peaks_flop_per_s": map_of(one_of(*DTYPES), _fact(positive)),
        "power_w": map_of(one_of("limit", "idle"), or_null(_fact(positive))),
        "calibration": or_null(free),
        "warnings": list_of(text),
        "notes": list_of(text),
    },
)


# Rules across fields.


def _check_levels(levels: list[dict[str, Any]]) -> None:
    """Nearest level first, RAM last and once; a repeated name needs a ``core_kind`` of its own."""
    names = [level["name"] for level in levels]
    order = sorted(names, key=lambda name: (name == RAM, name))
    if names != order:
        raise InvalidError(f"levels are {', '.join(names)}; expected {', '.join(order)}: the nearest first, RAM last")
    if names.count(RAM) != 1:
        raise InvalidError(f"levels has {names.count(RAM)} entries named RAM; expected one, the last")
    if levels[-1]["capacity_bytes"] is None:
        raise InvalidError("levels: the capacity_bytes of RAM is null; expected a whole number of bytes")
    kinds = [(level["name"], level.get("core_kind")) for level in levels]
    for name, kind in kinds:
        if kinds.count((name, kind)) > 1 or (kind is None and names.count(name) > 1):
            raise InvalidError(f"levels has {name} more than once; merge them, or give each a core_kind of its own")


def _check_sources(record: Mapping[str, Any]) -> None:
    known = record["sources"]
    for where, value in _sourced_values(record):
        source = value["source"]
        if source is not None and source not in known:
            expected = f"null or an id in sources: {', '.join(known)}" if known else "null, since sources is empty"
            raise InvalidError(f"is {shown(source)}; expected {expected}").inside(f"{'.'.join(where)}.source")


def _sourced_values(record: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Every value that names a source, with the fields that lead to it."""
    if record["units"] is not None:
        yield ("units",), record["units"]
    for index, level in enumerate(record["levels"]):
        place = f"levels[{index}]"
        yield (place,), level
        if level.get("bandwidth_bytes_per_s"):
            yield (place, "bandwidth_bytes_per_s"), level["bandwidth_bytes_per_s"]
    for field in ("peaks_flop_per_s", "power_w"):
        for name, fact in record.get(field, {}).items():
            if fact is not None:
                yield (field, name), fact


def _check_terms(record: Mapping[str, Any]) -> None:
    """Each term is one that `sizer.method.coefficients` knows, at a level of the profile, in that term's unit."""
    levels = {level["name"] for level in record["levels"]}
    for quantity, coefficients in (record["coefficients"] or {}).items():
        for name, term in coefficients["terms"].items():
            where = f"coefficients.{quantity}.terms.{shown(name)}"
            try:
                unit = term_unit(name, quantity)
            except KeyError:
                raise InvalidError("is no cost term; docs/profiles.md lists them").inside(where) from None
            if "." in name and name.partition(".")[2] not in levels:
                raise InvalidError(f"is of a level that the profile lacks; it has {', '.join(sorted(levels))}").inside(
                    where
                )
            if term["unit"] != unit:
                raise InvalidError(f"is {shown(term['unit'])}; expected {unit}").inside(f"{where}.unit")

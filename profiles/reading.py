"""From a checked profile record to the records that the rest of sizer works with."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

from sizer.base.errors import ProfileError
from sizer.base.records import rebuild
from sizer.method.coefficients import LABELS, Coefficients, OtherSpeed
from sizer.method.hardware import SIZED_L1, Device, Level
from sizer.profiles.records import Fact, Match, Profile, Source
from sizer.profiles.rules import sourced_values

#: Names in ``Device.facts``, which carry their unit.
_FACT_NAMES = {
    "peaks_flop_per_s": "peak_{}_flop_per_s",
    "bandwidths_bytes_per_s": "bandwidth_{}_bytes_per_s",
    "power_w": "power_{}_w",
}
_WHOLE = ("capacity_bytes", "instances", "cpus_per_instance", "line_bytes", "effective_bytes")


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
    if "time" in coefficients:
        coefficients["time"] = replace(coefficients["time"], other_speeds=_other_speeds(record.get("calibration")))
    return Profile(
        name=record["name"],
        title=record["title"],
        kind=record["kind"],
        device=_device(record, facts),
        coefficients=_first_choice(coefficients),
        by_quantity=coefficients,
        match=rebuild(Match, record["match"]),
        sources={name: rebuild(Source, source) for name, source in record["sources"].items()},
        origin=origin,
        unverified=tuple(what for _, what, value in sourced_values(record) if not value["verified"]),
        notes=tuple(record.get("notes", ())),
        calibration=record.get("calibration"),
        **facts,
    )


def _other_speeds(calibration: Mapping[str, Any] | None) -> tuple[OtherSpeed, ...]:
    """The speeds but the usual one that a calibration found, those whose terms it knows."""
    found = (calibration or {}).get("speeds") or ()
    return tuple(rebuild(OtherSpeed, speed) for speed in found if not speed.get("usual") and speed.get("terms"))


def _first_choice(coefficients: Mapping[str, Coefficients]) -> Coefficients | None:
    """Joules where they are known, else time; joules that are but estimated from stated power give way to time."""
    energy, time = coefficients.get("energy"), coefficients.get("time")
    if energy is not None and time is not None and energy.label == "estimated" != time.label:
        return time
    return energy or time


def _facts(values: Mapping[str, Any]) -> dict[str, Fact]:
    return {name: rebuild(Fact, value) for name, value in values.items() if value is not None}


def _bandwidths(levels: list[dict[str, Any]]) -> dict[str, Fact]:
    """Bandwidth of each level; of a hybrid processor's kinds the first, which sizing uses."""
    first: dict[str, Any] = {}
    for level in levels:
        first.setdefault(level["name"], level.get("bandwidth_bytes_per_s"))
    return _facts(first)


def _device(record: Mapping[str, Any], facts: Mapping[str, Mapping[str, Fact]]) -> Device:
    name, units = record["name"], record["units"]
    sources = {"name": f"profile {name}"}
    if units is not None:
        sources["units"] = _cite(name, units["source"], units["verified"])
    return Device(
        id=name,
        kind=record["kind"],
        name=record["title"],
        units=None if units is None else int(units["value"]),
        levels=tuple(_level(level, name) for level in record["levels"]),
        warnings=tuple(record.get("warnings", ())),
        sources=sources,
        facts={**dict(_device_facts(facts, name)), **_sized_l1(record)},
    )


def _sized_l1(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The fact that L1 is a level to size for, of a GPU whose coefficients were fitted with it."""
    terms = {term for quantity in (record["coefficients"] or {}).values() for term in quantity["terms"]}
    if record["kind"] != "cuda" or not any(term.endswith(".L1") for term in terms):
        return {}
    return {SIZED_L1: {"value": True, "source": f"profile {record['name']}: its coefficients are of a model with L1"}}


def _level(level: Mapping[str, Any], profile: str) -> Level:
    whole = {field: int(level[field]) for field in _WHOLE if level.get(field) is not None}  # 36.0 is a whole number
    source = _cite(profile, level["source"], level["verified"])
    fields: dict[str, Any] = {**dict.fromkeys(_WHOLE), **whole, "source": source, "core_kind": level.get("core_kind")}
    return Level(level["name"], **fields)


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
    low_high = values["interval_90"]
    return Coefficients(
        source=values["source"],
        label=LABELS[values["source"]],
        quantity=quantity,
        terms={name: float(term["value"]) for name, term in values["terms"].items()},
        interval=low_high and (float(low_high[0]), float(low_high[1])),
        profile=profile,
        basis=values["basis"],
        conditions=values.get("conditions", {}),
    )


#: A profile has about 6 KB; a calibrated one with its history a few times that.
SIZE_LIMIT = 2**20

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0)
_REASONS = {
    errno.ENOENT: "there is no such file",
    errno.EACCES: "it may not be read; check its permissions",
    errno.EPERM: "it may not be read; check its permissions",
    errno.EISDIR: "it is a folder; name the profile file in it",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "it is a symbolic link that leads to itself",
}


def shown_path(path: Path) -> str:
    """A path as a message shows it, on one line."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def read_json(path: Path) -> Any:
    """The value in a JSON file. Raises ProfileError with one line that says what is wrong with it."""
    return parse_json(read_text(path), path)


def read_text(path: Path) -> str:
    """The text of a small regular file. Raises ProfileError as `read_json` does."""
    data = _read(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProfileError(f"{shown_path(path)}: byte {error.start} is not UTF-8; save the file as UTF-8") from None


def parse_json(text: str, path: Path) -> Any:
    """The value that a file's text holds. Raises ProfileError as `read_json` does."""
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_no_duplicates)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair cannot be printed later on
    except RecursionError:
        raise ProfileError(f"{shown_path(path)}: the JSON is nested too deep for a profile") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ProfileError(f"{shown_path(path)}: not JSON at {place} ({error.msg}); correct the file") from None
    except UnicodeEncodeError:
        raise ProfileError(f"{shown_path(path)}: a \\u escape is no character; correct the file") from None
    except ValueError as error:
        raise ProfileError(f"{shown_path(path)}: {error}; correct the file") from None
    return value


def _read(path: Path) -> bytes:
    """The bytes of a regular file of at most SIZE_LIMIT; opening it without blocking keeps a pipe from hanging us."""
    try:
        handle = os.open(path, _FLAGS)
    except (OSError, ValueError) as error:
        raise ProfileError(f"{shown_path(path)}: {_reason(error)}") from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            what = _REASONS[errno.EISDIR] if stat.S_ISDIR(status.st_mode) else "it is a pipe or a device, not a file"
            raise ProfileError(f"{shown_path(path)}: {what}")
        data = b"" if status.st_size > SIZE_LIMIT else os.read(handle, (status.st_size or SIZE_LIMIT) + 1)
    except OSError as error:
        raise ProfileError(f"{shown_path(path)}: {_reason(error)}") from None
    finally:
        os.close(handle)
    size = max(status.st_size, len(data))
    if size > SIZE_LIMIT:
        raise ProfileError(
            f"{shown_path(path)}: it has {size} bytes, a profile at most {SIZE_LIMIT}; is it the right file?"
        )
    return data


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return _REASONS.get(error.errno or 0, f"it cannot be read ({error.strerror or error})")
    return "the name has a character that no file name can have"


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number that JSON has; what is not known is null")


def _finite(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"{text[:40]} is too large for a number")
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {ascii(repeated)[:60]} is there twice in one object")
    return fields

"""What a profile record must be, checked by hand: ``sizer/schemas/profile-1.json`` says the same as a JSON Schema.

A check takes a value and raises `InvalidError` when it is not what was expected. Checks of objects and lists call the
checks of what they hold and add where that was, so a message reads ``levels[1].capacity_bytes is -1; expected ...``.
The profile is a tree of checks. Rules across fields (the order of levels, the unit of a term) follow it; the schema
holds those of them that it can express.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from sizer.method.coefficients import LABELS, term_unit
from sizer.method.hardware import RAM
from sizer.profiles.records import PROFILE_FORMAT, words

KINDS = ("cpu", "cuda", "rocm", "mps", "xpu")
DTYPES = ("float64", "float32", "tf32", "bfloat16", "float16", "mixed")
COEFFICIENT_SOURCES = tuple(source for source in LABELS if source != "none")

#: Larger whole numbers overflow once they are multiplied in 64 bits.
LARGEST_WHOLE = 2**60
#: Larger numbers, which JSON may write as whole ones of any length, are no floats.
LARGEST_NUMBER = 1e300
#: Types of the numbers that JSON has; a boolean is an int to `isinstance`.
_NUMBERS = (int, float)
#: Control characters, line separators and direction overrides: they would garble a terminal.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_TEXT_LIMIT = 2000
_SHOWN_LIMIT = 60

Check = Callable[[Any], None]
#: What is expected, in words, and whether a value is that.
Rule = tuple[str, Callable[[Any], bool]]


class InvalidError(ValueError):
    """A value is not what was expected; ``where`` grows outwards while the exception passes the enclosing objects."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.where = ""

    def inside(self, place: str) -> InvalidError:
        """The same error seen from the enclosing object or list."""
        separator = "." if self.where and not self.where.startswith("[") else ""
        self.where = f"{place}{separator}{self.where}"
        return self

    def __str__(self) -> str:
        return f"{self.where} {self.problem}" if self.where else self.problem


def shown(value: object) -> str:
    """A value as an error message shows it: quoted, on one line, cut when it is long."""
    if isinstance(value, (dict, list)):
        return "a JSON object" if isinstance(value, dict) else "a JSON list"
    quoted = ascii(value) if value is None or isinstance(value, (str, int, float)) else "no JSON value"
    return quoted if len(quoted) <= _SHOWN_LIMIT else f"{quoted[: _SHOWN_LIMIT - 3]}..."


def _fail(value: object, expected: str) -> NoReturn:
    raise InvalidError(f"is {shown(value)}; expected {expected}")


# Checks of one value.


def _each(*rules: Rule) -> Check:
    """A check of rules in order: a later one may rely on the earlier."""

    def check(value: Any) -> None:
        for expected, holds in rules:
            if not holds(value):
                _fail(value, expected)

    return check


def _matching(expected: str, pattern: str) -> Rule:
    compiled = re.compile(pattern)
    return expected, lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def _one_of(*allowed: str) -> Check:
    return _each((" or ".join(allowed), lambda value: isinstance(value, str) and value in allowed))


_TEXT: tuple[Rule, ...] = (
    (
        f"a text of 1 to {_TEXT_LIMIT} characters",
        lambda value: isinstance(value, str) and 0 < len(value) <= _TEXT_LIMIT,
    ),
    (
        "a text on one line, without control characters",
        lambda value: value.isprintable() or not _UNPRINTABLE.search(value),
    ),
)
_NUMBER: tuple[Rule, ...] = (
    ("a finite number", lambda value: type(value) in _NUMBERS and abs(value) <= LARGEST_NUMBER),
    ("a number of at least 0", lambda value: value >= 0),
)
_NAME = f"a name like vendor-model: a-z and 0-9, parted by single - . or _, at most {_SHOWN_LIMIT} characters"

_text, _number = _each(*_TEXT), _each(*_NUMBER)
_positive = _each(*_NUMBER, ("a number above 0; what is not known is null", lambda value: value > 0))
_boolean = _each(("true or false", lambda value: isinstance(value, bool)))
_object = _each(("a JSON object", lambda value: isinstance(value, dict)))
_whole = _each(
    ("a whole number", lambda value: type(value) in _NUMBERS and value == value // 1),  # 36.0 is one, as in JSON Schema
    ("a whole number from 1 to 2^60", lambda value: 1 <= value <= LARGEST_WHOLE),
)
_date = _each(_matching("a day such as 2026-11-21", r"[0-9]{4}-[0-9]{2}-[0-9]{2}"))
_url = _each(*_TEXT, _matching("a web address that starts with https:// or http://", r"https?://.*"))
_level_name = _each(_matching("L1 to L9 or RAM", r"L[1-9]|RAM"))
#: The name of a profile, which is also the name of its file.
profile_name = _each(
    *_TEXT,
    (_NAME, lambda value: len(value) <= _SHOWN_LIMIT),
    _matching(_NAME, r"[a-z0-9]+(?:[._-][a-z0-9]+)*"),
)


def _phrase(value: Any) -> None:
    """Words of a device name as `sizer.profiles.records.words` writes them."""
    _text(value)
    if words(value) != value:
        _fail(value, f"words of a device name in their plain form, such as {shown(words(value))}")


def _interval(value: Any) -> None:
    """Two factors, the low one first."""
    if not isinstance(value, list) or len(value) != 2:
        _fail(value, "a list of two factors, [low, high]")
    for bound in value:
        _positive(bound)
    if value[0] > value[1]:
        raise InvalidError(f"is [{shown(value[0])}, {shown(value[1])}]; expected the low factor first")


# Checks of objects and lists.


def _inside(place: str, check: Check, value: Any) -> None:
    try:
        check(value)
    except InvalidError as error:
        raise error.inside(place) from None


def _or_null(inner: Check) -> Check:
    """What is not known is null."""
    return lambda value: None if value is None else inner(value)


def _list_of(inner: Check, minimum: int = 0) -> Check:
    """A list of things alike."""

    def check(value: Any) -> None:
        if not isinstance(value, list) or len(value) < minimum:
            _fail(value, f"a list of at least {minimum}" if minimum else "a list")
        for index, item in enumerate(value):
            _inside(f"[{index}]", inner, item)

    return check


def _map_of(key: Check, inner: Check, minimum: int = 0) -> Check:
    """An object whose field names are free, its values alike."""

    def check(value: Any) -> None:
        if not isinstance(value, dict) or len(value) < minimum:
            _fail(value, "a JSON object with at least one field" if minimum else "a JSON object")
        for name, item in value.items():
            place = name if name.isidentifier() else shown(name)
            _inside(place, key, name)
            _inside(place, inner, item)

    return check


def _fields(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """An object with fields that this version knows. Others are ignored: releases add fields within a format."""
    known = {**required, **(optional or {})}

    def check(value: Any) -> None:
        _object(value)
        for name in required:
            if name not in value:
                raise InvalidError(f"has no {name!r}; expected the fields {', '.join(required)}")
        for name, item in value.items():
            if name in known:
                _inside(name, known[name], item)

    return check


def _sourced(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """An object with ``source`` and ``verified``: a verified value has a source, another says why it is there."""
    inner = _fields({**required, "source": _or_null(_text), "verified": _boolean}, {**(optional or {}), "note": _text})

    def check(value: Any) -> None:
        inner(value)
        if value["verified"] and value["source"] is None:
            raise InvalidError("is verified, but its source is null; name the source, or say verified: false and why")
        if not value["verified"] and "note" not in value:
            raise InvalidError("is not verified and has no note; add a note that says why, such as: source not read")

    return check


# The profile.

_FACT = _sourced({"value": _positive})

_LEVEL = _sourced(
    {"name": _level_name, "capacity_bytes": _or_null(_whole), "instances": _or_null(_whole)},
    {
        **dict.fromkeys(("cpus_per_instance", "line_bytes", "effective_bytes"), _or_null(_whole)),
        "core_kind": _or_null(_text),
        "bandwidth_bytes_per_s": _or_null(_FACT),
    },
)

_COEFFICIENTS = _fields(
    {
        "source": _one_of(*COEFFICIENT_SOURCES),
        "basis": _text,
        "terms": _map_of(_text, _fields({"value": _number, "unit": _text}), minimum=1),
        "interval_90": _or_null(_interval),
    },
    {"conditions": _object},
)

_profile = _fields(
    {
        "format": _one_of(PROFILE_FORMAT),
        "name": profile_name,
        "title": _text,
        "kind": _one_of(*KINDS),
        "match": _fields({}, dict.fromkeys(("exact", "contains", "excludes"), _list_of(_phrase))),
        "sources": _map_of(_text, _fields({"title": _text, "url": _or_null(_url), "read": _or_null(_date)})),
        "units": _or_null(_sourced({"value": _whole})),
        "levels": _list_of(_LEVEL, minimum=1),
        "coefficients": _or_null(_map_of(_one_of("energy", "time"), _COEFFICIENTS, minimum=1)),
    },
    {
        "peaks_flop_per_s": _map_of(_one_of(*DTYPES), _FACT),
        "power_w": _map_of(_one_of("limit", "idle"), _or_null(_FACT)),
        "calibration": _or_null(_object),
        "warnings": _list_of(_text),
        "notes": _list_of(_text),
    },
)


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


def sourced_values(record: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Every value that names a source: where it is in the record, what it is in words, and the value."""
    if record["units"] is not None:
        yield "units", "units", record["units"]
    for index, level in enumerate(record["levels"]):
        name = " ".join(filter(None, (level["name"], level.get("core_kind"))))
        yield f"levels[{index}]", f"{name} capacity", level
        if level.get("bandwidth_bytes_per_s") is not None:
            yield f"levels[{index}].bandwidth_bytes_per_s", f"{name} bandwidth", level["bandwidth_bytes_per_s"]
    for field, what in (("peaks_flop_per_s", "peak"), ("power_w", "power")):
        for name, fact in record.get(field, {}).items():
            if fact is not None:
                yield f"{field}.{name}", f"{name} {what}", fact


def _check_sources(record: Mapping[str, Any]) -> None:
    known = record["sources"]
    for where, _, value in sourced_values(record):
        source = value["source"]
        if source is not None and source not in known:
            expected = f"null or an id in sources: {', '.join(known)}" if known else "null, since sources is empty"
            raise InvalidError(f"is {shown(source)}; expected {expected}").inside(f"{where}.source")


def _check_terms(record: Mapping[str, Any]) -> None:
    """Each term is one that `sizer.method.coefficients` knows, at a level of the profile, in that term's unit."""
    levels = sorted({level["name"] for level in record["levels"]})
    for quantity, coefficients in (record["coefficients"] or {}).items():
        for name, term in coefficients["terms"].items():
            where = f"coefficients.{quantity}.terms.{shown(name)}"
            try:
                unit = term_unit(name, quantity)
            except KeyError:
                raise InvalidError("is no cost term; docs/profiles.md lists them").inside(where) from None
            if "." in name and name.partition(".")[2] not in levels:
                problem = f"is of a level that the profile lacks; it has {', '.join(levels)}"
                raise InvalidError(problem).inside(where)
            if term["unit"] != unit:
                raise InvalidError(f"is {shown(term['unit'])}; expected {unit}").inside(f"{where}.unit")

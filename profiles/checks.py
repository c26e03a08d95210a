"""Checks of plain JSON values, and combinations of checks.

A check takes a value and raises `InvalidError` when it is not what was expected. Checks of objects and lists call the
checks of what they hold and add where that was, so a message reads ``levels[1].capacity_bytes is -1; expected ...``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from sizer.profiles.records import words

Check = Callable[[Any], None]

#: Larger whole numbers overflow once they are multiplied in 64 bits.
LARGEST_WHOLE = 2**60

#: Larger numbers, which JSON may write as whole ones of any length, are no floats.
LARGEST_NUMBER = 1e300

_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LEVEL = re.compile(r"L[1-9]|RAM")
#: Control characters, line separators and direction overrides: they would garble a terminal.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_TEXT_LIMIT = 2000
_SHOWN_LIMIT = 60
#: Types of the numbers that JSON has; a boolean is an int to `isinstance`.
_NUMBERS = (int, float)


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


def fail(value: object, expected: str) -> NoReturn:
    """Raise InvalidError for a value that is not what was expected."""
    raise InvalidError(f"is {shown(value)}; expected {expected}")


def text(value: Any) -> None:
    """One line of text that a terminal can show."""
    if not isinstance(value, str) or not 1 <= len(value) <= _TEXT_LIMIT:
        fail(value, f"a text of 1 to {_TEXT_LIMIT} characters")
    if not value.isprintable() and _UNPRINTABLE.search(value):
        fail(value, "a text on one line, without control characters")


def boolean(value: Any) -> None:
    """True or false."""
    if not isinstance(value, bool):
        fail(value, "true or false")


def whole(value: Any) -> None:
    """A whole number of at least 1; 36.0 is one, as in JSON Schema."""
    if type(value) not in _NUMBERS or value != value // 1:
        fail(value, "a whole number")
    if not 1 <= value <= LARGEST_WHOLE:
        fail(value, "a whole number from 1 to 2^60")


def number(value: Any) -> None:
    """A finite number of at least 0."""
    if type(value) not in _NUMBERS or not abs(value) <= LARGEST_NUMBER:
        fail(value, "a finite number")
    if value < 0:
        fail(value, "a number of at least 0")


def positive(value: Any) -> None:
    """A finite number above 0."""
    if type(value) in _NUMBERS and 0 < value <= LARGEST_NUMBER:
        return
    number(value)
    fail(value, "a number above 0; what is not known is null")


def free(value: Any) -> None:
    """Any JSON object."""
    if not isinstance(value, dict):
        fail(value, "a JSON object")


def phrase(value: Any) -> None:
    """Words of a device name as `sizer.profiles.records.words` writes them."""
    text(value)
    if words(value) != value:
        fail(value, f"words of a device name in their plain form, such as {shown(words(value))}")


def date(value: Any) -> None:
    """A day."""
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        fail(value, "a day such as 2026-11-21")


def url(value: Any) -> None:
    """A web address."""
    text(value)
    if not value.startswith(("https://", "http://")):
        fail(value, "a web address that starts with https:// or http://")


def level_name(value: Any) -> None:
    """The name of a memory level."""
    if not isinstance(value, str) or not _LEVEL.fullmatch(value):
        fail(value, "L1 to L9 or RAM")


def interval(value: Any) -> None:
    """Two factors, the low one first."""
    if not isinstance(value, list) or len(value) != 2:
        fail(value, "a list of two factors, [low, high]")
    for bound in value:
        positive(bound)
    if value[0] > value[1]:
        raise InvalidError(f"is [{shown(value[0])}, {shown(value[1])}]; expected the low factor first")


def profile_name(value: Any) -> None:
    """The name of a profile, which is also the name of its file."""
    text(value)
    if not _NAME.fullmatch(value) or len(value) > _SHOWN_LIMIT:
        fail(
            value,
            f"a name like vendor-model: a-z and 0-9, parted by single - . or _, at most {_SHOWN_LIMIT} characters",
        )


def one_of(*allowed: str) -> Check:
    """One of a few texts."""

    def check(value: Any) -> None:
        if not isinstance(value, str) or value not in allowed:
            fail(value, " or ".join(allowed))

    return check


def or_null(inner: Check) -> Check:
    """What is not known is null."""

    def check(value: Any) -> None:
        if value is not None:
            inner(value)

    return check


def list_of(inner: Check, minimum: int = 0) -> Check:
    """A list of things alike."""

    def check(value: Any) -> None:
        if not isinstance(value, list) or len(value) < minimum:
            fail(value, f"a list of at least {minimum}" if minimum else "a list")
        index = 0
        try:
            for index, item in enumerate(value):  # noqa: B007 (the handler names the item that failed)
                inner(item)
        except InvalidError as error:
            raise error.inside(f"[{index}]") from None

    return check


def map_of(key: Check, inner: Check, minimum: int = 0) -> Check:
    """An object whose field names are free, its values alike."""

    def check(value: Any) -> None:
        if not isinstance(value, dict) or len(value) < minimum:
            fail(value, "a JSON object with at least one field" if minimum else "a JSON object")
        name = ""
        try:
            for name, item in value.items():
                key(name)
                inner(item)
        except InvalidError as error:
            raise error.inside(name if name.isidentifier() else shown(name)) from None

    return check


def fields(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """An object with fields that this version knows. Others are ignored: releases add fields within a format."""
    known = {**required, **(optional or {})}

    def check(value: Any) -> None:
        if not isinstance(value, dict):
            fail(value, "a JSON object")
        if not required.keys() <= value.keys():
            missing = next(name for name in required if name not in value)
            raise InvalidError(f"has no {missing!r}; expected the fields {', '.join(required)}")
        name = ""
        try:
            for name, item in value.items():
                if name in known:
                    known[name](item)
        except InvalidError as error:
            raise error.inside(name) from None

    return check


def sourced(inner: Check) -> Check:
    """An object with ``source`` and ``verified``: a verified value has a source, another says why it is there."""

    def check(value: Any) -> None:
        inner(value)
        if value["verified"] and value["source"] is None:
            raise InvalidError("is verified, but its source is null; name the source, or say verified: false and why")
        if not value["verified"] and "note" not in value:
            raise InvalidError("is not verified and has no note; add a note that says why, such as: source not read")

    return check

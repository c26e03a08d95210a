"""Quantities as people write and read them. Records carry plain numbers in SI units and bytes.

Only reports format, only commands (and arguments that may be text) read.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_PREFIXES = ((1e-9, "n"), (1e-6, "u"), (1e-3, "m"), (1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T"))


def format_bytes(size: float | None) -> str:
    """Bytes with a binary prefix, at most four digits: 48 KiB, 24.75 MiB; ``unknown`` for None."""
    if size is None:
        return "unknown"
    index = 0
    while abs(size) >= 1024 and index < len(_BINARY) - 1:
        size /= 1024
        index += 1
    return f"{_digits(size)} {_BINARY[index]}"


def format_quantity(value: float | None, unit: str) -> str:
    """A number in a unit with a decimal prefix, three significant digits: 12.5 us, 3.4 mJ; ``unknown`` for None."""
    if value is None:
        return "unknown"
    if value == 0:
        return f"0 {unit}"
    factor, prefix = _PREFIXES[0]
    for candidate, letter in _PREFIXES:
        if abs(value) >= candidate * 0.9995:
            factor, prefix = candidate, letter
    return f"{_digits(value / factor)} {prefix}{unit}"


def format_count(count: int) -> str:
    """A whole number with separators: 269,322."""
    return f"{count:,}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """So many of something: ``1 row``, ``20,640 rows``."""
    return f"{format_count(count)} {one if count == 1 else many or one + 's'}"


def format_widths(widths: Sequence[int]) -> str:
    """Widths in short: 512x5-10, or 805-390-188-91-44-21-10-5."""
    runs = [(width, len(list(run))) for width, run in itertools.groupby(widths)]
    return "-".join(f"{width}x{count}" if count > 1 else f"{width}" for width, count in runs)


def format_network(widths: Sequence[int], num_free_parameters: int) -> str:
    """A network in short: 512x5-10 (1,055,242 parameters)."""
    return f"{format_widths(widths)} ({counted(num_free_parameters, 'parameter')})"


def format_cost(energy_j: float | None, time_s: float | None) -> str:
    """A cost in J where that is known, else in s."""
    return format_quantity(time_s, "s") if energy_j is None else format_quantity(energy_j, "J")


def format_ratio(ratio: float, digits: int = 3) -> str:
    """A number in so many significant digits without an exponent, as long as people would write it: 0.24, 1.02, 160."""
    return f"{float(f'{ratio:.{digits}g}'):g}"


def format_times(ratio: float | None) -> str:
    """A multiple, three significant digits: 1.02x; empty for None."""
    return "" if ratio is None else f"{format_ratio(ratio)}x"


def format_chance(chance: float) -> str:
    """A chance in whole percent, never quite none or certain: 85 %, under 1 %, over 99 %."""
    return "under 1 %" if chance <= 0.005 else "over 99 %" if chance >= 0.995 else f"{100 * chance:.0f} %"


def _digits(value: float) -> str:
    """Three significant digits, or four where that shows a whole number or a quarter; no trailing zeros."""
    if value == int(value):
        return f"{int(value)}"
    if value * 4 == int(value * 4) and abs(value) < 100:
        return f"{value:g}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


#: Digits, in groups of three or not, with a fraction and an exponent; and what stands behind them.
_WRITTEN = r"([+-]?)((?:[1-9]\d{0,2}(?:[,_ ]\d{3})+|\d+(?:_\d+)*)?(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*([^\W\d]*)"
_THOUSANDS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}
_BYTES = {
    "": 1.0,
    "b": 1.0,
    **{f"{letter}{unit}": 1024.0**n for n, letter in enumerate("kmgt", 1) for unit in ("", "ib")},
    **{f"{letter}b": 1000.0**n for n, letter in enumerate("kmgt", 1)},
}
_SECONDS = {"": 1.0, "ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0} | {
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86_400.0,
}
_JOULES = {"": 1.0, "uj": 1e-6, "mj": 1e-3, "j": 1.0, "kj": 1e3, "MJ": 1e6, "wh": 3600.0, "kwh": 3.6e6}


def read_number(text: str, units: Mapping[str, float] = _THOUSANDS) -> float:
    """A number as it is printed or spoken, ``20,000``, ``1_000``, ``1e-3``, ``20k``, times what its unit stands for.

    A unit counts as it is written, else in lower case. Raises ValueError.
    """
    found = re.fullmatch(_WRITTEN, text.strip())
    if found is None or not any(map(str.isdigit, found[2])):
        raise ValueError(text)
    sign, digits, unit = found.groups()
    factor = units.get(unit, units.get(unit.lower()))
    if factor is None:
        raise ValueError(text)
    return float(sign + re.sub("[,_ ]", "", digits)) * factor


def read_whole(text: str, units: Mapping[str, float] = _THOUSANDS) -> int:
    """A whole number as it is printed or spoken: ``784``, ``20,000``, ``20k``, ``1e3``, ``2^20``. Raises ValueError.

    >>> read_whole("20,000"), read_whole("1.5k"), read_whole("2^20")
    (20000, 1500, 1048576)
    """
    base, caret, exponent = text.replace("**", "^").partition("^")
    if caret:
        if not 0 <= int(exponent) <= 64:  # (larger powers would only take memory)
            raise ValueError(text)
        power: int = int(base) ** int(exponent)
        return power
    if re.fullmatch(r"\s*[+-]?\d+\s*", text):
        return int(text)  # exact beyond 2^53
    value = read_number(text, units)
    if not math.isfinite(value) or not math.isclose(value, round(value), rel_tol=1e-12):
        raise ValueError(text)
    return round(value)


def read_bytes(text: str) -> int:
    """Bytes: ``1048576``, ``10MiB``, ``10 MB``; a bare ``10M`` is binary. Raises ValueError."""
    return read_whole(text, _BYTES)


def read_seconds(text: str) -> float:
    """A time in s: ``60``, ``90s``, ``10m``, ``2h``, ``1h30m``, ``1ms``. Raises ValueError."""
    if several := re.fullmatch(r"(\d+h)(?:\s*(\d+m(?:in)?))?(?:\s*(\d+s))?", text.strip()):
        return sum(read_number(part, _SECONDS) for part in several.groups() if part)
    return read_number(text, _SECONDS)


def read_joules(text: str) -> float:
    """An energy in J: ``500``, ``2kJ``, ``5Wh``. Raises ValueError."""
    return read_number(text, _JOULES)


def read_separate(text: str) -> list[str]:
    """The parts of a list with commas, or the whole where the commas only group digits: a part such as ``000``."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    grouped = any(part.startswith("0") and part.isdigit() and part != "0" for part in parts[1:])
    return [text.strip()] if grouped else parts

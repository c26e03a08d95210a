"""Formatting of quantities for people. Records carry plain numbers in SI units and bytes; only reports call this."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

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


def format_widths(widths: Sequence[int]) -> str:
    """Widths in short: 512x5-10, or 805-390-188-91-44-21-10-5."""
    runs = [(width, len(list(run))) for width, run in itertools.groupby(widths)]
    return "-".join(f"{width}x{count}" if count > 1 else f"{width}" for width, count in runs)


def format_network(widths: Sequence[int], num_free_parameters: int) -> str:
    """A network in short: 512x5-10 (1,055,242 parameters)."""
    return f"{format_widths(widths)} ({format_count(num_free_parameters)} parameters)"


def format_cost(energy_j: float | None, time_s: float | None) -> str:
    """A cost in J where that is known, else in s."""
    return format_quantity(time_s, "s") if energy_j is None else format_quantity(energy_j, "J")


def format_times(ratio: float | None) -> str:
    """A multiple, three significant digits: 1.02x; empty for None."""
    return "" if ratio is None else f"{ratio:.3g}x"


def format_chance(chance: float) -> str:
    """A chance in whole percent, never quite none or certain: 85 %, under 1 %, over 99 %."""
    return "under 1 %" if chance < 0.005 else "over 99 %" if chance > 0.995 else f"{100 * chance:.0f} %"


def _digits(value: float) -> str:
    """Three significant digits, or four where that shows a whole number or a quarter; no trailing zeros."""
    if value == int(value) and abs(value) < 10_000:
        return f"{int(value)}"
    if value * 4 == int(value * 4) and abs(value) < 100:
        return f"{value:g}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"

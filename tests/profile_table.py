"""The tables in ``docs/profiles.md``, made from what they show; a test compares them with the text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sizer.method.coefficients import LEVEL_TERMS, PLAIN_TERMS, QUANTITY_UNIT, term_unit
from sizer.method.hardware import Level
from sizer.profiles import Profile

LEVELS = ("L1", "L2", "L3", "RAM")
COLUMNS = ("name", "units", *LEVELS, "RAM GB/s", "float32 TFLOP/s", "mixed TFLOP/s", "W", "not verified")
HEADER = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


def term_rows() -> Iterator[str]:
    """The table of cost terms: one row a term, after the heading."""
    yield "| term | symbol | unit (energy, time) | cost of |\n|---|---|---|---|"
    for terms, suffix in ((PLAIN_TERMS, ""), (LEVEL_TERMS, ".L2")):
        for name, (symbol, _, meaning) in terms.items():
            units = ", ".join(term_unit(name + suffix, quantity) for quantity in QUANTITY_UNIT)
            yield f"| `{name}{suffix}` | {symbol} | {units} | {meaning} |"


def rows(profiles: Iterable[Profile]) -> Iterator[str]:
    """One row a profile."""
    for profile in profiles:
        peaks, levels = profile.peaks_flop_per_s, profile.device.levels
        cells = (
            f"`{profile.name}`",
            str(profile.device.units),
            *(_capacity([level for level in levels if level.name == name]) for name in LEVELS),
            _scaled(profile.bandwidths_bytes_per_s, "RAM", 1e9),
            _scaled(peaks, "float32", 1e12),
            _scaled(peaks, "mixed", 1e12),
            _scaled(profile.power_w, "limit", 1),
            ", ".join(profile.unverified) or "",
        )
        yield f"| {' | '.join(cells)} |"


def _capacity(levels: list[Level]) -> str:
    return ", ".join(f"{level.instances} x {_bytes(level.capacity_bytes)}" for level in levels)


def _bytes(count: int | None) -> str:
    assert count is not None
    for size, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= size:
            return f"{count / size:g} {unit}"
    raise AssertionError(count)


def _scaled(facts, name: str, scale: float) -> str:
    return f"{facts[name].value / scale:g}" if name in facts else ""

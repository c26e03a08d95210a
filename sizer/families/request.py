"""What is asked about a family of modules: which parameters of ``make`` vary over which values, and what a step is."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from sizer.base.errors import UsageError, one_of
from sizer.base.units import read_whole

#: Sizes that are traced at most where a range leaves them open: 8 % apart over a factor of 20, and 10 s for the nine
#: families of docs/families.md.
MOST_SIZES = 40
#: Ranges are rounded to multiples of powers of two up to this one, the vector of 16 float32 twice.
_MOST_ALIGNED = 32
#: A list that is written out may be longer: whoever writes it knows.
_MOST_LISTED = 400
_LARGEST = 2**20
#: What sizes are ordered by: the cost of reaching a loss, by the paper's equation 10, or the time of a datum.
RANKINGS = ("loss", "time")


@dataclass(frozen=True)
class FamilyRequest:
    """What a family was asked. ``values`` holds, for each name in ``vary``, the values that it takes.

    ``inputs`` are shapes as text, with names of varied parameters in them where the input grows with the module.
    ``loss`` and ``optimizer`` are names; ``max_bytes`` and ``max_time`` (s) are limits on a step. ``now`` is the size
    that is trained now, on which advice is given; ``verify_s`` how long it and the one advised are timed in turn.
    """

    target: str
    vary: tuple[str, ...]
    values: tuple[tuple[int, ...], ...]
    inputs: tuple[str, ...]
    optimizer: str = "adam"
    loss: str | None = None
    dtype: str = "float32"
    device: str | None = None
    threads: int | None = None
    levels: tuple[str, ...] | None = None
    top: int = 10
    rank_by: str = "loss"
    budget_s: float = 30.0
    max_bytes: int | None = None
    max_time: float | None = None
    now: tuple[int, ...] | None = None
    verify_s: float | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for a value that makes no sense."""
        if self.rank_by not in RANKINGS:
            raise UsageError(f"rank_by is {self.rank_by!r}; {one_of(self.rank_by, RANKINGS)}")
        if not 1 <= self.budget_s < math.inf:
            raise UsageError(f"a budget of {self.budget_s:g} s is no time to measure in; give 1 s or more")
        if not 1 <= self.top <= _MOST_LISTED:
            raise UsageError(f"top is {self.top}; expected 1 to {_MOST_LISTED}")
        if self.dtype not in ("float32", "mixed"):
            raise UsageError(
                f"dtype is {self.dtype!r}; a family is timed as it is built (float32), or under autocast in bfloat16 "
                f"(mixed): let make() build it in another type"
            )

    def sizes(self) -> Iterator[tuple[int, ...]]:
        """Every combination of the values, the first parameter's in the outer loop; the size of now among them."""
        yield from (found := list(itertools.product(*self.values)))
        if self.now is not None and self.now not in found:
            yield self.now

    def named(self, values: Sequence[int]) -> dict[str, int]:
        """Values by the names of their parameters."""
        return dict(zip(self.vary, values, strict=True))


class FamilyOptions(TypedDict, total=False):
    """What `sizer.recommend` takes beside a function that builds modules."""

    widths: str | Sequence[int] | Sequence[str] | Mapping[str, str | Sequence[int]] | None
    vary: str | Sequence[str]
    example_input: Any
    loss: Any
    optimizer: Any
    dtype: str
    device: str | None
    threads: int | None
    levels: Sequence[str] | None
    top: int
    rank_by: str
    budget_s: float
    max_bytes: int | None
    max_time: float | None
    now: int | Sequence[int] | None
    verify_s: float | None


def varied(vary: Sequence[str], widths: Any, parameters: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The values of each parameter that varies, one or two of them.

    ``vary`` are names, or ``name=values``; ``widths`` are values for the names that have none, one for each: a range
    such as ``"32-1024"`` or ``"32-1024:32"``, a list, or a mapping of names. Without a name it is the first of the
    function's ``parameters``. Raises UsageError.
    """
    stated = {name: given for name, equals, given in (one.partition("=") for one in vary) if equals}
    names = [one.partition("=")[0].strip() for one in vary]
    if isinstance(widths, Mapping):
        stated, names = {**stated, **widths}, list(dict.fromkeys([*names, *widths]))
    else:
        open_names = [name for name in names or parameters[:1] if name not in stated]
        given = list(widths) if _is_several(widths) else [] if widths is None else [widths]
        if len(given) != len(open_names):
            raise UsageError(_mismatch(given, open_names))
        stated, names = {**stated, **dict(zip(open_names, given, strict=True))}, names or open_names
    _check_names(names, parameters)
    most = MOST_SIZES if len(names) == 1 else math.isqrt(MOST_SIZES)
    return {name: values_of(stated[name], name, most) for name in names}


def _is_several(widths: Any) -> bool:
    """Whether it is a list of ranges, one for each parameter, and not the values of one."""
    listed = isinstance(widths, Sequence) and not isinstance(widths, (str, range))
    return listed and all(isinstance(one, str) and not one.strip().isdigit() for one in widths)


def _mismatch(given: Sequence[Any], names: Sequence[str]) -> str:
    if not names:
        return "--vary says all values already; leave out --width, or name the parameter that it is for"
    wanted = " and ".join(f"--vary {name}=32-1024" for name in names)
    if not given:
        return f"which values of {' and '.join(names)}? {wanted}{' (or --width 32-1024)' if len(names) == 1 else ''}"
    return f"{len(given)} ranges are given for {len(names)} parameters ({', '.join(names)}); write {wanted}"


def _check_names(names: Sequence[str], parameters: Sequence[str]) -> None:
    if not 1 <= len(set(names)) == len(names) <= 2:
        raise UsageError(f"{', '.join(names) or 'nothing'} is to vary; expected one parameter of make, or two")
    for name in names:
        if parameters and name not in parameters:
            raise UsageError(f"make has no parameter {name!r}; {one_of(name, parameters)}")


def values_of(given: Any, name: str, most: int) -> tuple[int, ...]:
    """The values of a parameter from ``"32-1024"``, ``"32-1024:32"``, ``"32,48,64"``, a range or a list.

    Of a range without a step at most so many are taken, evenly spread by their ratio. Raises UsageError.
    """
    try:
        found = _read(given, most) if isinstance(given, str) else tuple(int(one) for one in _as_list(given))
    except (TypeError, ValueError):
        raise UsageError(
            f"{name} is {given!r}; expected a range such as 32-1024, one with a step such as 32-1024:32, or a list "
            f"such as 32,64,96"
        ) from None
    found = tuple(sorted(dict.fromkeys(found)))
    if not found or found[0] < 1 or found[-1] > _LARGEST or len(found) > _MOST_LISTED:
        raise UsageError(
            f"{name} takes {len(found)} values of {given!r}; expected 1 to {_MOST_LISTED} of them, each from 1 to "
            f"{_LARGEST:,}"
        )
    return found


def _as_list(given: Any) -> Any:
    return [given] if isinstance(given, int) else given


def _read(text: str, most: int) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if len(parts) == 1 and (found := re.fullmatch(r"(.+?)\s*-\s*(.+?)(?:\s*:\s*(\d+))?", parts[0])):
        low, high = read_whole(found[1]), read_whole(found[2])
        if not 1 <= low <= high <= _LARGEST:
            raise ValueError(text)
        return spread(low, high, most) if found[3] is None else tuple(range(low, high + 1, int(found[3])))
    return tuple(read_whole(part) for part in parts)


def spread(low: int, high: int, most: int) -> tuple[int, ...]:
    """At most so many values from low to high, evenly spread by their ratio, both ends among them.

    Between the ends they are rounded to multiples of a power of two as coarse as their distance allows: the widths
    that people choose, and the ones that waste no vector lane.

    >>> spread(32, 1024, 8)
    (32, 52, 88, 128, 224, 384, 640, 1024)
    """
    if high - low < most:
        return tuple(range(low, high + 1))
    ratio = (high / low) ** (1 / (most - 1))
    between = {_rounded(low * ratio**step, low * ratio**step * (ratio - 1)) for step in range(1, most - 1)}
    return tuple(sorted({low, high} | {value for value in between if low < value < high}))


def _rounded(value: float, distance: float) -> int:
    unit = min(1 << math.floor(math.log2(max(distance, 1))), _MOST_ALIGNED)
    return round(value / unit) * unit


def with_values(shape: str, values: Mapping[str, int]) -> str:
    """A shape with the values of varied parameters in the place of their names: ``8,128,d_model``."""
    for name, value in values.items():
        shape = re.sub(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", str(value), shape)
    return shape

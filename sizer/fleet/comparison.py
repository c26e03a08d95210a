"""Two machines side by side: the cost of one family of networks on each, and where the cheaper one changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sizer.base.errors import UnreachableError, UsageError
from sizer.base.records import Record, plain
from sizer.devices import Chosen
from sizer.method.coefficients import LEVEL_TERMS, PLAIN_TERMS, term_unit
from sizer.method.cost import predict, priced_row
from sizer.method.hardware import RAM, device_to_dict
from sizer.method.placement import FloatArray, Hierarchy
from sizer.method.sweep import Family, at_widths
from sizer.method.training_step import Training
from sizer.method.working_sets import IntArray
from sizer.models.topology import check_whole

COMPARISON_FORMAT = "sizer.comparison/1"
#: First widths of the sweep: every whole number, so that a crossing is exact.
MAX_WIDTH = 8192
#: Rows of the table an octave of parameters apart or more.
_ROWS = 12


class Asked(NamedTuple):
    """The family that is swept: rectangles of a depth, from an input to an output width, at a batch size."""

    input_dim: int = 784
    depth: int = 6
    output_dim: int = 10
    batch_size: int = 256
    dtype: str = "float32"
    optimizer: str = "adam"


class Point(NamedTuple):
    """One network on both machines: costs of a step, first / second, and the factors between which the ratio lies.

    ``ratio_interval`` puts the two 90 % intervals at their far ends, None where one is not known.
    """

    num_free_parameters: int
    first_width: int
    costs: tuple[float, float]
    ratio: float
    ratio_interval: tuple[float, float] | None


class Crossing(NamedTuple):
    """From this network on, upwards in size, the other machine is the cheaper one."""

    num_free_parameters: int
    first_width: int
    cheaper_below: str
    cheaper_from_here: str


@dataclass(frozen=True)
class Comparison(Record):
    """The comparison of two machines over one family of networks."""

    machines: tuple[Chosen, Chosen]
    asked: Asked
    points: tuple[Point, ...]
    crossings: tuple[Crossing, ...]

    main = "points"

    def in_short(self) -> str:
        """The two machines."""
        return f"{self.names[0]} and {self.names[1]}, {self.quantity}, {len(self.crossings)} crossings"

    @property
    def names(self) -> tuple[str, str]:
        """What the machines are called: the profiles' names, or the devices' ids."""
        first, second = (machine.device.id for machine in self.machines)
        return first, second

    @property
    def quantity(self) -> str:
        """``time`` or ``energy``."""
        return self.machines[0].coefficients.quantity

    def to_dict(self) -> dict[str, Any]:
        """The record as the JSON data ``sizer.comparison/1``."""
        return {
            "format": COMPARISON_FORMAT,
            "quantity": self.quantity,
            "request": plain(self.asked),
            "machines": [
                {"device": device_to_dict(machine.device), "coefficients": plain(machine.coefficients)}
                for machine in self.machines
            ],
            "points": plain(self.points),
            "crossings": plain(self.crossings),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row a network of the table."""
        unit = "j" if self.quantity == "energy" else "s"
        return [
            {
                "num_free_parameters": point.num_free_parameters,
                "first_width": point.first_width,
                f"first_{unit}": point.costs[0],
                f"second_{unit}": point.costs[1],
                "ratio": point.ratio,
                "ratio_low": point.ratio_interval and point.ratio_interval[0],
                "ratio_high": point.ratio_interval and point.ratio_interval[1],
            }
            for point in self.points
        ]

    def coefficient_rows(self) -> Iterator[tuple[str, str, float | None, float | None]]:
        """(term, unit, first, second) of every coefficient that one of them has."""
        first, second = (machine.coefficients.terms for machine in self.machines)
        for name in sorted({*first, *second}, key=_term_order):
            yield name, term_unit(name, self.quantity), first.get(name), second.get(name)

    def remarks(self) -> tuple[str, ...]:
        """What the numbers are, where they are not measured, and what joules do not share."""
        first, second = self.machines
        remarks = []
        if {first.coefficients.label, second.coefficients.label} != {"calibrated"}:
            said = (f"{one.device.id} is {one.coefficients.label}" for one in (first, second))
            remarks.append(f"{' and '.join(said)}: the ratio is no surer than that")
        if self.quantity == "energy":
            remarks.append(
                "joules of different meters are not comparable: a CPU's counter, a GPU's board and a wattmeter at the "
                "wall include different things"
            )
        intervals = [point.ratio_interval for point in self.points if point.ratio_interval]
        if any(low <= 1 <= high for low, high in intervals):
            remarks.append("where the ratio's range includes 1, either machine may be the cheaper one")
        return tuple(remarks)


def _term_order(name: str) -> tuple[int, bool, str]:
    """The order of `sizer.method.coefficients`, then the nearest level first."""
    kind, _, level = name.partition(".")
    return [*PLAIN_TERMS, *LEVEL_TERMS].index(kind), level == RAM, level


def compare(first: Chosen, second: Chosen, asked: Asked) -> Comparison:
    """Sweep the sizes of a family on both machines.

    Raises UsageError for a value out of range, and for machines whose costs are of different quantities or not known.
    """
    _check(first, second, asked)
    both = first, second
    training = Training(asked.batch_size, asked.dtype, asked.optimizer)
    family = Family("rectangle", asked.depth, asked.input_dim, asked.output_dim, training, "training", 1)
    sweeps = [at_widths(family, Hierarchy.of(machine.device), np.arange(1, MAX_WIDTH + 1)) for machine in both]
    fits = sweeps[0].fits() & sweeps[1].fits()
    if not fits[0]:
        raise UnreachableError(
            "not even the smallest of these networks fits both machines; ask for a smaller batch size"
        )
    end = len(fits) if fits.all() else int(np.argmin(fits))
    costs = [
        predict(priced_row(swept.networks, machine.coefficients), machine.coefficients)[:end]
        for swept, machine in zip(sweeps, both, strict=True)
    ]
    parameters = sweeps[0].num_free_parameters[:end]
    points, crossings = _points(both, parameters, costs), _crossings(both, parameters, costs[0] / costs[1])
    return Comparison(both, asked, tuple(points), tuple(crossings))


def _check(first: Chosen, second: Chosen, asked: Asked) -> None:
    limits = {"input_dim": (1, 2**20), "output_dim": (1, 2**20), "depth": (2, 100), "batch_size": (1, 2**20)}
    for name, (low, high) in limits.items():
        check_whole(name, getattr(asked, name), low, high)
    for machine in (first, second):
        if machine.coefficients.source == "none":
            raise UsageError(f"what networks cost on {machine.device.id} is not known; name another profile")
    said = [f"{machine.device.id} states {machine.coefficients.quantity}" for machine in (first, second)]
    if first.coefficients.quantity != second.coefficients.quantity:
        raise UsageError(f"{' and '.join(said)}: the two cannot be compared; name two profiles that state the same")


def _points(machines: tuple[Chosen, Chosen], parameters: IntArray, costs: Sequence[FloatArray]) -> Iterator[Point]:
    """The networks of the table: about evenly spaced in log parameters, the smallest and the largest among them."""
    wanted = np.geomspace(parameters[0], parameters[-1], _ROWS)
    chosen = dict.fromkeys(int(np.argmin(np.abs(np.log(parameters / size)))) for size in wanted)
    for index in chosen:
        pair = float(costs[0][index]), float(costs[1][index])
        ratio = pair[0] / pair[1]
        yield Point(int(parameters[index]), index + 1, pair, ratio, _ratio_interval(machines, ratio))


def _ratio_interval(machines: tuple[Chosen, Chosen], ratio: float) -> tuple[float, float] | None:
    first, second = (machine.coefficients.interval for machine in machines)
    if first is None or second is None:
        return None
    return ratio * first[0] / second[1], ratio * first[1] / second[0]


def _crossings(machines: tuple[Chosen, Chosen], parameters: IntArray, ratios: FloatArray) -> Iterator[Crossing]:
    """Every size at which the cheaper machine changes."""
    names = machines[0].device.id, machines[1].device.id
    second_is_cheaper = ratios > 1
    for index in np.flatnonzero(second_is_cheaper[1:] != second_is_cheaper[:-1]) + 1:
        below, here = names[int(second_is_cheaper[index - 1])], names[int(second_is_cheaper[index])]
        yield Crossing(int(parameters[index]), int(index) + 1, below, here)

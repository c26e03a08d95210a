"""Which cost an analysis is of: joules where they are known, else seconds; the columns of the runs frame for each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from sizer.base.errors import MeasurementError, UsageError, one_of
from sizer.study.step import Rule

if TYPE_CHECKING:
    import pandas as pd

AUTO = "auto"


class Quantity(NamedTuple):
    """A cost and where the runs frame holds it.

    ``whole`` is the column of a whole training with its overhead, ``marginal`` the one without it, ``per_datum`` the
    one a training datum; ``unit`` is that of all three.
    """

    name: str
    unit: str
    whole: str
    marginal: str
    per_datum: str


ENERGY = Quantity("energy", "J", "std_energy", "non_overhead_energy", "energy_per_datum_j")
TIME = Quantity("time", "s", "run_time", "non_overhead_runtime", "time_per_datum_s")
QUANTITIES = {quantity.name: quantity for quantity in (ENERGY, TIME)}


def quantity_of(runs: pd.DataFrame, wanted: str = AUTO) -> Quantity:
    """The quantity of that name; ``auto`` is energy where any run has joules, else time.

    Raises UsageError for another name, MeasurementError where no run has the quantity.
    """
    if wanted != AUTO and wanted not in QUANTITIES:
        raise UsageError(f"unknown quantity {wanted!r}; {one_of(wanted, (AUTO, *QUANTITIES))}")
    tried = (ENERGY, TIME) if wanted == AUTO else (QUANTITIES[wanted],)
    for quantity in tried:
        if quantity.per_datum in runs and runs[quantity.per_datum].notna().any():
            return quantity
    names = " or ".join(quantity.name for quantity in tried)
    raise MeasurementError(
        f"none of the {len(runs)} runs has a known {names}: run `sizer study energy` first, or measure with "
        f"`sizer study run`"
    )


class Costs(NamedTuple):
    """The runs whose cost is known, which cost that is, and the rule by which the others were left out."""

    known: pd.DataFrame
    quantity: Quantity
    rule: Rule


def costed(runs: pd.DataFrame, needed: Iterable[str], wanted: str = AUTO, whole: bool = False) -> Costs:
    """The runs whose cost is known and above 0, as logarithms need: without overhead, or that of the ``whole``.

    Batch sizes, which the published files have as text, are numbers. Raises UsageError and MeasurementError as
    `quantity_of` does, and MeasurementError where columns are missing or a batch size is no number.
    """
    require_columns(runs, [*needed, "batch_size"], "the runs")
    try:
        runs = runs.assign(batch_size=runs["batch_size"].astype("int64"))
    except ValueError as error:
        raise MeasurementError(f"the runs have a batch size that is no whole number: {error}") from None
    quantity = quantity_of(runs, wanted)
    columns = [quantity.whole] if whole else [quantity.marginal, quantity.per_datum]
    known = (runs[columns] > 0).all(axis=1)
    meaning = f"the run's {quantity.name} is unknown, or not above the overhead"
    return Costs(runs[known], quantity, Rule.of("no cost", meaning, ~known))


def require_columns(frame: pd.DataFrame, needed: Iterable[str], what: str) -> None:
    """Raise MeasurementError, which names them, where columns are missing from a frame."""
    missing = [name for name in dict.fromkeys(needed) if name not in frame]
    if missing:
        raise MeasurementError(
            f"{what} lack the column{'s' * (len(missing) > 1)} {', '.join(missing)}; expected a runs frame "
            f"(`sizer study energy` makes its table, sizer.study.runs.networks says what else it has)"
        )

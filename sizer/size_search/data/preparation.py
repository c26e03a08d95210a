"""The fitted preparation: how a raw table becomes a network's features, and outputs become answers again.

Two steps. `Preparation.encode` turns a table into a matrix of float64 with one column each: a number as it is (missing
is NaN), a category as its position (missing is -1, unknown NaN). `Preparation.expand` fills, scales and one-hot encodes
that matrix; the module that `saved_network` exports does the same arithmetic in torch. Plain data: it is saved as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sizer.base.errors import DataError, listed
from sizer.base.records import plain
from sizer.size_search.data.metrics import CLASSIFICATION
from sizer.size_search.data.table import as_categories, as_numbers

if TYPE_CHECKING:
    import pandas as pd

PREPARATION_FORMAT = "sizer.preparation/1"
Matrix = npt.NDArray[np.float64]

#: Code of a missing category.
MISSING = -1


class NumberColumn(NamedTuple):
    """A column that becomes (value - mean) / scale; a missing value is taken as ``fill``.

    ``role`` is number, or time for a date (s since 1970); with ``is_flagged`` a feature says where it was missing.
    """

    name: str
    role: str
    fill: float
    mean: float
    scale: float
    is_flagged: bool


class CategoryColumn(NamedTuple):
    """A column that becomes a feature for each category; ``has_other`` adds one for all that are not listed."""

    name: str
    categories: tuple[str, ...]
    has_other: bool
    has_missing: bool

    @property
    def codes(self) -> list[int]:
        """The codes that have a feature, in the order of the features."""
        return [*range(len(self.categories) + self.has_other), *([MISSING] if self.has_missing else [])]

    @property
    def labels(self) -> list[str]:
        """What each feature stands for."""
        return [*self.categories, *(["other"] if self.has_other else []), *(["missing"] if self.has_missing else [])]


class Target(NamedTuple):
    """What is predicted: ``classes`` in the order of the outputs, or the mean and scale of each number."""

    names: tuple[str, ...]
    kind: str
    classes: tuple[Any, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]

    @property
    def output_dim(self) -> int:
        """Outputs of the network."""
        return len(self.classes) if self.kind == CLASSIFICATION else len(self.means)


@dataclass(frozen=True)
class Preparation:
    """What was learned from the training rows alone, enough to predict from raw tables."""

    numbers: tuple[NumberColumn, ...]
    categories: tuple[CategoryColumn, ...]
    target: Target

    @property
    def column_names(self) -> tuple[str, ...]:
        """Columns of a raw table that are used, in the order of the encoded matrix."""
        return (*(column.name for column in self.numbers), *(column.name for column in self.categories))

    @property
    def feature_names(self) -> list[str]:
        """What each of the network's inputs is."""
        flags = [f"{column.name} is missing" for column in self.numbers if column.is_flagged]
        hot = [f"{column.name}={label}" for column in self.categories for label in column.labels]
        return [*(column.name for column in self.numbers), *flags, *hot]

    @property
    def input_dim(self) -> int:
        """Number of features."""
        return len(self.feature_names)

    @cached_property
    def constants(self) -> Constants:
        """The numbers that `expand` computes with."""
        first = len(self.numbers)
        flagged = [position for position, column in enumerate(self.numbers) if column.is_flagged]
        hot = [(first + position, code) for position, column in enumerate(self.categories) for code in column.codes]
        return Constants(
            fills=np.array([column.fill for column in self.numbers], dtype=np.float64),
            means=np.array([column.mean for column in self.numbers], dtype=np.float64),
            scales=np.array([column.scale for column in self.numbers], dtype=np.float64),
            flagged=np.array(flagged, dtype=np.int64),
            hot_positions=np.array([position for position, _ in hot], dtype=np.int64),
            hot_codes=np.array([code for _, code in hot], dtype=np.float64),
        )

    def encode(self, frame: pd.DataFrame) -> Matrix:
        """A raw table (n rows) as a matrix (n, columns). Raises DataError for a column that is not there."""
        absent = [name for name in self.column_names if name not in frame.columns]
        if absent:
            found, wanted = listed(map(repr, map(str, frame.columns)), most=10), listed(map(repr, absent), most=10)
            raise DataError(f"the data has no column {wanted} that was trained on; it has {found}")
        encoded = np.empty((len(frame), len(self.column_names)), dtype=np.float64)
        for position, number in enumerate(self.numbers):
            values = as_numbers(frame[number.name], number.role)
            encoded[:, position] = np.where(np.isfinite(values), values, np.nan)
        for position, category in enumerate(self.categories, start=len(self.numbers)):
            encoded[:, position] = _codes(frame[category.name], category)
        return encoded

    def expand(self, encoded: Matrix) -> npt.NDArray[np.float32]:
        """The network's features (n, input_dim) from an encoded matrix: scaled numbers, flags, categories."""
        constants = self.constants
        numbers = encoded[:, : len(self.numbers)]
        is_missing = ~np.isfinite(numbers)
        scaled = (np.where(is_missing, constants.fills, numbers) - constants.means) / constants.scales
        hot = encoded[:, constants.hot_positions] == constants.hot_codes
        parts = (scaled, is_missing[:, constants.flagged], hot)
        return np.concatenate([part.astype(np.float32) for part in parts], axis=1)

    def features(self, frame: pd.DataFrame) -> npt.NDArray[np.float32]:
        """The network's features (n, input_dim) from a raw table."""
        return self.expand(self.encode(frame))

    def to_dict(self) -> dict[str, Any]:
        """The preparation as the JSON data ``sizer.preparation/1``."""
        return {"format": PREPARATION_FORMAT, **plain(self)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Preparation:
        """Rebuild a preparation. Raises KeyError or TypeError for a record that is none."""
        target: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in record["target"].items()
        }
        return cls(
            tuple(NumberColumn(**column) for column in record["numbers"]),
            tuple(
                CategoryColumn(**{**column, "categories": tuple(column["categories"])})
                for column in record["categories"]
            ),
            Target(**target),
        )


class Constants(NamedTuple):
    """The arithmetic of `Preparation.expand` as arrays.

    ``fills``, ``means`` and ``scales`` are by number column; ``flagged`` are the positions of those with a flag; a
    category's feature is 1 where the encoded column at ``hot_positions`` is its ``hot_codes``.
    """

    fills: Matrix
    means: Matrix
    scales: Matrix
    flagged: npt.NDArray[np.int64]
    hot_positions: npt.NDArray[np.int64]
    hot_codes: Matrix


def _codes(values: pd.Series[Any], column: CategoryColumn) -> Matrix:
    """Position of each value among the categories; -1 for missing, that of `other` or NaN for one not listed."""
    position = {category: code for code, category in enumerate(column.categories)}
    unlisted = float(len(column.categories)) if column.has_other else np.nan
    texts = as_categories(values)
    codes = texts.map(position).fillna(unlisted).to_numpy(dtype=np.float64, copy=True)
    codes[texts.isna().to_numpy()] = MISSING
    return codes

"""A raw column and what it is; what a search trains on, features and targets in two parts. Pure, numpy only."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from sizer.models.topology import Topology
from sizer.size_search.data.halves import Validation
from sizer.size_search.data.metrics import CLASSIFICATION, LOSS, REGRESSION, evaluate
from sizer.size_search.data.reading.numbers import as_float

if TYPE_CHECKING:
    import pandas as pd

    from sizer.size_search.data.reading.rules import ReadingRules


@dataclass(frozen=True, eq=False)
class Table:
    """A data set by its columns.

    ``targets`` and ``kind`` (regression or classification) are what the source itself says, empty and None where it
    says nothing; ``validation`` the part that it sets aside. ``remarks`` are sentences on how it was read, ``rules``
    the record of it where its cells were text.
    """

    name: str
    frame: pd.DataFrame
    targets: tuple[str, ...] = ()
    kind: str | None = None
    validation: pd.DataFrame | None = None
    remarks: tuple[str, ...] = ()
    rules: ReadingRules | None = None


NUMBER, TIME, CATEGORY, UNUSABLE = "number", "time", "category", "unusable"

#: A text column is taken as numbers when at least this share of its values reads as one; the rest counts as missing.
_MOSTLY = 0.95


def role_of(values: pd.Series[Any]) -> str:
    """What a column is: number, time, category, or unusable (it holds lists, complex numbers and the like)."""
    import pandas as pd

    types = pd.api.types
    if types.is_complex_dtype(values):
        return UNUSABLE
    if types.is_numeric_dtype(values) or types.is_timedelta64_dtype(values):
        return NUMBER
    if types.is_datetime64_any_dtype(values):
        return TIME
    return CATEGORY if isinstance(values.dtype, pd.CategoricalDtype) else _role_of_text(values.dropna())


def _role_of_text(known: pd.Series[Any]) -> str:
    """The role of a column of text or of objects, none of them missing."""
    if known.map(lambda value: isinstance(value, (list, tuple, dict, set, bytes, np.ndarray))).any():
        return UNUSABLE
    if not len(known):
        return CATEGORY
    for role in (NUMBER, TIME):
        if np.isfinite(as_numbers(known, role)).mean() >= _MOSTLY:
            return role
    return CATEGORY


def as_numbers(values: pd.Series[Any], role: str) -> npt.NDArray[np.float64]:
    """Values (n,) as float64, infinities kept; NaN for what is missing or reads as no number. Times in s since 1970."""
    import pandas as pd

    types = pd.api.types
    if role == TIME:
        return _seconds(values)
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    if types.is_timedelta64_dtype(values):
        values = values.dt.total_seconds()
    try:
        numbers = values if types.is_numeric_dtype(values) else pd.to_numeric(values, errors="coerce")
        return np.asarray(numbers.to_numpy(dtype=np.float64, na_value=np.nan))
    except OverflowError:  # (whole numbers beyond all floats)
        return np.array([_number(value) for value in values], dtype=np.float64)


def _number(value: Any) -> float:
    try:
        return as_float(value)
    except (TypeError, ValueError):
        return float("nan")


def _seconds(values: pd.Series[Any]) -> npt.NDArray[np.float64]:
    import pandas as pd

    if not pd.api.types.is_datetime64_any_dtype(values):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas says how it reads the text; what it cannot read counts as missing
            values = pd.to_datetime(values.astype(str), errors="coerce", format="ISO8601", utc=True)
    elif values.dt.tz is not None:
        values = values.dt.tz_convert("UTC")
    stamps = values.to_numpy(dtype="datetime64[us]")  # (years beyond 2262 are no nanoseconds)
    seconds = stamps.astype(np.int64) / 1e6
    return np.where(np.isnat(stamps), np.nan, seconds)


def as_categories(values: pd.Series[Any]) -> pd.Series[Any]:
    """Values as text without surrounding white space, missing ones kept missing; whole numbers without ``.0``."""
    texts = values.astype(object)
    written: pd.Series[Any] = texts.where(texts.isna(), texts.map(_text))
    return written


def _text(value: Any) -> str:
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def counts_rows(values: pd.Series[Any]) -> bool:
    """Whether a column only counts the rows, as an index written to a file does: it tells their order, nothing else."""
    import pandas as pd

    if not pd.api.types.is_integer_dtype(values) or values.hasnans or len(values) < 2:
        return False
    numbers = values.to_numpy(dtype=np.int64)
    return bool((np.diff(numbers) == 1).all())


Features = npt.NDArray[np.float32]
Targets = npt.NDArray[np.float32] | npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Task:
    """A learning task: what is trained on, what is validated on, and the metric that the target is about.

    ``kind`` is ``"regression"`` or ``"classification"``. Features are float32 (n, input_dim). Targets of a regression
    are float32 (n, output_dim), standardised, with ``target_scale`` the standard deviations taken out; those of a
    classification are int64 class indices (n,) below ``output_dim``. The loss is the mean squared error of the
    standardised targets, or the cross entropy in nats.
    """

    name: str
    kind: str
    train_features: Features
    train_targets: Targets
    validation_features: Features
    validation_targets: Targets
    output_dim: int
    metric: str = LOSS
    target_scale: npt.NDArray[np.float64] | float = 1.0

    @property
    def input_dim(self) -> int:
        """Width of one observation's features."""
        return int(self.train_features.shape[1])

    @property
    def n_observations(self) -> int:
        """Observations that are trained on."""
        return len(self.train_features)

    @cached_property
    def baseline_loss(self) -> float:
        """Validation loss of predicting the training part's mean, or its class frequencies, whatever the features."""
        return evaluate(LOSS, self.kind, self._baseline, self.validation_targets)

    @cached_property
    def baseline_value(self) -> float:
        """The task's metric of that same prediction."""
        return self.value_of(self._baseline)

    @cached_property
    def validation(self) -> Validation:
        """The answers of the validation part, and what predictions for it are measured by."""
        return Validation(self.kind, self.validation_targets, self.output_dim, self.metric, self.target_scale)

    def loss_of(self, predictions: npt.ArrayLike) -> float:
        """The loss of predictions (n, output_dim) of the whole validation part, standardised targets or logits."""
        return evaluate(LOSS, self.kind, predictions, self.validation_targets)

    def value_of(self, predictions: npt.ArrayLike) -> float:
        """The task's metric of predictions (n, output_dim) of the whole validation part."""
        return evaluate(self.metric, self.kind, predictions, self.validation_targets, self.target_scale)

    @property
    def _baseline(self) -> npt.NDArray[np.float64]:
        if self.kind == REGRESSION:
            best = self.train_targets.astype(np.float64).mean(axis=0)
        else:
            assert self.kind == CLASSIFICATION
            counts = np.bincount(self.train_targets.astype(np.int64), minlength=self.output_dim)
            # A class that is only in the validation part counts as half an observation: its loss would be infinite.
            best = np.log(np.maximum(counts, 0.5) / self.n_observations)
        return np.broadcast_to(best, (len(self.validation_targets), self.output_dim))


class TrainedEpoch(NamedTuple):
    """What a user's own training says after each epoch.

    ``loss`` is the validation loss, ``cost_s`` the time that the epoch took in s, and ``state`` what it needs to go on
    in another process: None to start that trial over, else what `torch.save` writes and reads back without pickle
    (numbers, text, tensors, and lists and dictionaries of them). ``predictions`` (n, outputs) for the validation rows,
    logits or numbers, are averaged with those of other trials where the search was given the rows' targets.
    """

    loss: float
    cost_s: float
    state: Any = None
    predictions: Any = None


class Trainer(Protocol):
    """A user's own training: ``train(topology, epochs, seed, resume_state)`` yields a tuple after each epoch.

    With a further parameter ``learning_rate`` it is given that too, and the search is over sizes and rates; without one
    it is over sizes alone.

    The tuple is ``(validation_loss, cost_s)`` or a `TrainedEpoch`. It is asked for one epoch at a time and may be left
    at any of them, so that the search can spend the next epochs elsewhere; ``resume_state`` is None at the start, or
    the last state it gave.
    """

    def __call__(
        self, topology: Topology, epochs: int, seed: int, resume_state: Any | None
    ) -> Iterable[TrainedEpoch | tuple[float, float]]:
        """Train for up to so many epochs more."""


@dataclass(frozen=True, eq=False)
class CustomTask:
    """A task that only its own training knows: sizes to search over, and the function that trains one of them.

    ``takes_rate``: it trains at the learning rate that it is given. ``validation`` are the answers to the rows that it
    predicts, None where they were not given.
    """

    name: str
    train: Trainer
    input_dim: int
    output_dim: int
    n_observations: int
    metric: str = LOSS
    takes_rate: bool = False
    validation: Validation | None = None

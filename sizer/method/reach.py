"""What a size reaches and after how many epochs, by recorded learning curves (`benchmarks/curves.py`).

Three laws, linear in what is known before training: the log-odds that a size reaches a target of some ratio to the best
loss of any size, the logarithm of the epochs until then, and that of the epochs after which a training that fails is
left. Few terms, the same for every task; how far tasks differ from them is `Constants.scatter`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

#: Learning rates of Adam that a suggestion may name: those recorded on every task, and 2e-3 between.
RATES: tuple[float, ...] = (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
#: What an epoch costs with averages of the weights kept, as a ratio to one without (assumed; a pass over the weights).
AVERAGING = 1.03
#: A training that does not reach its target is left after so many epochs without a better loss.
PATIENCE = 12

#: Rows of data where they are not known: about the median of the tasks that were recorded.
_USUAL_ROWS = 4000
#: Depth and batch size of most of the curves.
BASE_DEPTH, BASE_BATCH = 4, 256
#: Hidden width beyond which width adds little reach, and inputs beyond which a high rate costs reach: nearby values
#: fit as well (benchmarks/recommend.py --fit).
_WIDE, _MANY_INPUTS = 64, 32
_Array = npt.NDArray[np.float64]
_Terms = dict[str, "_Array | float"]


class Known(NamedTuple):
    """What is known of the data before training; None for unknown. Outputs tell nothing yet.

    The kind of targets tells which pair of size and rate the law is doubted beside.
    """

    n_observations: int | None
    input_dim: int
    output_dim: int
    regression: bool | None = None


class Networks(NamedTuple):
    """Networks of one family in order of size, arrays of shape (N,).

    ``hidden_width`` is that of the rectangle of depth 4 with as many parameters (`as_rectangles`), whatever the shape
    and depth: other shapes learn as that rectangle does, other depths a little more slowly.
    """

    num_free_parameters: _Array
    hidden_width: _Array
    depth: _Array
    batch_size: _Array


class Constants(NamedTuple):
    """Coefficients by name of the terms of `reach_terms`, `epochs_terms` and `left_terms`.

    Those of `BESIDE` are fitted to pairs of trainings that differ in batch size or depth alone, the others to the rest.
    ``scatter`` is the standard deviation of log2 of the epochs about the law, from task to task and within one.
    ``together`` is how far sizes of a task share their luck: 1 where a size reaches all that smaller ones do, and
    what they fail at only by what it adds; 0 where each is a throw of its own.
    """

    reach: tuple[tuple[str, float], ...]
    epochs: tuple[tuple[str, float], ...]
    left: tuple[tuple[str, float], ...]
    scatter: float
    together: float


#: Fitted to the base of curves but for the tasks left out of every fit (benchmarks/recommend.py --fit).
CURVES = Constants(
    reach=(
        ("one", -1.71),
        ("hardness", 0.494),
        ("width", 0.818),
        ("rate", 0.218),
        ("rate, rate", -0.0594),
        ("rate, averaged", 0.217),
        ("rate, inputs", -0.136),
        ("large batch", -0.381),
        ("deep", -0.658),
    ),
    epochs=(
        ("one", 4.7),
        ("steps", -0.368),
        ("hardness", -0.44),
        ("width", -0.676),
        ("rate", -0.667),
        ("rate, rate", 0.0803),
        ("rate, width", 0.105),
        ("batch", 0.688),
        ("batch, rate", -0.0485),
        ("shallow", 0.203),
        ("deep", 0.403),
    ),
    left=(
        ("one", 6.05),
        ("steps", 0.0244),
        ("width", -0.35),
        ("rate", -0.393),
        ("rate, averaged", 0.0942),
        ("batch", 0.279),
    ),
    scatter=1.72,
    together=0.8,
)


def as_rectangles(
    num_free_parameters: _Array, input_dim: int, output_dim: int, depth: _Array, batch_size: _Array
) -> Networks:
    """Networks by the rectangle of depth 4 with as many parameters: P = 2 w^2 + (inputs + outputs + 3) w + outputs.

    On eight tasks trapezoids and wide-first networks took at most 0.12 octaves more epochs than that rectangle (mean
    over tasks, `benchmarks/recommend_varied.py`), so the shape tells nothing beyond it.
    """
    half = (input_dim + output_dim + 3) / 4
    width = np.maximum(1.0, np.sqrt(half**2 + np.maximum(num_free_parameters - output_dim, 0) / 2) - half)
    return Networks(num_free_parameters, width, depth, batch_size)


# What the three laws are linear in: terms by name, of shape (N, H), or fewer where they do not differ.

#: Terms of what is not as most curves were recorded, in octaves; 0 at depth 4 and batch 256. Tasks left out, they halve
#: the error of the difference in epochs for batch sizes (on eight tasks of eight); for depths they take a tenth off it
#: at most (on six). Without those of reach, chances at depth 8 and batch 1024 are 0.12 too high, with them 0.01.
BESIDE = ("batch", "batch, rate", "large batch", "shallow", "deep")


def _beside(networks: Networks, known: Known, rate: float) -> _Terms:
    """Octaves of the batch beyond 256, by which the steps of an epoch are fewer, and of the depth below and above 4."""
    octaves, depth = batch_octaves(networks, known)[:, None], np.log2(networks.depth / BASE_DEPTH)[:, None]
    terms = octaves, octaves * rate, np.maximum(0.0, octaves), np.maximum(0.0, -depth), np.maximum(0.0, depth)
    return dict(zip(BESIDE, terms, strict=True))


def _some(terms: _Terms, *names: str) -> _Terms:
    return {name: terms[name] for name in names}


def batch_octaves(networks: Networks, known: Known) -> _Array:
    """Octaves of the batch, at most the whole data set, beyond 256, shape (N,)."""
    return np.asarray(np.log2(np.minimum(networks.batch_size, max(_rows(known), BASE_BATCH)) / BASE_BATCH))


def reach_terms(networks: Networks, known: Known, learning_rate: float, averaged: bool, ratios: _Array) -> _Terms:
    """Terms of the log-odds of reaching a target: they rise with log(ratio - 1) and, up to a width, with the width.

    They fall with batches beyond 256 and depths above 4. Smaller batches and depths reach other targets on some tasks,
    and fewer or more of them as it comes.
    """
    width, rate = networks.hidden_width[:, None], math.log2(learning_rate / RATES[0])
    return {
        "one": 1.0,
        "hardness": np.log2(ratios - 1)[None, :],
        "width": np.log2(width / (1 + width / _WIDE)),
        "rate": rate,
        "rate, rate": rate**2,
        "rate, averaged": rate * averaged,
        "rate, inputs": rate * max(0.0, math.log2(known.input_dim / _MANY_INPUTS)),
        **_some(_beside(networks, known, rate), "large batch", "deep"),
    }


def epochs_terms(networks: Networks, known: Known, learning_rate: float, averaged: bool, ratios: _Array) -> _Terms:
    """Terms of log2 of the epochs to a target that is reached. Averaging changes them too little to count."""
    del averaged
    width, rate = np.log2(networks.hidden_width / _WIDE)[:, None], math.log2(learning_rate / RATES[0])
    return {
        "one": 1.0,
        "steps": _log_steps(known),
        "hardness": np.log2(ratios - 1)[None, :],
        "width": width,
        "rate": rate,
        "rate, rate": rate**2,
        "rate, width": rate * width,
        **_some(_beside(networks, known, rate), "batch", "batch, rate", "shallow", "deep"),
    }


def left_terms(networks: Networks, known: Known, learning_rate: float, averaged: bool) -> _Terms:
    """Terms of log2 of the epochs until the best loss of all."""
    rate = math.log2(learning_rate / RATES[0])
    return {
        "one": 1.0,
        "steps": _log_steps(known),
        "width": np.log2(networks.hidden_width / _WIDE)[:, None],
        "rate": rate,
        "rate, averaged": rate * averaged,
        **_some(_beside(networks, known, rate), "batch"),
    }


def _log_steps(known: Known) -> float:
    """log2 of the steps of 256 rows that make an epoch."""
    return math.log2(math.ceil(_rows(known) / BASE_BATCH))


def _rows(known: Known) -> int:
    return _USUAL_ROWS if known.n_observations is None else known.n_observations


def _law(terms: _Terms, coefficients: tuple[tuple[str, float], ...], shape: tuple[int, int]) -> _Array:
    """The sum of the terms, each times its coefficient; those of sizes and those of ratios apart, which are fewer."""
    by_shape: dict[tuple[int, ...], _Array] = {}
    for name, value in coefficients:
        term = np.asarray(value * terms[name])
        by_shape[term.shape] = by_shape[term.shape] + term if term.shape in by_shape else term
    return np.broadcast_to(np.asarray(sum(by_shape.values())), shape)


# What they say.


def chance_to_reach(
    networks: Networks,
    known: Known,
    learning_rate: float,
    averaged: bool,
    ratios: _Array,
    constants: Constants | None = None,
) -> _Array:
    """Chance that a size reaches a target of each ratio to the best loss of any size at 1e-3, shape (N, H).

    With ``averaged`` the better of raw and averaged weights counts, after each epoch.
    """
    terms = reach_terms(networks, known, learning_rate, averaged, ratios)
    odds = _law(terms, (constants or CURVES).reach, (len(networks.hidden_width), len(ratios)))
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -30, 30))))


def epochs_to_reach(
    networks: Networks,
    known: Known,
    learning_rate: float,
    averaged: bool,
    ratios: _Array,
    constants: Constants | None = None,
) -> _Array:
    """Expected epochs until a size that reaches a target of each ratio does so, shape (N, H); 1 at least.

    The mean of a lognormal distribution whose scatter is the law's.
    """
    constants = constants or CURVES
    more = math.log(2) * constants.scatter**2 / 2
    return median_epochs(networks, known, learning_rate, averaged, ratios, constants, more)


def median_epochs(
    networks: Networks,
    known: Known,
    learning_rate: float,
    averaged: bool,
    ratios: _Array,
    constants: Constants,
    more: float = 0.0,
) -> _Array:
    """Epochs to a target, shape (N, H), 1 at least: the median, with ``more`` in octaves above it."""
    terms = epochs_terms(networks, known, learning_rate, averaged, ratios)
    log_epochs = _law(terms, constants.epochs, (len(networks.hidden_width), len(ratios)))
    return np.asarray(np.maximum(1.0, np.exp2(log_epochs + more)))


def epochs_until_given_up(
    networks: Networks, known: Known, learning_rate: float, averaged: bool, constants: Constants | None = None
) -> _Array:
    """Epochs after which a size that does not reach its target is left, shape (N,): until its best, and `PATIENCE`."""
    terms = left_terms(networks, known, learning_rate, averaged)
    return np.exp2(_law(terms, (constants or CURVES).left, (len(networks.hidden_width), 1))[:, 0]) + PATIENCE

"""What reaching a loss costs with each size, and the learning rate at which it costs least, by the law asked for.

By recorded learning curves (``curves``) a size reaches a target of some hardness with a chance, after some epochs, both
of which depend on the learning rate and on whether the weights are averaged. Its cost is the one expected over the
prior of hardness: of training it to the target, or of seeing it fail and going on to the next octave. Each size is
priced at the rate that is cheapest for it. By equation 10 alone (``paper``) it is the cost of an epoch times
(log2 NTP + c)^-3, whatever the rate and the target.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from sizer.method import cost
from sizer.method.epochs_to_loss import DIFFICULTIES, relative_epochs
from sizer.method.expectation import doubted, expected_cost, hardness_prior, narrowed
from sizer.method.placement import FloatArray
from sizer.method.reach import (
    AVERAGING,
    RATES,
    Known,
    Networks,
    as_rectangles,
    chance_to_reach,
    epochs_to_reach,
    epochs_until_given_up,
)
from sizer.method.request import RATED_OPTIMIZERS, Request
from sizer.method.training_step import Training
from sizer.method.working_sets import BoolArray, IntArray
from sizer.models.shapes import SHAPES

#: The rate that other optimizers' sizes are compared at, with raw weights: what the curves say of Adam's default.
_COMPARED_AT = 1e-3


#: Kinds of task -> whether its targets are numbers; a request that names no data leaves that open.
_REGRESSION: dict[str | None, bool] = {"regression": True, "classification": False}


class HighRate(NamedTuple):
    """Rates above this may be too high for a task that is unlike those recorded; what then happens, and the remedy."""

    above: float
    advice: str


HIGH_RATE = HighRate(
    1e-3,
    "a rate that is too high for an unusual task shows in the first epochs: the loss diverges (rises, or becomes NaN), "
    "or stops short of what a lower rate reaches and wavers; halve it then, down to 0.001, before going up a size",
)


class Reaching(NamedTuple):
    """What a law says of networks, arrays of shape (N,).

    ``cost`` is that of reaching a loss, in units of the epoch's cost, infinite where there is none; ``learning_rate``
    and ``averaged`` are those at which it is that cost.
    """

    cost: FloatArray
    learning_rate: FloatArray
    averaged: BoolArray


class Outlook(NamedTuple):
    """What one network may expect at a rate: chances to reach targets, and epochs until it does, by difficulty.

    ``chance`` is that for the target that is asked about, as hard as the prior says; ``epochs_until_given_up`` after
    how many a training that has not reached its target is left.
    """

    chance: float
    chance_to_reach: dict[str, float]
    epochs_to_reach: dict[str, float]
    epochs_until_given_up: float


class Law(NamedTuple):
    """How the sizes of a request are compared.

    ``rates`` and ``averaging`` are the settings that each size may be trained at; ``ratios`` and ``weights`` the prior
    of hardness. ``known`` is None where equation 10 alone counts. ``rated`` says whether the rate is worth naming.
    """

    known: Known | None
    rates: tuple[float, ...]
    averaging: tuple[bool, ...]
    ratios: FloatArray
    weights: FloatArray
    rated: bool

    @classmethod
    def of(cls, request: Request) -> Law:
        """The law that a request asks for, with all that is known before training."""
        pinned = request.learning_rate
        if not request.by_curves:
            rate = np.nan if pinned is None else pinned
            return cls(None, (rate,), (bool(request.averaged),), np.empty(0), np.empty(0), pinned is not None)
        known = Known(request.observations, request.input_dim, request.output_dim, _REGRESSION.get(request.kind))
        prior = narrowed(*hardness_prior(request.difficulty), request.pilots, request.target_loss, known)
        by_adam = request.optimizer in RATED_OPTIMIZERS
        rates = (pinned,) if pinned is not None else RATES if by_adam else (_COMPARED_AT,)
        free = (False, True) if pinned is None and by_adam else (False,)
        averaging = free if request.averaged is None else (request.averaged,)
        return cls(known, rates, averaging, *prior, by_adam or pinned is not None)

    def epoch_cost(self, per_datum: FloatArray, training: Training) -> FloatArray:
        """Cost of an epoch, its last batch counted whole; of one row of data where equation 10 counts, or no row is."""
        rows, batch_size = training.observations, training.batch_size
        return per_datum if rows is None or self.known is None else per_datum * batch_size * -(-rows // batch_size)

    def reaching(self, networks: cost.Networks, shape: str, epoch_cost: FloatArray) -> Reaching:
        """The cost of reaching a loss with each network, given that of an epoch, shape (N,), infinite where none is.

        The networks are of one family, in order of size: one that fails hands on to the next octave.
        """
        fitting = np.isfinite(epoch_cost)
        whole = Reaching(*(np.full(len(fitting), empty) for empty in (np.inf, np.nan, False)))
        if fitting.any():
            parameters = networks.num_free_parameters[fitting]
            described = _described(networks.full[:, fitting], parameters, networks.training)
            paid = epoch_cost[fitting] * self._shape_doubted(shape)
            for values, of in zip(whole, self._of_fitting(described, paid), strict=True):
                values[fitting] = of
        return whole

    def _shape_doubted(self, shape: str) -> float:
        """How much dearer another shape than the rectangle counts: it learns as that does on the whole, but fails more.

        Taking the shape that is cheapest a step instead costs 1.21 times as much (`benchmarks/recommend_varied.py`).
        """
        return 1.0 if self.known is None or shape == "rectangle" else float(doubted(1.0))

    def _of_fitting(self, described: Networks, epoch_cost: FloatArray) -> Reaching:
        if self.known is None:
            to_loss = epoch_cost * relative_epochs(described.num_free_parameters)
            same = np.full(len(to_loss), self.rates[0]), np.full(len(to_loss), self.averaging[0])
            return Reaching(to_loss, *same)
        settings = list(itertools.product(self.rates, self.averaging))
        costs = np.stack([self._expected(described, epoch_cost, *setting) for setting in settings])
        best = costs.argmin(axis=0)
        rates, averaged = np.array(settings).T
        return Reaching(costs.min(axis=0), rates[best], averaged[best] > 0)

    def _expected(self, described: Networks, epoch_cost: FloatArray, rate: float, averaged: bool) -> FloatArray:
        """The expected cost of each network, shape (N,); one that fails goes on to a size that is worth it.

        That is the envelope below the saw-tooth of unaligned widths, since a larger network that costs no more serves
        as well; a size above it costs as much more as its epochs do.
        """
        assert self.known is not None  # (the caller has seen to it)
        paid = epoch_cost * (AVERAGING if averaged else 1.0)
        worth_it = np.minimum.accumulate(paid[::-1])[::-1]
        expected = expected_cost(worth_it, described, self.known, rate, averaged, self.ratios, self.weights)
        return np.asarray(expected * (paid / worth_it))

    def outlook(self, full: IntArray, training: Training, rate: float, averaged: bool) -> Outlook | None:
        """What one network, a column of widths of shape (layers + 1, 1), may expect; None by equation 10 alone."""
        if self.known is None:
            return None
        parameters = np.array([int(((full[:-1] + 1) * full[1:]).sum())])
        setting = _described(full, parameters, training), self.known, rate, averaged
        priors = [(self.ratios, self.weights), *_priors().values()]
        ratios, weights = np.concatenate([ratios for ratios, _ in priors]), _block_diagonal([w for _, w in priors])
        chance, *chances = (chance_to_reach(*setting, ratios)[0] @ weights).tolist()
        _, *epochs = (epochs_to_reach(*setting, ratios)[0] @ weights).tolist()
        given_up = float(epochs_until_given_up(*setting)[0])
        return Outlook(
            chance, dict(zip(_priors(), chances, strict=True)), dict(zip(_priors(), epochs, strict=True)), given_up
        )


def _block_diagonal(parts: Sequence[FloatArray]) -> FloatArray:
    """One column a part, zero beside its own rows."""
    which = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return np.asarray(np.concatenate(parts)[:, None] * (which[:, None] == np.arange(len(parts))))


@cache
def _priors() -> dict[str, tuple[FloatArray, FloatArray]]:
    """The prior of hardness of each difficulty."""
    return {difficulty: hardness_prior(difficulty) for difficulty in DIFFICULTIES}


def _described(full: IntArray, num_free_parameters: IntArray, training: Training) -> Networks:
    """Networks as the learning curves know them: by parameters, depth and batch size."""
    parameters = num_free_parameters.astype(np.float64)
    depth, batch_size = (np.full_like(parameters, value) for value in (len(full) - 1, training.batch_size))
    return as_rectangles(parameters, int(full[0, 0]), int(full[-1, 0]), depth, batch_size)


# What the laws do not tell, and what learning curves were recorded for: beyond it theirs is carried on, which is said.


class Recorded(NamedTuple):
    """Depths, batch sizes, shapes and learning rates of the curves that the law was fitted to, lowest first."""

    depths: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    shapes: tuple[str, ...]
    rates: tuple[float, ...]


#: Most are of the middle ones; of the others, on eight tasks, every second octave from 2^8 to 2^16.
RECORDED = Recorded((2, 4, 8), (64, 256, 1024), ("rectangle", "trapezoid", "wide_first_4x"), RATES)


def not_told(request: Request) -> Iterator[str]:
    """What of a request the law in use does not tell, a sentence each."""
    return _beyond_the_curves(request) if request.by_curves else _beyond_equation_10(request)


def carried_on(request: Request) -> str | None:
    """What the curves are of, where some networks of a request are not like it; None where all are, or none count."""
    if not request.by_curves:
        return None
    lacking = [f"{name} {recorded}" for name, _, beyond, recorded in _beyond(request) if beyond]
    return f"learning curves of {', '.join(lacking)}, carried on" if lacking else None


def _beyond(request: Request) -> Iterator[tuple[str, bool, list[str], str]]:
    """What is compared, whether there are several, those beyond what was recorded, and what was."""
    for name, asked, recorded in (
        ("depths", request.depth, RECORDED.depths),
        ("batch sizes", request.batch_size, RECORDED.batch_sizes),
    ):
        beyond = [str(value) for value in asked if not recorded[0] <= value <= recorded[-1]]
        yield name, len(asked) > 1, beyond, f"{recorded[0]} to {recorded[-1]}"
    shapes = [shape for shape in request.shape if shape not in RECORDED.shapes]
    yield "shapes", len(request.shape) > 1, shapes, ", ".join(RECORDED.shapes)


def _beyond_the_curves(request: Request) -> Iterator[str]:
    for name, several, beyond, recorded in _beyond(request):
        if several and beyond:
            yield (
                f"no learning curve was recorded of {name} {', '.join(beyond)}: what those of {name} {recorded} say is "
                f"carried on there"
            )
    rate, (low, *_, high) = request.learning_rate, RECORDED.rates
    if rate is not None and not low <= rate <= high:
        yield (
            f"no learning curve was recorded at a learning rate of {rate:g} (recorded: {low:g} to {high:g}): chances "
            f"and epochs are the law's, carried on"
        )
    if request.optimizer not in RATED_OPTIMIZERS:
        yield (
            f"the learning curves are of Adam: sizes for {request.optimizer} are compared as if it learnt as Adam does "
            f"at {_COMPARED_AT:g}, and no learning rate is suggested"
        )


def _beyond_equation_10(request: Request) -> Iterator[str]:
    if len(request.batch_size) > 1:
        yield (
            "the law of epochs to a loss knows nothing of the batch size: comparing batch sizes compares their cost "
            "per epoch only"
        )
    if request.purpose == "inference":
        yield "for inference the cost is that of one forward pass, weighted with the same law of epochs to a loss"
    if set(request.shape) == set(SHAPES):
        yield "the law of epochs to a loss knows nothing of the shape: comparing shapes compares cost per epoch only"

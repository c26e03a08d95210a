"""What a search is asked for beside its data: the target, the family of networks, how they are trained, the limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from sizer.base.errors import UsageError
from sizer.base.records import plain
from sizer.method.request import MAX_BATCH, Request, check_choice, check_limit
from sizer.method.training_step import OPTIMIZER_MOMENTS, Training
from sizer.models.shapes import MAX_DEPTH
from sizer.models.topology import MAX_WIDTH, check_shape, check_whole
from sizer.size_search.ensembles import MOST_MEMBERS
from sizer.size_search.priors import rates

MAX_EPOCHS = 1_000_000
#: A learning rate for the search to find.
AUTO = "auto"
#: Settings that may change when a search is taken up again: how long it may go on, how it is run and metered, what it
#: does in the end. Every other one tells one search from another, and so names its folder.
MAY_CHANGE = {"max_time_s", "max_energy_j", "max_epochs", "parallel", "explore", "prune", "meter", "threads"}
MAY_CHANGE |= {"ensemble", "single"}
_MOST_IN_ENSEMBLE = 100
#: No averaging of networks' predictions.
OFF = "off"


@dataclass(frozen=True)
class SearchSettings:
    """Settings of a search.

    ``target`` is a value of the task's metric (its loss, unless the task names another). ``widths`` pins the first
    layer's widths to try, none for the search to find them; ``learning_rate`` pins the step size, ``auto`` tries some.
    ``device`` is where networks train, None for a GPU where it is predicted cheaper; ``priced_for`` is the device or
    profile that predicts their cost, None for the same. ``threads`` are PyTorch's, None its default. ``parallel`` is
    how many trials train at a time. Limits are for the whole search, s and J; ``max_epochs`` is for one trial.
    ``explore`` goes on after the target is met until the curve of cost against size is known, ``grow`` starts a larger
    size from a smaller one's weights, ``prune`` prunes the winner. ``ensemble`` averages the predictions of networks
    that were trained anyway: ``auto`` of a few, a number of so many at most, ``off`` of none; ``single`` goes on to one
    network all the same.
    """

    target: float
    shape: str = "rectangle"
    depth: int = 4
    batch_size: int = 256
    widths: Sequence[int] = ()
    optimizer: str = "adam"
    learning_rate: float | str = AUTO
    device: str | None = None
    priced_for: str | None = None
    threads: int | None = None
    meter: str = "auto"
    seed: int = 0
    parallel: int = 1
    max_time_s: float | None = None
    max_energy_j: float | None = None
    max_epochs: int = 1000
    explore: bool = False
    grow: bool = False
    prune: bool = False
    ensemble: str | int = AUTO
    single: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.target, bool) or not isinstance(self.target, (int, float)):
            raise UsageError(f"the target is {self.target!r}; expected a number")
        check_shape(self.shape)
        check_whole("depth", self.depth, 2, MAX_DEPTH)
        check_whole("batch_size", self.batch_size, 1, MAX_BATCH)
        object.__setattr__(self, "widths", tuple(check_whole("width", width, 1, MAX_WIDTH) for width in self.widths))
        check_choice("optimizer", self.optimizer, OPTIMIZER_MOMENTS)
        if self.learning_rate != AUTO:
            _check_rate(self.learning_rate)
        if self.threads is not None:
            check_whole("threads", self.threads, 1, 4096)
        check_whole("seed", self.seed, 0, 2**63 - 1)
        check_whole("parallel", self.parallel, 1, 4096)
        check_limit("max_time_s", self.max_time_s)
        check_limit("max_energy_j", self.max_energy_j)
        check_whole("max_epochs", self.max_epochs, 1, MAX_EPOCHS)
        if self.ensemble not in (AUTO, OFF):
            if isinstance(self.ensemble, str):
                raise UsageError(f"ensemble is {self.ensemble!r}; expected auto, off, or a number of networks from 2")
            check_whole("ensemble", self.ensemble, 2, _MOST_IN_ENSEMBLE)

    @property
    def pinned_rate(self) -> float | None:
        """The learning rate that was given, None for the search to find one."""
        return None if isinstance(self.learning_rate, str) else self.learning_rate

    @property
    def rates(self) -> dict[float, float]:
        """Learning rates to try, by their multiples of the optimizer's base rate; one that was given is all."""
        return rates(self.optimizer) if self.pinned_rate is None else {1.0: self.pinned_rate}

    @property
    def most_members(self) -> int:
        """How many networks may be averaged to meet the target; 1 where a single one is wanted.

        A curve of cost against size is of single networks, and so is exploring.
        """
        if self.ensemble == OFF or self.single or self.explore:
            return 1
        return MOST_MEMBERS if isinstance(self.ensemble, str) else self.ensemble

    @property
    def training(self) -> Training:
        """The settings of one training step, as working sets and cost need them."""
        return Training(self.batch_size, "float32", self.optimizer)

    def request(self, input_dim: int, output_dim: int, top: int = 10) -> Request:
        """The recommendation for the same family of networks, by the law that the search's forecasts start from."""
        return Request(
            input_dim=input_dim,
            depth=(self.depth,),
            output_dim=output_dim,
            batch_size=(self.batch_size,),
            shape=(self.shape,),
            optimizer=self.optimizer,
            top=top,
            law="paper",
        )

    def to_dict(self) -> dict[str, Any]:
        """Every setting by its name."""
        return {name: plain(getattr(self, name)) for name in self.__dataclass_fields__}

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that tell one search from another."""
        return {name: value for name, value in self.to_dict().items() if name not in MAY_CHANGE}


def _check_rate(value: float | str) -> None:
    """Raise UsageError for what is no learning rate."""
    if isinstance(value, str):
        raise UsageError(
            f"learning_rate is {value!r}; expected a number above 0, or {AUTO!r} to let the search find one"
        )
    check_limit("learning_rate", value)


class SearchOptions(TypedDict, total=False):
    """The settings that `sizer.search` takes as keywords: all but the target, which has its own."""

    shape: str
    depth: int
    batch_size: int
    widths: Sequence[int]
    optimizer: str
    learning_rate: float | str
    device: str | None
    priced_for: str | None
    threads: int | None
    meter: str
    seed: int
    parallel: int
    max_time_s: float | None
    max_energy_j: float | None
    max_epochs: int
    explore: bool
    grow: bool
    prune: bool
    ensemble: str | int
    single: bool

"""What a search is asked for beside its data: the target, the family of networks, how they are trained, the limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sizer.base.errors import UsageError, check_choice
from sizer.base.records import plain
from sizer.method.request import MAX_BATCH, check_limit
from sizer.method.training_step import OPTIMIZER_MOMENTS, Training
from sizer.models.shapes import MAX_DEPTH
from sizer.models.topology import check_shape, check_whole

MAX_EPOCHS = 1_000_000


@dataclass(frozen=True)
class SearchSettings:
    """Settings of a search.

    ``target`` is a value of the task's metric (its loss, unless the task names another). ``device`` is where networks
    train, None for a GPU where it is predicted cheaper; ``priced_for`` is the device or profile that predicts their
    cost, None for the same. ``threads`` are PyTorch's, None its default. ``parallel`` is how many trials train at a
    time. Limits are for the whole search, s and J; ``max_epochs`` is for one trial. ``explore`` goes on after the
    target is met until the curve of cost against size is known, ``grow`` starts a larger size from a smaller one's
    weights, ``prune`` prunes the winner.
    """

    target: float
    shape: str = "rectangle"
    depth: int = 4
    batch_size: int = 256
    optimizer: str = "adam"
    learning_rate: float = 1e-3
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

    def __post_init__(self) -> None:
        if isinstance(self.target, bool) or not isinstance(self.target, (int, float)):
            raise UsageError(f"the target is {self.target!r}; expected a number")
        check_shape(self.shape)
        check_whole("depth", self.depth, 2, MAX_DEPTH)
        check_whole("batch_size", self.batch_size, 1, MAX_BATCH)
        check_choice("optimizer", self.optimizer, OPTIMIZER_MOMENTS)
        check_limit("learning_rate", self.learning_rate)
        if self.threads is not None:
            check_whole("threads", self.threads, 1, 4096)
        check_whole("seed", self.seed, 0, 2**63 - 1)
        check_whole("parallel", self.parallel, 1, 4096)
        check_limit("max_time_s", self.max_time_s)
        check_limit("max_energy_j", self.max_energy_j)
        check_whole("max_epochs", self.max_epochs, 1, MAX_EPOCHS)

    @property
    def training(self) -> Training:
        """The settings of one training step, as working sets and cost need them."""
        return Training(self.batch_size, "float32", self.optimizer)

    def to_dict(self) -> dict[str, Any]:
        """Every setting by its name."""
        return {name: plain(getattr(self, name)) for name in self.__dataclass_fields__}

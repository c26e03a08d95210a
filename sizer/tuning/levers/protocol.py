"""What a lever is: one change of how a script runs, applied from outside, and what was seen of the script before.

A lever's module has two functions. ``propose(seen)`` yields the settings of it that are worth a try on this script;
``apply(settings, changed)`` puts one in place in the process that trains, right after torch was imported, and tells
``changed`` in a few words whenever it really changed something. A lever that is environment alone has nothing to apply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

#: What a lever promises of the results: the same bits, the same numbers up to rounding, or another training.
IDENTICAL, ROUNDING, TRAINING = "identical", "rounding", "training"

#: Tells that something was changed, in a few words.
Changed = Callable[[str], None]


class Place(NamedTuple):
    """Where in the script's own files something was called."""

    file: str
    line: int


class SeenOptimizer(NamedTuple):
    """An optimizer: its class, its form (``fused``, ``foreach``, ``for-loop``), whether it had sparse gradients."""

    kind: str
    form: str
    parameters: int
    sparse: bool
    place: Place | None


class SeenLoader(NamedTuple):
    """A data loader. ``rows`` and ``row_bytes`` are None where they are not known.

    ``read_s`` is what reading and collating one row takes; ``repeats`` says that a row read twice is the same and that
    reading draws no random number, ``plain`` that torch's own collation makes the batches of a map-style data set.
    """

    workers: int
    persistent: bool
    pinned: bool
    batch_size: int | None
    rows: int | None
    row_bytes: int | None
    read_s: float | None
    repeats: bool
    plain: bool
    place: Place | None


class Seen(NamedTuple):
    """What the first run of a script showed. Times in s, shares of a step's time, counts a step; None is not known.

    ``shares`` are those of `sizer.script_runs.measuring.PARTS`, none where another process trains; ``operations``
    torch's own operations a step, ``pointwise`` the share of their time in those that go element by element,
    ``subnormal`` the share of subnormal numbers among what they take and give, ``subnormal_cost`` the share of their
    time that these cost here; ``system_share`` the kernel's part of the time, ``optimizers_system`` that part of it
    within optimizers' own steps, ``faults`` pages that it handed out; ``children`` how many processes were forked,
    ``worker_threads`` how many threads work in those that are alive.
    """

    device: str
    cpus: int
    threads: int
    steps: int
    time_per_step_s: float
    shares: Mapping[str, float]
    operations: int | None
    faults: float | None
    system_share: float | None
    optimizers_system: float | None
    pointwise: float | None
    subnormal: float | None
    subnormal_cost: float | None
    children: int
    worker_threads: int
    layers: tuple[str, ...]
    compiles: bool
    autocast: bool
    sets_threads: bool
    optimizers: tuple[SeenOptimizer, ...]
    loaders: tuple[SeenLoader, ...]

    @property
    def computing(self) -> float:
        """Share of the time in forward and backward passes; all of it where the time was not split."""
        if not self.shares:
            return 1.0
        return self.shares.get("forward", 0.0) + self.shares.get("backward", 0.0)

    @property
    def busy(self) -> float:
        """Share of the time in passes and in optimizers' own steps."""
        return self.computing + self.shares.get("optimizer", 0.0) + self.shares.get("others", 0.0)

    @property
    def waiting(self) -> float:
        """Share of the time that waits for data."""
        return self.shares.get("waiting", 0.0)

    @property
    def workers(self) -> int:
        """Worker processes of the data loader that has most."""
        return max((loader.workers for loader in self.loaders), default=0)

    @property
    def oversubscribed(self) -> bool:
        """Whether worker processes have several threads each, and more in all than there are processors."""
        return self.workers > 0 and self.worker_threads > max(self.workers, self.cpus)

    @property
    def operation_s(self) -> float | None:
        """Time of one of torch's operations in s, None where they were not counted."""
        if not self.operations:
            return None
        share = self.computing + self.shares.get("optimizer", 0.0)
        return self.time_per_step_s * share / self.operations


@dataclass(frozen=True)
class Keep:
    """How a lever is kept in the script itself.

    ``call`` is the class whose call gets ``arguments`` (keyword -> source text); ``lines`` are lines of code to add
    after the import of torch; ``note`` says what no line can. A lever of environment needs none of them.
    """

    call: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Lever:
    """One setting of a lever.

    ``file`` is its module in this folder, ``name`` unique among those tried; of a ``group`` only one can be kept.
    ``results`` is one of `IDENTICAL`, `ROUNDING`, `TRAINING`; ``hope`` the share of a step's time that it may save at
    best, by what the first run showed, which orders the levers and decides nothing else. ``observations`` is how many
    times as many observations a step then has.
    """

    name: str
    file: str
    changes: str
    group: str
    results: str
    hope: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    keep: Keep = Keep()
    observations: float = 1.0


class LeverFile(Protocol):
    """A module of this folder."""

    def propose(self, seen: Seen) -> Iterator[Lever]:
        """The settings that are worth a try."""

    def apply(self, settings: Mapping[str, Any], changed: Changed) -> None:
        """Put a setting in place in this process."""

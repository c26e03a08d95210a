"""What a tuning answers: the record ``sizer.tuning/1``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sizer.base.records import Record, plain
from sizer.tuning.levers.protocol import TRAINING

TUNING_FORMAT = "sizer.tuning/1"

#: What became of a lever: proven; tried again and not proven; left after a first look; failed; changed nothing here;
#: not tried for lack of budget.
RECOMMENDED, UNPROVEN, LEFT, OUT, WITHOUT_EFFECT, NOT_TRIED = (
    *("recommended", "unproven", "left", "out"),
    *("without effect", "not tried"),
)
#: Ratio from which a difference is told as a factor, not in percent.
_TIMES = 2.0
#: Why a lever counts as not tried that had runs.
SPOILED = "it ran beside others or a change of the machine's speed only"


@dataclass(frozen=True)
class Kept:
    """How a lever is kept: environment variables, a diff of the script, lines of code, and what no line can say."""

    environment: Mapping[str, str] = field(default_factory=dict)
    diff: str = ""
    lines: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class TunedLever:
    """A lever and what was measured of it.

    ``ratio`` is the cost of an observation over that of the unchanged script, ``interval`` the 90 % interval of that
    ratio in a fresh pair of runs; both are of the confirmation where ``confirmed``. ``runs`` counts those of the value
    shown, ``p_value`` is adjusted for all that were confirmed together. ``memory_bytes`` is what the process takes
    more, ``start_s`` what it starts later, made up for after ``break_even_steps``. What is not known is None.
    """

    name: str
    file: str
    settings: Mapping[str, Any]
    changes: str
    group: str
    results: str
    state: str
    hope: float = 0.0
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    confirmed: bool = False
    runs: int = 0
    p_value: float | None = None
    losses: str = ""
    memory_bytes: int | None = None
    start_s: float | None = None
    break_even_steps: int | None = None
    why: str = ""
    kept: Kept = Kept()

    @property
    def changes_training(self) -> bool:
        """Whether it makes another training of it, whatever the losses of the first steps were."""
        return self.results == TRAINING


@dataclass(frozen=True)
class Together:
    """Levers measured together. Fields as in `TunedLever`."""

    levers: tuple[str, ...]
    state: str
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    confirmed: bool = False
    runs: int = 0
    p_value: float | None = None
    losses: str = ""
    memory_bytes: int | None = None
    start_s: float | None = None
    break_even_steps: int | None = None
    why: str = ""


@dataclass(frozen=True)
class Unchanged:
    """The script as it is: cost of a step, how far its runs lie apart (90 % of ratios of two), if losses repeat."""

    runs: int
    time_per_step_s: float
    energy_per_step_j: float | None
    apart: tuple[float, float] | None
    reproducible: bool | None
    peak_bytes: int | None
    set_apart: int = 0

    @property
    def told_apart(self) -> str:
        """How far its runs lie apart at most, in words."""
        times = 1.0 if self.apart is None else self.apart[1]
        return f"{times - 1:.0%} apart" if times < _TIMES else f"a factor of {times:.1f} apart"


@dataclass(frozen=True)
class TimedRun:
    """A run that gave a cost: when it was half over (s since the beginning), and its lever (empty: unchanged).

    ``others_share`` is how much of the processors others used meanwhile; it ``confirms`` where it had no say in
    choosing, and ``counts`` unless others were there or the machine changed its speed.
    """

    at_s: float
    lever: str
    time_per_step_s: float
    energy_per_step_j: float | None
    others_share: float | None
    confirms: bool
    counts: bool


@dataclass(frozen=True)
class Where:
    """What was tuned, and where: what `sizer run --with` checks. ``sha256`` is of the script's file."""

    script: str
    module: bool
    arguments: tuple[str, ...]
    sha256: str
    torch: str
    python: str
    machine: str
    fingerprint: str


@dataclass(frozen=True)
class Tuning(Record):
    """Which levers make a training cheaper, measured on the script itself.

    ``shares`` says where a step's time goes, ``bottleneck`` what stands out. ``levers`` are all that were thought of,
    the recommended ones first. ``recommended`` names those that hold together: with them a step costs ``ratio`` times
    what it did. ``quantity`` is ``energy`` where a meter measured every run, else ``time``. ``complete`` is False where
    it was interrupted. ``timed`` are the runs that ratios are of.
    """

    main = "levers"

    where: Where
    quantity: str
    label: str
    budget_s: float
    spent_s: float
    complete: bool
    start_s: float
    steps: int
    warm_up: int
    runs: int
    shares: Mapping[str, float]
    facts: Mapping[str, Any]
    bottleneck: str
    bottleneck_told: str
    unchanged: Unchanged
    levers: tuple[TunedLever, ...]
    together: Together | None
    recommended: tuple[str, ...]
    ratio: float | None
    interval: tuple[float, float] | None
    environment: Mapping[str, str]
    notes: tuple[str, ...] = ()
    timed: tuple[TimedRun, ...] = ()

    def chosen(self) -> list[TunedLever]:
        """The recommended levers."""
        return [lever for lever in self.levers if lever.name in self.recommended]

    def in_short(self) -> str:
        """The record in one line."""
        if self.ratio is None:
            return f"{self.where.script}: nothing proven, {self.runs} runs"
        return f"{self.where.script}: {self.ratio:.2f} times the {self.quantity} with {', '.join(self.recommended)}"

    def to_dict(self) -> dict[str, Any]:
        """The record as plain JSON data."""
        return {"format": TUNING_FORMAT, **plain(self)}

    def rows(self) -> list[dict[str, Any]]:
        """One row a lever."""
        names = ("name", "changes", "state", "ratio", "interval", "confirmed", "runs", "p_value", "losses")
        return [{name: plain(getattr(lever, name)) for name in names} for lever in self.levers]

    def remarks(self) -> tuple[str, ...]:
        """What to doubt."""
        return self.notes

"""What the user asks `recommend` for, checked and with its defaults filled in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from sizer.base.errors import UsageError, did_you_mean, one_of
from sizer.base.records import plain, rebuild
from sizer.base.units import read_whole
from sizer.method.epochs_to_loss import DIFFICULTIES, Pilot
from sizer.method.training_step import DTYPES, OPTIMIZER_MOMENTS, Training, known_as
from sizer.models.shapes import MAX_DEPTH, SHAPES
from sizer.models.topology import MAX_PARAMETERS, MAX_WIDTH, check_shape, check_whole

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Limits that keep byte counts inside 64-bit integers.
MAX_BATCH = 2**24
MAX_OBSERVATIONS = 2**40
#: A definition: every shape, every depth to 100 and six batch sizes are within it.
MAX_SWEEPS = 5000

PURPOSES = ("training", "inference")
#: Stands for the width multiple that suits the device: its vector width on a GPU, whose tiles want that, 1 elsewhere.
BY_DEVICE = 0
#: What sizes are compared by: recorded learning curves, or the paper's equation 10 alone.
LAWS = ("curves", "paper")
#: Kinds of task.
KINDS = ("regression", "classification")
#: Optimizers whose learning rate the curves tell: AdamW differs from Adam by its weight decay alone.
RATED_OPTIMIZERS = ("adam", "adamw")

#: Fields of `Request` whose option has another name.
_OPTION_NAMES = {"purpose": "for", "pilots": "pilot"}


def check_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """The choice that a value names, however it is written (``AdamW``, ``fp16``), or a UsageError that lists them."""
    known = tuple(choices)
    if value in known:
        return str(value)
    if (meant := known_as(value, known)) is None:
        raise UsageError(f"unknown {name} {value!r}; {one_of(value, known)}")
    return meant


def check_known(asked: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a keyword that a function does not have, with the nearest one that it has. Raises UsageError."""
    known = tuple(known)
    for name in given:
        if name not in known:
            raise UsageError(
                f"{asked} has no option {name!r}; {did_you_mean(name, known)}Its options are {', '.join(known)}"
            )


def check_limit(name: str, value: float | None) -> float | None:
    """A positive finite number or None, else a UsageError."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
        raise UsageError(f"{name} is {value!r}; expected a number above 0")
    return value


def check_training(batch_size: int, dtype: str, optimizer: str, observations: int | None) -> Training:
    """The settings of a training step, each checked."""
    return Training(
        check_whole("batch_size", batch_size, 1, MAX_BATCH),
        check_choice("dtype", dtype, DTYPES),
        check_choice("optimizer", optimizer, OPTIMIZER_MOMENTS),
        None if observations is None else check_whole("observations", observations, 1, MAX_OBSERVATIONS),
    )


@dataclass(frozen=True)
class Request:
    """A request for recommendations. ``device`` names a device or profile; None means the best one of this machine.

    ``levels`` lists the caches that may be anchors, None all. ``width_multiple`` is 1 or more, None for the device's
    vector width, or 0 for that on a GPU and 1 elsewhere. The limits are for one training step (one forward pass for
    inference): bytes of memory, s, J.
    ``data`` names the file that the sizes were read from, with its ``target`` columns. ``kind`` is that of the task,
    where it is known.
    ``difficulty``, or ``pilots`` and ``target_loss``, say how hard the target is; ``law`` is what sizes are compared
    by, None for ``curves`` where networks are trained and ``paper`` for inference. ``learning_rate`` and ``averaged``
    pin the rate and whether weights are averaged; None leaves both to the law, but for raw weights at a pinned rate.
    """

    input_dim: int
    depth: tuple[int, ...]
    output_dim: int = 1
    batch_size: tuple[int, ...] = (256,)
    shape: tuple[str, ...] = ("rectangle",)
    dtype: str = "float32"
    optimizer: str = "adam"
    observations: int | None = None
    device: str | None = None
    levels: tuple[str, ...] | None = None
    width_multiple: int | None = 1
    top: int = 10
    purpose: str = "training"
    max_bytes: int | None = None
    max_time: float | None = None
    max_energy: float | None = None
    difficulty: str | None = None
    pilots: tuple[Pilot, ...] = ()
    target_loss: float | None = None
    law: str | None = None
    learning_rate: float | None = None
    averaged: bool | None = None
    data: str | None = None
    target: tuple[str, ...] = ()
    kind: str | None = None

    def __post_init__(self) -> None:
        for name, high in (("input_dim", MAX_WIDTH), ("output_dim", MAX_WIDTH), ("top", 10_000)):
            check_whole(name, getattr(self, name), 1, high)
        if self.width_multiple != BY_DEVICE and self.width_multiple is not None:
            check_whole("width_multiple", self.width_multiple, 1, 65_536)
        if self.max_bytes is not None:
            check_whole("max_bytes", self.max_bytes, 1, 2**62)
        for depth in self.depth:
            _check_depth(depth)
        for shape in self.shape:
            check_shape(shape)
        for batch_size in self.batch_size:
            training = check_training(batch_size, self.dtype, self.optimizer, self.observations)
            object.__setattr__(self, "dtype", training.dtype)
            object.__setattr__(self, "optimizer", training.optimizer)
        object.__setattr__(self, "purpose", check_choice("purpose", self.purpose, PURPOSES))
        check_limit("max_time", self.max_time)
        check_limit("max_energy", self.max_energy)
        check_limit("learning_rate", self.learning_rate)
        self._check_amount()
        self._check_target()
        self._check_law()

    def _check_amount(self) -> None:
        for name in ("depth", "batch_size", "shape"):
            if not getattr(self, name):
                raise UsageError(f"no {name} given; give at least one")
        sweeps = len(self.depth) * len(self.shape) * len(self.batch_size)
        if sweeps > MAX_SWEEPS:
            raise UsageError(
                f"{sweeps:,} combinations of depth, shape and batch size; at most {MAX_SWEEPS:,}: ask for fewer at once"
            )

    def _check_target(self) -> None:
        """What the target takes is said in one way, and the pilots say something."""
        if self.kind is not None:
            check_choice("kind", self.kind, KINDS)
        if self.difficulty is not None:
            object.__setattr__(self, "difficulty", check_choice("difficulty", self.difficulty, DIFFICULTIES))
        for size, loss, epochs in self.pilots:
            check_whole("the size of a pilot", size, 1, MAX_PARAMETERS)
            check_limit("the loss of a pilot", loss)
            if epochs is not None:
                check_whole("the epochs of a pilot", epochs, 1, MAX_OBSERVATIONS)
        check_limit("target_loss", self.target_loss)
        if bool(self.pilots) != (self.target_loss is not None):
            missing = "a target_loss" if self.pilots else "pilots (SIZE=LOSS, of two sizes or more)"
            raise UsageError(f"pilot losses and a target loss go together; {missing} is missing")
        if self.pilots and self.difficulty is not None:
            raise UsageError("give either a difficulty or pilot losses; they say the same thing in two ways")
        if self.pilots and len({pilot.size for pilot in self.pilots}) < 2:
            raise UsageError("pilots of one size say nothing about others; give the losses of two sizes or more")

    def _check_law(self) -> None:
        """Whether the law has anything to do with what else is asked."""
        if self.averaged not in (None, True, False):
            raise UsageError(f"averaged is {self.averaged!r}; expected True, False or None")
        about_training = self.target_given or self.learning_rate is not None or self.averaged is not None
        if self.purpose == "inference" and (about_training or self.law == "curves"):
            raise UsageError(
                "how hard a target is, the learning rate and the law of learning curves are about training; leave them "
                "out, or --for inference"
            )
        if self.law is not None:
            check_choice("law", self.law, LAWS)
        if self.law == "paper" and self.target_given:
            raise UsageError(
                "equation 10 alone (law paper) knows nothing of how hard a target is; leave out the difficulty or the "
                "pilots, or the law"
            )

    @property
    def by_curves(self) -> bool:
        """Whether sizes are compared by learning curves: unless equation 10 is asked for, where they are trained."""
        return self.purpose == "training" and self.law != "paper"

    @property
    def target_given(self) -> bool:
        """Whether it is said how hard the target is."""
        return self.difficulty is not None or bool(self.pilots)

    @property
    def largest_limit_given(self) -> bool:
        """Whether the inverse question is asked: the largest network within a limit."""
        return any(limit is not None for limit in (self.max_bytes, self.max_time, self.max_energy))

    def training(self, batch_size: int) -> Training:
        """The settings of a step at one of the batch sizes."""
        return Training(batch_size, self.dtype, self.optimizer, self.observations)

    def to_dict(self) -> dict[str, Any]:
        """Every option by its long name."""
        return {_OPTION_NAMES.get(name, name): value for name, value in plain(self).items()}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Request:
        """Rebuild a request from `to_dict`."""
        field_names = {option: name for name, option in _OPTION_NAMES.items()}
        return rebuild(cls, {field_names.get(name, name): value for name, value in record.items()})


class SweepOptions(TypedDict, total=False):
    """The options that take one value or several, or what is parsed; `request_of` reads them."""

    depth: int | Sequence[int]
    batch_size: int | Sequence[int] | None
    shape: str | Sequence[str] | None
    levels: Sequence[str] | None
    width_multiple: int | str | None
    pilots: Sequence[tuple[int, float] | tuple[int, float, int] | str]


class FleetOptions(SweepOptions, total=False):
    """The options of a `Request` for any device; most are given as they are."""

    output_dim: int
    dtype: str
    optimizer: str
    observations: int | None
    top: int
    purpose: str
    max_bytes: int | None
    max_time: float | None
    max_energy: float | None
    difficulty: str | None
    target_loss: float | None
    law: str | None
    learning_rate: float | None
    averaged: bool | None


class RecommendOptions(FleetOptions, total=False):
    """The same and the device they are for."""

    device: str | None


#: Arguments that say what is sized, beside the options.
SIZED = ("input_dim", "data", "target", "kind")
#: What each function may be asked.
OPTIONS = {
    "recommend": (*SIZED, *RecommendOptions.__annotations__),
    "recommend_fleet": (*SIZED, *FleetOptions.__annotations__),
}
#: Layers, the output layer included, where nothing is said: as in a search.
DEFAULT_DEPTH = 4


def check_sized(data: Any, target: Any, input_dim: int | None, options: Mapping[str, Any]) -> None:
    """Raises UsageError unless the sizes of a task are either stated or to be read from data."""
    stated = {"input_dim": input_dim, "output_dim": options.get("output_dim")}
    given = [name for name, value in stated.items() if value is not None]
    if data is not None and given:
        raise UsageError(f"{' and '.join(given)} would be read from the data; give the one or the other")
    if data is None and target:
        raise UsageError("a target is a column of data: name its file too, sizer recommend house.csv --target price")
    if data is None and input_dim is None:
        raise UsageError(
            "say what to size: a file, such as house.csv --target price, or the number of features, --input-dim 784 "
            "(in Python data= and target=, or input_dim=)"
        )


def request_of(input_dim: int, **options: Unpack[RecommendOptions]) -> Request:
    """A request from options that may be one value or several, None for the usual.

    ``width_multiple`` may be ``"auto"``, the device's vector width, or ``"device"``: that on a GPU, 1 elsewhere.
    """
    given: dict[str, Any] = {"depth": DEFAULT_DEPTH, "width_multiple": "device", **options}
    said = {name: value for name, value in given.items() if value is not None or name not in _NONE_IS_USUAL}
    return Request(input_dim, **{name: _READ[name](value) if name in _READ else value for name, value in said.items()})


def several(value: Any) -> tuple[Any, ...]:
    """One value or several, as a tuple."""
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)


def _check_depth(depth: int) -> None:
    if isinstance(depth, int) and not isinstance(depth, bool) and depth == 1:
        raise UsageError("depth is 1, a network without a hidden layer: there is no width to choose; give 2 or more")
    check_whole("depth", depth, 2, MAX_DEPTH)


def parse_depths(texts: Iterable[str | int]) -> tuple[int, ...]:
    """Depths from ``6``, ``"2-8"`` or several of both, each once, in the order given."""
    depths: dict[int, None] = {}
    for text in texts:
        low, dash, high = str(text).partition("-")
        try:
            first, last = int(low), int(high) if dash else int(low)
        except ValueError:
            raise UsageError(f"depth is {text!r}; expected a whole number such as 6, or a range such as 2-8") from None
        if last < first:
            raise UsageError(f"depth is {text!r}, a range that ends before it starts; write it as {last}-{first}")
        _check_depth(first)
        _check_depth(last)
        depths.update(dict.fromkeys(range(first, last + 1)))
    return tuple(depths)


def parse_pilots(pilots: Iterable[Any]) -> tuple[Pilot, ...]:
    """Pilots from ``"4096=0.31"``, ``"4096=0.31@2"`` (after two epochs), or tuples of the same numbers."""
    return tuple(map(_pilot, pilots))


def _pilot(given: Any) -> Pilot:
    try:
        size, loss, *epochs = _pilots_parts(given) if isinstance(given, str) else given
        return Pilot(size, float(loss), *epochs)
    except (TypeError, ValueError):
        raise UsageError(
            f"a pilot is {given!r}; expected SIZE=LOSS or SIZE=LOSS@EPOCHS, such as 4096=0.31: trainable parameters, "
            f"the best validation loss, and where training was cut short, after how many epochs"
        ) from None


def _pilots_parts(text: str) -> Iterator[Any]:
    """``4096=0.31@2`` as its numbers. Raises ValueError for another form."""
    size, rest = text.split("=")
    loss, at, epochs = rest.partition("@")
    yield from (read_whole(size), loss)
    if at:
        yield read_whole(epochs)


def parse_shapes(texts: Iterable[str]) -> tuple[str, ...]:
    """Shapes by name, each once; ``all`` stands for the eight."""
    shapes: dict[str, None] = {}
    for text in texts:
        shapes.update(dict.fromkeys(SHAPES if text == "all" else (check_shape(text),)))
    return tuple(shapes)


def _width_multiple(value: Any) -> Any:
    named = {"auto": None, "device": BY_DEVICE}
    return named[value] if isinstance(value, str) and value in named else value


#: How each of the `SweepOptions` is read.
_READ: Mapping[str, Callable[[Any], Any]] = {
    "depth": lambda value: parse_depths(several(value)),
    "batch_size": several,
    "shape": lambda value: parse_shapes(several(value)),
    "levels": several,
    "width_multiple": _width_multiple,
    "pilots": parse_pilots,
}
#: Options that None stands for the usual of.
_NONE_IS_USUAL = ("batch_size", "shape", "levels")

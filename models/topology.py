"""One fully connected network as plain numbers: its shape, input width and layer widths."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, SupportsIndex

from sizer.base.errors import UnreachableError, UsageError, one_of
from sizer.models.shapes import MAX_DEPTH, SHAPES, layer_widths

if TYPE_CHECKING:
    import torch

#: Limits that keep every byte and operation count inside 64-bit integers; no machine trains beyond them.
MAX_WIDTH = 2**30
MAX_PARAMETERS = 2**44

#: BUTTER refuses a network whose parameter count is further than this from its target.
TOLERANCE = 0.20


def num_free_parameters(input_dim: int, widths: Sequence[int]) -> int:
    """Number of trainable parameters, weights and biases: the sum of (w_in + 1) w_out."""
    full = [input_dim, *widths]
    return sum((w_in + 1) * w_out for w_in, w_out in itertools.pairwise(full))


def check_whole(name: str, value: object, low: int, high: int) -> int:
    """The value as an int, or a UsageError that says what was given and which range is expected."""
    whole: int | None = value if type(value) is int else None  # first, since the check of a protocol is slow
    if whole is None and isinstance(value, SupportsIndex) and not isinstance(value, bool):
        whole = value.__index__()
    if whole is None or not low <= whole <= high:
        raise UsageError(f"{name} is {value!r}; expected a whole number from {low} to {high}")
    return whole


def check_shape(shape: str) -> str:
    """The shape, or a UsageError that lists the known ones."""
    if shape not in SHAPES:
        raise UsageError(f"unknown shape {shape!r}; {one_of(shape, SHAPES)}")
    return shape


@dataclass(frozen=True)
class Topology:
    """A fully connected network: ``widths`` lists every dense layer's output width, the output layer included.

    ``shape`` is one of the eight shapes, or None for widths that follow none. Raises UsageError for widths that are not
    whole numbers from 1 to `MAX_WIDTH`, more than `MAX_DEPTH` layers, or more than `MAX_PARAMETERS` parameters.
    """

    shape: str | None
    input_dim: int
    widths: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.shape is not None:
            check_shape(self.shape)
        check_whole("depth", len(self.widths), 1, MAX_DEPTH)
        object.__setattr__(self, "input_dim", check_whole("input_dim", self.input_dim, 1, MAX_WIDTH))
        object.__setattr__(self, "widths", tuple(check_whole("width", width, 1, MAX_WIDTH) for width in self.widths))
        if self.num_free_parameters > MAX_PARAMETERS:
            raise UsageError(
                f"a network with {self.num_free_parameters:,} trainable parameters is beyond the limit of "
                f"{MAX_PARAMETERS:,}; reduce a width"
            )

    @property
    def depth(self) -> int:
        """Number of dense layers, the output layer included."""
        return len(self.widths)

    @property
    def output_dim(self) -> int:
        """Width of the last layer."""
        return self.widths[-1]

    @property
    def full(self) -> tuple[int, ...]:
        """The input width followed by every layer's width."""
        return (self.input_dim, *self.widths)

    @property
    def num_free_parameters(self) -> int:
        """Number of trainable parameters (NTP, P)."""
        return num_free_parameters(self.input_dim, self.widths)

    @classmethod
    def of_first_width(cls, shape: str, first_width: int, depth: int, input_dim: int, output_dim: int) -> Topology:
        """The network of a shape whose first layer has the given width."""
        check_whole("first width", first_width, 1, MAX_WIDTH)
        _check_family(shape, depth, input_dim, output_dim)
        return cls(shape, input_dim, tuple(layer_widths(shape, first_width, depth, output_dim).tolist()))

    @classmethod
    def solve(cls, shape: str, num_free_parameters: int, depth: int, input_dim: int, output_dim: int) -> Topology:
        """The network of a shape whose parameter count is nearest to a target, by BUTTER's own bisection.

        Raises UnreachableError, which names the nearest reachable count, when that is more than 20 % off the target,
        and UsageError for a target, depth or width out of range.

        >>> Topology.solve("rectangle", 100_000, 4, 784, 10).widths
        (100, 100, 100, 10)
        """
        target = check_whole("num_free_parameters", num_free_parameters, 1, MAX_PARAMETERS)
        _check_family(shape, depth, input_dim, output_dim)
        widths, reached = _nearest(shape, target, depth, input_dim, output_dim)
        if abs(reached - target) > TOLERANCE * target:
            raise UnreachableError(
                f"no {shape} of depth {depth} from {input_dim} to {output_dim} has {target:,} trainable parameters "
                f"(within {TOLERANCE:.0%}); the nearest has {reached:,}: ask for that, or change the depth or shape"
            )
        return cls(shape, input_dim, widths)

    def build(
        self, activation: str = "relu", normalization: str | None = None, dropout: float = 0.0
    ) -> torch.nn.Module:
        """The network as a PyTorch module (imports torch); `of_module` reads the topology back.

        Raises UsageError for an unknown activation or normalization, or a dropout outside [0, 1).
        """
        from sizer.models.modules import build

        return build(self, activation, normalization, dropout)

    @classmethod
    def of_module(cls, module: torch.nn.Module) -> Topology:
        """The topology that a module computes. Raises UsageError when it is no fully connected network."""
        from sizer.models.reading import read_network

        read = read_network(module)
        return cls(read.shape, read.input_dim, read.widths)


def _check_family(shape: str, depth: int, input_dim: int, output_dim: int) -> None:
    check_shape(shape)
    check_whole("depth", depth, 1, MAX_DEPTH)
    check_whole("input_dim", input_dim, 1, MAX_WIDTH)
    check_whole("output_dim", output_dim, 1, MAX_WIDTH)


def _nearest(shape: str, target: int, depth: int, input_dim: int, output_dim: int) -> tuple[tuple[int, ...], int]:
    """Widths and parameter count of the network nearest to the target.

    BUTTER's bisection over the first width, 1 to 2^30: a midpoint is kept if it is strictly nearer than the best seen.
    """
    low, high = 1, MAX_WIDTH
    best: tuple[tuple[int, ...], int] | None = None
    while low < high:
        middle = (low + high) // 2
        widths = tuple(layer_widths(shape, middle, depth, output_dim).tolist())
        reached = num_free_parameters(input_dim, widths)
        if best is None or abs(reached - target) < abs(best[1] - target):
            best = (widths, reached)
        if reached == target:
            break
        if reached < target:
            low = middle + 1
        else:
            high = middle
    assert best is not None  # (the loop runs at least once: low < high at the start)
    return best

"""What a validation of a calibration found, as a record. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sizer.base.records import Record, plain
from sizer.method.coefficients import Coefficients
from sizer.method.hardware import Device, device_to_dict

VALIDATION_FORMAT = "sizer.validation/1"
#: Limits of the classes of size, log2 of the number of parameters.
_SIZE_LIMITS = (-math.inf, 10, 14, 18, math.inf)
_WORST = 5


@dataclass(frozen=True)
class ValidatedNetwork:
    """A network with the predicted and the measured time of a step in s; ``interval`` is the 90 % interval in s.

    ``launch_bound`` says whether the step is predicted to wait for the program on a GPU, None where that is not told.
    """

    shape: str | None
    input_dim: int
    widths: tuple[int, ...]
    num_free_parameters: int
    batch_size: int
    predicted_s: float
    interval: tuple[float, float] | None
    measured_s: float
    launch_bound: bool | None = None

    @property
    def ratio(self) -> float:
        """Predicted / measured."""
        return self.predicted_s / self.measured_s

    @property
    def inside(self) -> bool | None:
        """Whether the measured time is inside the interval; None without one."""
        return None if self.interval is None else self.interval[0] <= self.measured_s <= self.interval[1]


class Errors(NamedTuple):
    """|predicted / measured - 1| of some networks, and the share of them inside the 90 % interval."""

    networks: int
    mean: float
    median: float
    p95: float
    coverage: float | None

    @classmethod
    def of(cls, networks: Sequence[ValidatedNetwork]) -> Errors:
        """The errors of at least one network."""
        errors = np.abs(np.array([network.ratio for network in networks]) - 1)
        inside = [network.inside for network in networks if network.inside is not None]
        return cls(
            len(networks),
            float(np.mean(errors)),
            float(np.median(errors)),
            float(np.quantile(errors, 0.95)),
            sum(inside) / len(inside) if inside else None,
        )


class SizeErrors(NamedTuple):
    """The errors of the networks from ``low`` parameters to less than ``high``; None for no limit."""

    low: int | None
    high: int | None
    errors: Errors


@dataclass(frozen=True)
class Validation(Record):
    """A validation: the device and the calibration, every network, how often each was timed at least, the file."""

    device: Device
    profile: str
    coefficients: Coefficients
    networks: tuple[ValidatedNetwork, ...]
    seed: int
    repeats: int
    measurements: Path | None

    main = "networks"

    def in_short(self) -> str:
        """The profile and its error on fresh networks."""
        return f"{self.profile} off by {self.errors.mean:.1%} in the mean of {len(self)} fresh networks"

    @property
    def errors(self) -> Errors:
        """The errors of all networks."""
        return Errors.of(self.networks)

    def by_size(self) -> tuple[SizeErrors, ...]:
        """The errors by number of parameters, classes without a network left out."""
        return tuple(self._by_size())

    def _by_size(self) -> Iterator[SizeErrors]:
        for low, high in pairwise(_SIZE_LIMITS):
            found = [one for one in self.networks if low <= math.log2(one.num_free_parameters) < high]
            if found:
                yield SizeErrors(_power(low), _power(high), Errors.of(found))

    def by_bound(self) -> dict[str, Errors]:
        """The errors of networks whose steps wait for the program, and of those that keep a GPU busy; none on a CPU."""
        kinds = {"launch_bound": True, "gpu_bound": False}
        chosen = {name: [one for one in self.networks if one.launch_bound is kind] for name, kind in kinds.items()}
        return {name: Errors.of(found) for name, found in chosen.items() if found}

    def worst(self) -> tuple[ValidatedNetwork, ...]:
        """The networks that are furthest off, the worst first."""
        return tuple(sorted(self.networks, key=lambda network: -abs(math.log(network.ratio)))[:_WORST])

    def to_dict(self) -> dict[str, Any]:
        """The record as the JSON data ``sizer.validation/1``."""
        return {
            "format": VALIDATION_FORMAT,
            "device": device_to_dict(self.device),
            "profile": self.profile,
            "coefficients": plain(self.coefficients),
            "seed": self.seed,
            "repeats": self.repeats,
            "errors": plain(self.errors),
            "by_size": plain(self.by_size()),
            "by_bound": plain(self.by_bound()),
            "networks": self.rows(),
            "measurements": None if self.measurements is None else str(self.measurements),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row a network."""
        return [
            plain(network) | {"ratio": network.ratio, "inside_interval": network.inside} for network in self.networks
        ]

    def remarks(self) -> tuple[str, ...]:
        """What the numbers are worth."""
        errors = self.errors
        if errors.coverage is None or errors.networks < 20 or errors.coverage >= 0.8:
            return ()
        return (
            f"only {errors.coverage:.0%} of the networks are inside the 90 % interval: the machine is not as it was "
            f"when it was calibrated, or busier; run `sizer calibrate` again when it is idle",
        )


def _power(exponent: float) -> int | None:
    return None if math.isinf(exponent) else 2 ** int(exponent)

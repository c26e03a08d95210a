"""Records of a profile: what a machine is, and where each of its values was read. Pure data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sizer.method.coefficients import Coefficients
from sizer.method.hardware import Device

PROFILE_FORMAT = "sizer.profile/1"
SHIPPED = "shipped"

_TRADEMARKS = re.compile(r"\((?:r|tm|c)\)|[®™©]")
_SEPARATORS = re.compile(r"[^a-z0-9+.]+")
#: Longest device name that is looked at; real ones have fewer than 80 characters.
_NAME_LIMIT = 256


def words(name: str) -> str:
    """A device name in the form that profiles are matched in: lower case, its words separated by single spaces.

    >>> words("Intel(R) Xeon(R) Gold 6154 CPU @ 3.00GHz")
    'intel xeon gold 6154 cpu 3.00ghz'
    >>> words("NVIDIA A100-SXM4-80GB")
    'nvidia a100 sxm4 80gb'
    """
    return _SEPARATORS.sub(" ", _TRADEMARKS.sub(" ", name[:_NAME_LIMIT].lower())).strip()


class Source(NamedTuple):
    """A text that values were read from: ``read`` is the date it was read (ISO 8601), None where that was not noted."""

    title: str
    url: str | None = None
    read: str | None = None


class Fact(NamedTuple):
    """One value with its source.

    ``verified`` says that the source, an id of ``Profile.sources``, was read and gives the value (or the numbers that
    ``note`` derives it from). A value that is not verified has a note that says why it is there.
    """

    value: float
    source: str | None
    verified: bool
    note: str = ""


class Match(NamedTuple):
    """Device names that a profile describes, all in the form of `words`.

    A name matches when it is one of ``exact``, or when it contains one of ``contains`` as whole words and none of
    ``excludes``. Graphics cards use ``exact``: longer names are other cards, or parts of one (``MIG 3g.20gb``).
    """

    exact: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()

    def __call__(self, device_words: str) -> bool:
        """Whether a device name, already in the form of `words`, is described."""
        padded = f" {device_words} "
        inside = any(f" {phrase} " in padded for phrase in self.contains)
        excluded = any(f" {phrase} " in padded for phrase in self.excludes)
        return device_words in self.exact or (inside and not excluded)


@dataclass(frozen=True)
class Profile:
    """One machine.

    ``device`` is the record that sizing uses; peak rates, bandwidths and power are in its ``facts`` too.
    ``coefficients`` are those in J where they are known (and not estimated beside a calibrated time), else those in
    s; ``by_quantity`` has both, by ``energy`` and ``time``. ``peaks_flop_per_s`` is by dtype, dense, without
    sparsity; ``bandwidths_bytes_per_s`` by level, summed over its instances; ``power_w`` by ``limit`` and ``idle``.
    What is not known is absent. ``origin`` is ``shipped`` or the path of the file. ``unverified`` names the values
    whose source was not read.
    """

    name: str
    title: str
    kind: str
    device: Device
    coefficients: Coefficients | None
    by_quantity: Mapping[str, Coefficients]
    match: Match
    sources: Mapping[str, Source]
    origin: str
    peaks_flop_per_s: Mapping[str, Fact] = field(default_factory=dict)
    bandwidths_bytes_per_s: Mapping[str, Fact] = field(default_factory=dict)
    power_w: Mapping[str, Fact] = field(default_factory=dict)
    unverified: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    calibration: Mapping[str, Any] | None = None

"""What one source says of one GPU; sources are merged by UUID. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_HEX = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class GpuReading:
    """One GPU, or one MIG instance of it, as one source sees it; None is what that source does not know.

    ``missing`` names what should have been known and why it is not. ``parts`` are the MIG instances of a GPU.
    """

    source: str
    uuid: str | None = None
    name: str | None = None
    compute_capability: tuple[int, int] | None = None
    multiprocessors: int | None = None
    l2_bytes: int | None = None
    memory_bytes: int | None = None
    shared_memory_per_sm_bytes: int | None = None
    shared_memory_per_block_bytes: int | None = None
    power_limit_w: float | None = None
    pci_bus_id: str | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[GpuReading, ...] = ()


def uuid_digits(uuid: str | None) -> str | None:
    """The 32 hexadecimal digits of a UUID: sources prefix it with ``GPU-``, ``MIG-`` or nothing."""
    match = _HEX.search(uuid) if uuid else None
    return match[0].replace("-", "").lower() if match else None


def positive(value: Any) -> int | None:
    """A count or size that a source gave; None for what is not a positive number, since 0 is how some say unknown."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None

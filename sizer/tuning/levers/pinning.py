"""Threads that stay on their processor: what they cached stays near, and two never share one while another is free."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sizer.tuning.levers.protocol import IDENTICAL, Changed, Lever, Seen


def propose(seen: Seen) -> Iterator[Lever]:
    """By the environment of OpenMP, where there are several threads to pin."""
    if seen.device == "cpu" and seen.threads > 1:
        environment = {"OMP_PROC_BIND": "close", "OMP_PLACES": "threads"}
        changes = "threads stay on their processors"
        yield Lever("pinned-threads", "pinning", changes, "pinning", IDENTICAL, 0.04, environment=environment)


def apply(settings: Mapping[str, Any], changed: Changed) -> None:  # noqa: ARG001
    """The environment is all."""
    changed("threads pinned")

"""What several tests share: an isolated user, the study's reference data, a small machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from study import GIB, KIB, MIB

from sizer.method.coefficients import Coefficients
from sizer.method.hardware import Device, Level

DATA = Path(__file__).parent / "data"


@pytest.fixture(autouse=True)
def isolated_user(tmp_path_factory, monkeypatch):
    """No test reads or writes the real user's folders."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name in ("CACHE", "DATA", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
    monkeypatch.delenv("SIZER_PROFILES", raising=False)
    return home


@pytest.fixture
def reference():
    """Load a file of the study's reference data by name."""
    return lambda name: json.loads((DATA / name).read_text(encoding="utf-8"))


@pytest.fixture
def small_cpu() -> Device:
    """A CPU with two cores and three caches."""
    levels = (
        Level("L1", 32 * KIB, 2, 1, 64, "test"),
        Level("L2", MIB, 2, 1, 64, "test"),
        Level("L3", 16 * MIB, 1, 2, 64, "test"),
        Level("RAM", 16 * GIB, 1, source="test"),
    )
    return Device("cpu", "cpu", "a small CPU", 2, levels)


@pytest.fixture
def time_coefficients() -> Coefficients:
    """Plausible time coefficients for `small_cpu`."""
    terms = {"step": 2e-4, "layer": 4e-5, "operation": 2e-11}
    terms |= {f"traffic.{level}": cost for level, cost in (("L2", 1e-5), ("L3", 4e-5), ("RAM", 1e-4))}
    return Coefficients("shipped", "estimated", "time", terms, (0.5, 2.0), "test", "made up for a test")

"""What several tests share: an isolated user, the study's reference data, a small machine."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from study import GIB, KIB, MIB

from sizer.method.coefficients import Coefficients
from sizer.method.hardware import Device, Level

DATA = Path(__file__).parent / "data"
_OUTER_USER = pytest.StashKey[pytest.MonkeyPatch]()
_OUTER_FOLDER = pytest.StashKey["tempfile.TemporaryDirectory[str]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="Make and keep golden records and texts anew.")


def pytest_configure(config: pytest.Config) -> None:
    """Tests are collected, and read profiles, before any fixture runs: from here on nothing is the real user's."""
    config.stash[_OUTER_USER] = pytest.MonkeyPatch()
    config.stash[_OUTER_FOLDER] = tempfile.TemporaryDirectory(prefix="sizer-tests-")
    _live_in(Path(config.stash[_OUTER_FOLDER].name), config.stash[_OUTER_USER])


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_OUTER_USER].undo()
    config.stash[_OUTER_FOLDER].cleanup()


def _live_in(home: Path, patch: pytest.MonkeyPatch) -> None:
    """Let this process and those that it starts take ``home`` for the user's."""
    patch.setenv("HOME", str(home))
    for name in ("CACHE", "DATA", "CONFIG"):
        patch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
    patch.delenv("SIZER_PROFILES", raising=False)


@pytest.fixture(autouse=True)
def isolated_user(tmp_path_factory, monkeypatch):
    """Every test is a user of its own: it finds nothing and leaves nothing. A module's fixtures share the outer one."""
    home = tmp_path_factory.mktemp("home")
    _live_in(home, monkeypatch)
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

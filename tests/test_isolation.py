"""Tests pass whatever the user's own folders hold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sizer
from sizer.base.storage import cache_folder, config_folder, data_folder

TESTS = Path(__file__).parent
#: Two that failed on a machine that had been calibrated, and what made a third fail.
DEPEND_ON_PROFILES = (
    "test_profiles_shipped.py::test_every_profile_of_one_machine_is_found_by_a_name",
    "test_profiles_shipped.py::test_the_documentation_shows_the_shipped_values",
    "test_isolation.py::test_fixtures_of_a_module_find_no_calibration",
)
CALIBRATED = TESTS / "data" / "before_the_move" / "calibration" / "calibrated-cpu.json"


@pytest.fixture(scope="module")
def names_for_a_module():
    return sizer.profiles.names()


def test_fixtures_of_a_module_find_no_calibration(names_for_a_module):
    assert "calibrated-cpu" not in names_for_a_module
    assert names_for_a_module == sizer.profiles.names()


def test_every_test_has_folders_of_its_own(isolated_user):
    for folder in (cache_folder(), config_folder(), data_folder()):
        assert folder.is_relative_to(isolated_user)
        assert not folder.exists()
    names = "cache_folder, config_folder, data_folder"
    script = f"from sizer.base.storage import {names}; print(*(f() for f in ({names})), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert all(Path(line).is_relative_to(isolated_user) for line in done.stdout.splitlines())


def test_tests_pass_on_a_machine_that_was_calibrated(tmp_path):
    """Some read profiles while they are collected, some in fixtures of a module, before they have folders."""
    own = tmp_path / "sizer" / "profiles" / CALIBRATED.name
    own.parent.mkdir(parents=True)
    own.write_bytes(CALIBRATED.read_bytes())
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path)}
    asked = [sys.executable, "-c", "import sizer; print(*sizer.profiles.names())"]
    assert "calibrated-cpu" in subprocess.run(asked, env=environment, capture_output=True, text=True).stdout.split()
    assert "calibrated-cpu" not in sizer.profiles.names()
    arguments = ["-q", "-p", "no:cacheprovider", *DEPEND_ON_PROFILES]
    command = [sys.executable, "-c", f"import sys, pytest; sys.exit(pytest.main({arguments}))"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=TESTS)
    assert done.returncode == 0, done.stdout[-3000:]
    assert f"{len(DEPEND_ON_PROFILES)} passed" in done.stdout

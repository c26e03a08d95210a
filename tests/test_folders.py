"""Where a user's files are: XDG everywhere it is set, the system's own conventions elsewhere, old places still read."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import sys
from sizer.base.storage import cache_folder, config_folder, data_folder
sys.platform = {platform!r}
sys.modules["ctypes"] = None  # there is no Windows to ask here: its variables tell
print(cache_folder(), config_folder(), data_folder(), sep="\\n")
print("platformdirs" in sys.modules)
"""


def folders(home, platform, **environment):
    """Cache, config and data folder below home, and whether platformdirs was asked."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    script = SCRIPT.format(platform=platform)
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**kept, "HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    *paths, asked = done.stdout.splitlines()
    return [path.removeprefix(f"{home}/") for path in paths], asked == "True"


def test_linux_follows_the_xdg_defaults(tmp_path):
    assert folders(tmp_path, "linux") == ([".cache/sizer", ".config/sizer", ".local/share/sizer"], False)
    set_to = {"XDG_CACHE_HOME": "relative", "XDG_DATA_HOME": str(tmp_path / "d")}
    assert folders(tmp_path, "linux", **set_to)[0] == [".cache/sizer", ".config/sizer", "d/sizer"]


def test_macos_and_windows_have_their_own(tmp_path):
    pytest.importorskip("platformdirs")
    support = "Library/Application Support/sizer"
    assert folders(tmp_path, "darwin") == (["Library/Caches/sizer", support, support], True)
    roots = {"LOCALAPPDATA": str(tmp_path / "Local"), "APPDATA": str(tmp_path / "Roaming")}
    found, _ = folders(tmp_path, "win32", **roots)
    assert [path.replace("\\", "/") for path in found] == ["Local/sizer/Cache", "Roaming/sizer", "Local/sizer"]


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_xdg_wins_and_data_in_the_old_place_is_still_read(tmp_path, platform):
    names = {name: str(tmp_path / name) for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    assert folders(tmp_path, platform, **names) == ([f"{name}/sizer" for name in names], False)
    for old in (".cache", ".config", ".local/share"):
        (tmp_path / old / "sizer").mkdir(parents=True)
    assert folders(tmp_path, platform) == ([".cache/sizer", ".config/sizer", ".local/share/sizer"], False)

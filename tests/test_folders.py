"""Where a user's files are: XDG everywhere it is set, the system's own conventions elsewhere, old places still read."""

from __future__ import annotations

import sys

import pytest

from sizer.base.storage import cache_folder, config_folder, data_folder

XDG = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Of a platform and its variables: cache, config and data folder below home, and whether platformdirs was asked."""

    def found(platform, **environment):
        for name in [name for name in sys.modules if name.partition(".")[0] == "platformdirs"]:
            monkeypatch.delitem(sys.modules, name)  # (it looks at the platform when it is imported)
        monkeypatch.setitem(sys.modules, "ctypes", None)  # there is no Windows to ask here: its variables tell
        monkeypatch.setattr(sys, "platform", platform)
        for name in XDG:
            monkeypatch.delenv(name, raising=False)
        for name, value in {"HOME": str(tmp_path), **environment}.items():
            monkeypatch.setenv(name, value)
        paths = [str(folder()) for folder in (cache_folder, config_folder, data_folder)]
        asked = "platformdirs" in sys.modules
        monkeypatch.undo()
        return [path.removeprefix(f"{tmp_path}/") for path in paths], asked

    return found


def test_linux_follows_the_xdg_defaults(folders, tmp_path):
    assert folders("linux") == ([".cache/sizer", ".config/sizer", ".local/share/sizer"], False)
    set_to = {"XDG_CACHE_HOME": "relative", "XDG_DATA_HOME": str(tmp_path / "d")}
    assert folders("linux", **set_to)[0] == [".cache/sizer", ".config/sizer", "d/sizer"]


def test_macos_and_windows_have_their_own(folders, tmp_path):
    pytest.importorskip("platformdirs")
    support = "Library/Application Support/sizer"
    assert folders("darwin") == (["Library/Caches/sizer", support, support], True)
    roots = {"LOCALAPPDATA": str(tmp_path / "Local"), "APPDATA": str(tmp_path / "Roaming")}
    found, _ = folders("win32", **roots)
    assert [path.replace("\\", "/") for path in found] == ["Local/sizer/Cache", "Roaming/sizer", "Local/sizer"]


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_xdg_wins_and_data_in_the_old_place_is_still_read(folders, tmp_path, platform):
    names = {name: str(tmp_path / name) for name in XDG}
    assert folders(platform, **names) == ([f"{name}/sizer" for name in XDG], False)
    for old in (".cache", ".config", ".local/share"):
        (tmp_path / old / "sizer").mkdir(parents=True)
    assert folders(platform) == ([".cache/sizer", ".config/sizer", ".local/share/sizer"], False)

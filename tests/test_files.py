"""Files written whole, whatever happens in between, and locks that end with their holder."""

from __future__ import annotations

import errno
import os
import sys
from types import ModuleType

import pytest

from sizer.base.storage import hold_lock, write_whole


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", ["é, whole", "é, whole".encode()])
def test_text_and_bytes_are_written_with_their_folder(tmp_path, content):
    path = tmp_path / "a" / "b" / "page"
    write_whole(path, content)
    write_whole(path, content)
    assert path.read_bytes() == "é, whole".encode()
    assert names(path.parent) == ["page"]


def test_until_the_new_content_is_on_the_disk_the_old_is_there(tmp_path, monkeypatch):
    path = tmp_path / "page"
    write_whole(path, "old")
    seen = []

    def synced(handle):
        seen.extend([path.read_text(), os.fstat(handle).st_size, *names(tmp_path)])

    monkeypatch.setattr(os, "fsync", synced)
    write_whole(path, "newer")
    old, size, temporary, name = seen
    assert (old, size, name) == ("old", 5, "page")
    assert temporary.startswith(".page.")
    assert temporary.endswith(".tmp")
    assert path.read_text() == "newer"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_what_is_not_written_to_its_end_leaves_nothing_behind(tmp_path, monkeypatch, error):
    path = tmp_path / "page"
    write_whole(path, "old")

    def fail(handle):
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(error)):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["page"]


def test_files_get_the_permissions_that_any_new_file_gets(tmp_path):
    path = tmp_path / "new"
    before = os.umask(0o026)
    try:
        write_whole(path, "text")
        assert os.umask(0o026) == 0o026
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640
    for mode in (0o604, 0o755):
        path.chmod(mode)
        write_whole(path, "other text")
        assert path.stat().st_mode & 0o777 == mode


def test_a_lock_is_one_s_until_it_is_closed_and_changes_no_file(tmp_path):
    path = tmp_path / "folder" / "lock"
    path.parent.mkdir()
    path.write_text("of a study")
    held = hold_lock(path)
    with pytest.raises(BlockingIOError) as caught:
        hold_lock(path)
    assert (caught.value.errno, caught.value.strerror) == (errno.EWOULDBLOCK, f"{path} is held by another process")
    held.close()
    hold_lock(path).close()
    assert path.read_text() == "of a study"
    hold_lock(tmp_path / "made" / "with" / "lock").close()


def test_a_file_system_without_locks_is_not_taken_for_another_process(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def refuse(stream, kind):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="No locks available") as caught:
        hold_lock(tmp_path / "lock")
    assert not isinstance(caught.value, BlockingIOError)


@pytest.mark.parametrize("says", [errno.EACCES, errno.EDEADLK])
def test_windows_locks_the_first_byte(tmp_path, monkeypatch, says):
    """A stand-in for its module, which no other system has."""
    asked = []

    def locking(handle, kind, count):
        if asked:
            raise OSError(says, os.strerror(says))
        asked.append((handle, kind, count))

    windows = ModuleType("msvcrt")
    windows.LK_NBLCK, windows.locking = 2, locking
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", windows)
    with hold_lock(tmp_path / "lock") as held:
        assert asked == [(held.fileno(), 2, 1)]
        with pytest.raises(BlockingIOError, match="is held by another process"):
            hold_lock(tmp_path / "lock")

"""Files: the user's folders, files that are written whole, locks, and files that only grow.

Those that grow hold one JSON object a line, each written whole and synced: a crash loses at most the last line.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any


def _user_folder(kind: str, variable: str, below_home: str) -> Path:
    """XDG base directory; a relative or empty value is ignored, as the specification asks.

    Without one, macOS and Windows have conventions of their own, unless a folder is in the place of earlier releases.
    """
    value = os.environ.get(variable, "")
    if os.path.isabs(value):  # noqa: PTH117 (cold start)
        return Path(value) / "sizer"
    folder = Path(os.path.expanduser("~")) / below_home / "sizer"  # noqa: PTH111 (cold start)
    if sys.platform not in ("darwin", "win32") or folder.is_dir():
        return folder
    import platformdirs  # only here: it costs 13 ms, and has nothing else to say elsewhere

    folders = platformdirs.PlatformDirs("sizer", appauthor=False, roaming=kind == "config")
    found: Path = getattr(folders, f"user_{kind}_path")
    return found


def cache_folder() -> Path:
    """Holds what can be detected again at any time."""
    return _user_folder("cache", "XDG_CACHE_HOME", ".cache")


def data_folder() -> Path:
    """Holds what took effort to make: calibrated profiles and measurements."""
    return _user_folder("data", "XDG_DATA_HOME", ".local/share")


def config_folder() -> Path:
    """Holds what the user wrote."""
    return _user_folder("config", "XDG_CONFIG_HOME", ".config")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part: temporary file, sync, rename.

    Raises OSError when the folder cannot be made or written; no temporary file is left behind then.
    """
    import tempfile  # costs 5 ms, and most calls write nothing

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(_mode(path))
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _mode(path: Path) -> int:
    """Permissions that the file has, or that a new file gets by the user's umask; temporary files are their owner's."""
    if path.exists():
        return path.stat().st_mode & 0o777
    umask = os.umask(0o077)
    os.umask(umask)
    return 0o666 & ~umask


#: What Linux and macOS say of a lock that is held, and Windows, whose words depend on its way of waiting.
_HELD = (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)


def hold_lock(path: Path) -> IO[str]:
    """Lock a file that nobody writes, made with its folder if need be, until it is closed or this process ends.

    Raises BlockingIOError when another process holds it, another OSError when it cannot be made or its file system has
    no locks. By hand, since these are two calls of the system and a lock file that outlives a killed process would
    refuse the run that goes on.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = path.open("a")
    try:
        _lock(stream)
    except OSError as error:
        stream.close()
        if error.errno not in _HELD:
            raise
        raise BlockingIOError(errno.EWOULDBLOCK, f"{path} is held by another process") from None
    return stream


def _lock(stream: IO[str]) -> None:
    """Windows locks the first byte. Raises OSError when another process has it."""
    try:
        import fcntl
    except ImportError:
        import importlib

        msvcrt = importlib.import_module("msvcrt")  # by name, since type checkers elsewhere know it empty
        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def read_objects(path: Path) -> list[dict[str, Any]]:
    """The objects of a file, in order. A line that holds none, such as one that was cut short, is left out.

    Raises OSError.
    """
    found = []
    with path.open(encoding="utf-8", errors="replace", newline="\n") as stream:
        for text in stream:
            with suppress(ValueError, RecursionError):
                each = json.loads(text)
                if isinstance(each, dict):
                    found.append(each)
    return found


def line(entry: Mapping[str, Any]) -> bytes:
    """An object as a line. NaN and infinities are written as Python reads them back."""
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


class JsonLines:
    """A file to append to. It is opened with the first line that is added; ``close`` lets go of it.

    ``failure`` makes of an OSError what is raised in its place, for people.
    """

    def __init__(self, path: Path, failure: Callable[[Path, OSError], Exception] | None = None) -> None:
        self.path = path
        self._failure = failure
        self._stream: IO[bytes] | None = None

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add a line and wait until it is on the disk. Raises OSError; of a line that does not fit nothing stays."""
        try:
            if self._stream is None:
                self._stream = self.path.open("ab", buffering=0)
                if not _ends_with_a_line(self.path):  # cut short: ended, so that the next one starts on its own
                    self._write(b"\n")
            self._write(line(entry))
        except OSError as error:
            if self._failure is None:
                raise
            raise self._failure(self.path, error) from None

    def close(self) -> None:
        """Let go of the file."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _write(self, content: bytes) -> None:
        assert self._stream is not None  # (append has opened it)
        before = self._stream.seek(0, os.SEEK_END)
        try:
            _write_all(self._stream, content)
        except OSError:
            with suppress(OSError):
                self._stream.truncate(before)
            raise


def _write_all(stream: IO[bytes], content: bytes) -> None:
    """Write and sync; a disk with room for a part takes that part without an error."""
    if stream.write(content) != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(stream.fileno())


def _ends_with_a_line(path: Path) -> bool:
    """Whether a file is empty or its last line is whole."""
    with path.open("rb") as stream:
        if not stream.seek(0, os.SEEK_END):
            return True
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"

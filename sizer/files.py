"""Where sizer keeps its files, and how it writes them: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any


def _user_folder(variable: str, default: str) -> Path:
    """XDG base directory; a relative or empty value is ignored, as the specification asks."""
    value = os.environ.get(variable, "")
    base = Path(value) if os.path.isabs(value) else Path(os.path.expanduser("~")) / default  # noqa: PTH111, PTH117 (cold start)
    return base / "sizer"


def cache_folder() -> Path:
    """Holds what can be detected again at any time."""
    return _user_folder("XDG_CACHE_HOME", ".cache")


def data_folder() -> Path:
    """Holds what took effort to make: calibrated profiles and measurements."""
    return _user_folder("XDG_DATA_HOME", ".local/share")


def config_folder() -> Path:
    """Holds what the user wrote."""
    return _user_folder("XDG_CONFIG_HOME", ".config")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part: temporary file, sync, rename.

    Raises OSError when the folder cannot be made or written; no temporary file is left behind then.
    """
    import tempfile  # costs 5 ms, and most calls write nothing

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content.encode("utf-8") if isinstance(content, str) else content)
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


def lock(stream: IO[Any]) -> None:
    """Lock an open file for this process; the system lets go of it however the process ends.

    Raises OSError when another process holds it. The file is one that nobody writes: Windows locks its first byte.
    """
    try:
        import fcntl
    except ImportError:
        import importlib

        msvcrt = importlib.import_module("msvcrt")  # by name, since type checkers elsewhere know it empty
        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)

"""Where sizer keeps its files, and how it writes them: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


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


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old content or the new, never a part: temporary file, sync, rename.

    Raises OSError when the folder cannot be made or written; no temporary file is left behind then.
    """
    import tempfile  # costs 5 ms, and most calls write nothing

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

"""Reading a JSON file that anybody may have written: nothing in it makes the program hang, crash or trust it."""

from __future__ import annotations

import errno
import json
import os
import stat
from math import isfinite
from pathlib import Path
from typing import Any

from sizer.base.errors import ProfileError

#: A profile has about 6 KB; a calibrated one with its history a few times that.
SIZE_LIMIT = 2**20

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0)
_REASONS = {
    errno.ENOENT: "there is no such file",
    errno.EACCES: "it may not be read; check its permissions",
    errno.EPERM: "it may not be read; check its permissions",
    errno.EISDIR: "it is a folder; name the profile file in it",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "it is a symbolic link that leads to itself",
}


def shown_path(path: Path) -> str:
    """A path as a message shows it, on one line."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def read_json(path: Path) -> Any:
    """The value in a JSON file. Raises ProfileError with one line that says what is wrong with it."""
    return parse_json(read_text(path), path)


def read_text(path: Path) -> str:
    """The text of a small regular file. Raises ProfileError as `read_json` does."""
    data = _read(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProfileError(f"{shown_path(path)}: byte {error.start} is not UTF-8; save the file as UTF-8") from None


def parse_json(text: str, path: Path) -> Any:
    """The value that a file's text holds. Raises ProfileError as `read_json` does."""
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_no_duplicates)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair cannot be printed later on
    except RecursionError:
        raise ProfileError(f"{shown_path(path)}: the JSON is nested too deep for a profile") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ProfileError(f"{shown_path(path)}: not JSON at {place} ({error.msg}); correct the file") from None
    except UnicodeEncodeError:
        raise ProfileError(f"{shown_path(path)}: a \\u escape is no character; correct the file") from None
    except ValueError as error:
        raise ProfileError(f"{shown_path(path)}: {error}; correct the file") from None
    return value


def _read(path: Path) -> bytes:
    """The bytes of a regular file of at most SIZE_LIMIT; opening it without blocking keeps a pipe from hanging us."""
    try:
        handle = os.open(path, _FLAGS)
    except (OSError, ValueError) as error:
        raise ProfileError(f"{shown_path(path)}: {_reason(error)}") from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            what = _REASONS[errno.EISDIR] if stat.S_ISDIR(status.st_mode) else "it is a pipe or a device, not a file"
            raise ProfileError(f"{shown_path(path)}: {what}")
        data = b"" if status.st_size > SIZE_LIMIT else os.read(handle, (status.st_size or SIZE_LIMIT) + 1)
    except OSError as error:
        raise ProfileError(f"{shown_path(path)}: {_reason(error)}") from None
    finally:
        os.close(handle)
    size = max(status.st_size, len(data))
    if size > SIZE_LIMIT:
        raise ProfileError(
            f"{shown_path(path)}: it has {size} bytes, a profile at most {SIZE_LIMIT}; is it the right file?"
        )
    return data


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return _REASONS.get(error.errno or 0, f"it cannot be read ({error.strerror or error})")
    return "the name has a character that no file name can have"


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number that JSON has; what is not known is null")


def _finite(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"{text[:40]} is too large for a number")
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {ascii(repeated)[:60]} is there twice in one object")
    return fields

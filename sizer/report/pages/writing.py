"""Pages as files: written whole, and only over what is a page. Imports nothing that a page is made with."""

from __future__ import annotations

from pathlib import Path

from sizer.base.errors import UsageError
from sizer.base.storage import write_whole

#: What a page says of itself; a file without it was not written by sizer.
_WRITTEN_BY = b'<meta name="generator" content="sizer'
_HEAD_BYTES = 4096


def write_page(path: Path, text: str, force: bool = False) -> None:
    """Write a page, whole. Raises UsageError for a file that is there and was not written by sizer, without force."""
    check_page(path, force)
    write_whole(path, text)


def check_page(path: Path, force: bool = False) -> None:
    """Raise UsageError where a page may not be written, as `write_page` does."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file such as {path / 'report.html'}")
    if path.exists() and not force and not _is_ours(path):
        raise UsageError(f"{path} was not written by sizer and is left as it is; name another file, or remove it first")


def _is_ours(path: Path) -> bool:
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    return not head or _WRITTEN_BY in head

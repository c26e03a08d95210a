"""Reading small text files beneath a root, bounded and without surprises.

Every probe of a Linux machine reads through a `Tree`. For the running machine its root is ``/``; for a captured one
(``--sysroot``) it is the capture's folder, and then no link leads out of it: a link to ``/sys/...`` inside a capture
means the capture's own ``sys``, as it would after a chroot. Following it plainly would report the running machine.
"""

from __future__ import annotations

import errno
import os
import posixpath

# A sysfs attribute is at most one page; the large files of /proc are read with their own limit.
ATTRIBUTE_LIMIT_BYTES = 4096
FILE_LIMIT_BYTES = 8 << 20
_PAGE_BYTES = 4096
# Links behind links, and the depth of a path; together they bound the recursion that resolves them.
_MAX_LINKS = 16
_MAX_DEPTH = 32
# What an open that must not follow links answers for one: Linux and macOS say ELOOP, FreeBSD EMLINK.
_IS_A_LINK = (errno.ELOOP, errno.EMLINK)
_READ_ONLY = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
# Without O_NONBLOCK a FIFO in a capture would block the open for ever.
_PLAIN = _READ_ONLY | getattr(os, "O_NONBLOCK", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)


def natural(text: str | None) -> int | None:
    """The number that a few ASCII digits spell, None for anything else (`int` alone takes ``1_0`` and ``٣`` too)."""
    return int(text) if text is not None and len(text) < 19 and text.isascii() and text.isdecimal() else None


class Tree:
    """The files beneath ``root``, addressed by the absolute paths they have on the machine they describe.

    What cannot be read (absent, forbidden, a folder, a link that leads nowhere or in a circle) reads as None or as an
    empty listing: a probe decides what its absence means.
    """

    def __init__(self, root: str | os.PathLike[str] = "/") -> None:
        self._root = os.path.realpath(root).rstrip(os.sep)
        self._live = self._root == ""
        self._located: dict[str, str | None] = {"/": self._root}

    def text(self, path: str, limit: int = ATTRIBUTE_LIMIT_BYTES) -> str | None:
        """The file's first ``limit`` bytes as text, undecodable bytes replaced, or None when it cannot be read."""
        try:
            handle = self._open(path)
        except (OSError, ValueError):
            return None
        try:
            return _read(handle, limit, path.startswith("/proc/")).decode("utf-8", "replace")
        except OSError:
            return None
        finally:
            os.close(handle)

    def word(self, path: str) -> str | None:
        """The file's text without surrounding white space and NULs, None also where that leaves nothing."""
        text = self.text(path)
        return (text.strip(" \t\r\n\0") or None) if text is not None else None

    def integer(self, path: str) -> int | None:
        """The decimal number that the file holds, None where it holds anything else."""
        word = self.word(path)
        if word is not None and word.startswith("-"):
            number = natural(word[1:])
            return -number if number is not None else None
        return natural(word)

    def names(self, folder: str) -> tuple[str, ...]:
        """The sorted names in a folder; empty when it cannot be listed."""
        located = folder if self._live else self._locate(folder, _MAX_LINKS)
        if located is None:
            return ()
        try:
            if self._live:
                return tuple(sorted(os.listdir(located)))  # noqa: PTH208 (called for each CPU)
            with os.scandir(located) as entries:
                # What the listing shows to be no link needs no look of its own later.
                links = {entry.name: entry.is_symlink() for entry in entries}
        except (OSError, ValueError):
            return ()
        beneath = folder.rstrip("/")
        self._located.update({f"{beneath}/{name}": f"{located}/{name}" for name, link in links.items() if not link})
        return tuple(sorted(links))

    def exists(self, path: str) -> bool:
        """Whether the path names something."""
        located = path if self._live else self._locate(path, _MAX_LINKS)
        return located is not None and os.path.lexists(located)

    def _open(self, path: str) -> int:
        if self._live:
            return os.open(path, _PLAIN)
        folder, _, name = path.rpartition("/")
        located = self._locate(folder or "/", _MAX_LINKS)
        if located is not None and _NO_FOLLOW:
            try:
                return os.open(f"{located}/{name}", _PLAIN | _NO_FOLLOW)
            except OSError as error:
                if error.errno not in _IS_A_LINK:
                    raise
        located = self._locate(path, _MAX_LINKS)
        if located is None:
            raise FileNotFoundError(path)
        return os.open(located, _PLAIN | _NO_FOLLOW)

    def _locate(self, path: str, links_left: int) -> str | None:
        """The real path of a machine path, its links resolved beneath the root; None in a circle of links.

        The answer holds no link and begins with the root, so opening it cannot leave the capture.
        """
        if path in self._located:
            return self._located[path]
        self._located[path] = None  # met again while it is being resolved, it is a circle
        folder, _, name = path.rpartition("/")
        parent = self._locate(folder or "/", links_left)
        if parent is None:
            return None
        located: str | None = f"{parent}/{name}"
        target = _link_target(f"{parent}/{name}")
        if target is not None:
            beside = parent[len(self._root) :] or "/"
            absolute = posixpath.normpath("/" + posixpath.join(beside, target).lstrip("/"))
            sane = links_left > 0 and absolute.count("/") < _MAX_DEPTH
            located = self._locate(absolute, links_left - 1) if sane else None
        self._located[path] = located
        return located


class NotedTree(Tree):
    """A tree that keeps what is read through it, by path: what makes a capture that is detected alike."""

    def __init__(self, root: str | os.PathLike[str] = "/") -> None:
        super().__init__(root)
        self.noted: dict[str, str] = {}

    def text(self, path: str, limit: int = ATTRIBUTE_LIMIT_BYTES) -> str | None:
        """As `Tree.text`."""
        found = super().text(path, limit)
        if found is not None and len(found) >= len(self.noted.get(path, "")):
            self.noted[path] = found
        return found


def _link_target(path: str) -> str | None:
    try:
        return os.readlink(path)  # noqa: PTH115 (called for each path component)
    except (OSError, ValueError):
        return None


def _read(handle: int, limit: int, in_pieces: bool) -> bytes:
    """Up to ``limit`` bytes. The files of /proc come in pieces of any size, those of /sys in pages that are full."""
    data = part = os.read(handle, limit)
    while part and len(data) < limit and (in_pieces or not len(part) % _PAGE_BYTES):
        part = os.read(handle, limit - len(data))
        data += part
    return data

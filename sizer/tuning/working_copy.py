"""A copy of the folder that a script works in, put back after each run: no run finds what the one before it wrote."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from sizer.base.errors import UsageError
from sizer.base.units import format_bytes

#: Largest folder that is copied.
MOST_BYTES = 500 * 2**20
#: Characters of a reason that are told.
_TOLD = 200
#: Folders that a training only reads, as links in the copy.
_LINKED = (".git", ".hg", ".venv", "venv", "env", "node_modules", "site-packages")


class WorkingCopy:
    """A copy of a folder; a context manager that removes it. Raises UsageError for a folder that is too large."""

    def __init__(self, folder: Path) -> None:
        self._own = folder.resolve()
        size = 0
        for file in _files(self._own):
            size += file.lstat().st_size
            if size > MOST_BYTES:
                raise UsageError(
                    f"{folder} holds more than {format_bytes(MOST_BYTES)}, too much for a copy; start in a smaller "
                    "folder, or add --in-place where the script may write there again and again"
                )
        self._temporary = tempfile.TemporaryDirectory(prefix="sizer-copy-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name).resolve() / self._own.name
        try:
            self._copy()
        except OSError as error:
            self._temporary.cleanup()
            raise UsageError(
                f"{folder} cannot be copied ({_why(error)}); start in another folder, or add --in-place"
            ) from None
        self._state = self._states()

    def _copy(self) -> None:
        def left_out(folder: str, names: list[str]) -> list[str]:
            """What is linked instead, and the copy itself where temporary files lie in the folder."""
            own = self.folder.parent
            return [
                name for name in names if (name in _LINKED and Path(folder, name).is_dir()) or Path(folder, name) == own
            ]

        shutil.copytree(self._own, self.folder, symlinks=True, ignore=left_out, dirs_exist_ok=True)
        for root, names, _ in os.walk(self._own):
            for name in [name for name in names if name in _LINKED]:
                names.remove(name)
                (self.folder / Path(root).relative_to(self._own) / name).symlink_to(Path(root, name))

    def inside(self, path: str) -> str:
        """A path as it is in the copy, where it lies in the folder."""
        whole = Path(os.path.abspath(path))  # noqa: PTH100 (links stay what they are)
        return str(self.folder / whole.relative_to(self._own)) if whole.is_relative_to(self._own) else path

    def outside(self, path: str) -> str:
        """A path in the copy as its owner knows it: relative to the folder."""
        whole = Path(path)
        return str(whole.relative_to(self.folder)) if whole.is_relative_to(self.folder) else path

    def _states(self) -> dict[Path, tuple[int, int]]:
        return {path: (stat.st_mtime_ns, stat.st_size) for path in _files(self.folder) if (stat := path.lstat())}

    def put_back(self) -> None:
        """Undo what a run wrote: remove new files, copy changed and missing ones again."""
        now = self._states()
        for path in now.keys() - self._state.keys():
            path.unlink(missing_ok=True)
        for path, state in self._state.items():
            if now.get(path) != state:
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self._own / path.relative_to(self.folder), path, follow_symlinks=False)
                stat = path.lstat()
                self._state[path] = (stat.st_mtime_ns, stat.st_size)

    def __enter__(self) -> WorkingCopy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._temporary.cleanup()


def _why(error: OSError) -> str:
    """The first reason: copytree goes on to the end, and lists the source, the copy and the reason of each failure."""
    return str(error.args[0][0][2] if isinstance(error, shutil.Error) else error)[:_TOLD]


def _files(folder: Path) -> Iterator[Path]:
    for root, names, files in os.walk(folder):
        names[:] = [name for name in names if name not in _LINKED and not Path(root, name).is_symlink()]
        if not root.endswith("__pycache__"):
            yield from (Path(root, file) for file in files)

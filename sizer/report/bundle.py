"""A file to attach to a bug report: what sizer knows of this machine, without hosts, users, folders and serial numbers.

It is written and shown, and sent nowhere.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sizer.base.errors import UsageError
from sizer.base.storage import data_folder, write_whole
from sizer.base.units import format_bytes
from sizer.report.layout import BLANK, Block, Column, Line, Paragraph, Table
from sizer.report.pages.anonymous import anonymous, cleaning

if TYPE_CHECKING:
    from sizer.diagnosis import Diagnosis

#: A file of measurements or a profile beyond this is left out: thirty sessions of an hour each have less.
_MOST_BYTES = 20 * 2**20
#: Beginnings of the environment variables that sizer, PyTorch and their libraries look at.
_VARIABLES = (
    *("SIZER", "XDG_", "CUDA", "NVIDIA", "TORCH", "PYTORCH", "HIP", "ROCR", "OMP_", "MKL_", "KMP_", "OPENBLAS", "RAY_"),
    *("LANG", "LC_", "TERM", "COLUMNS", "NO_COLOR", "MALLOC_", "LD_PRELOAD"),
)
#: Lines of /proc/cpuinfo that name one processor or board of its kind.
_SERIAL = re.compile(r"(?im)^(?:serial|uuid)\s*:.*\n?")
_HEAD = """Packed by `sizer doctor --bundle` for a bug report, without hosts, users, addresses, paths and serials.
sizer has sent this nowhere. Look into it before you attach it.
"""


class Packed(NamedTuple):
    """A file of the bundle: its name, its text, and what it is, in words."""

    name: str
    text: str
    what: str


def check_bundle(path: Path) -> None:
    """Raises UsageError for a file that no bundle is written to."""
    if path.suffix.lower() != ".zip":
        raise UsageError(f"{path} does not end in .zip, as a bundle does; call it {path.stem or 'report'}.zip")
    if path.is_symlink() or path.exists():
        raise UsageError(f"{path} is there already; name another file, or remove it first")


def write_bundle(path: Path, record: Diagnosis) -> list[Packed]:
    """Pack what a bug report needs, write it whole, and return what is in it. Raises UsageError."""
    check_bundle(path)
    found = list(_packed(record))
    listed = "".join(f"{name}: {what}\n" for name, _, what in _rows(found))
    found.insert(0, Packed("README.txt", f"{_HEAD}\n{listed}", "this list"))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in found:
            archive.writestr(zipfile.ZipInfo(one.name), one.text, zipfile.ZIP_DEFLATED)
    try:
        write_whole(path, content.getvalue())
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written ({error.strerror}); name a file in a folder that may be written"
        ) from None
    return found


def bundle_report(path: Path, found: list[Packed]) -> Iterator[Block]:
    """What is in a bundle, and what to do with it."""
    yield Paragraph(f"{path} holds, without names of this machine, of people and of folders:", strong=True)
    yield BLANK
    names, sizes, whats = zip(*_rows(found), strict=True)
    yield Table(
        [
            Column("file", names, whole=True),
            Column("size", [format_bytes(size) for size in sizes], right=True),
            Column("what it is", whats, folds=True),
        ]
    )
    yield BLANK
    yield Line(f"sizer sends it nowhere. Look into it (unzip -p {path.name} | less), then attach it.")


def _rows(found: list[Packed]) -> Iterator[tuple[str, int, str]]:
    """Name, size in bytes and meaning of each file; the many that describe the processor as one."""
    machine = [one for one in found if one.name.startswith("machine/")]
    for one in found:
        if not one.name.startswith("machine/"):
            yield one.name, len(one.text.encode()), one.what
    if machine:
        size = sum(len(one.text.encode()) for one in machine)
        yield f"machine/ ({len(machine)} files)", size, "what the kernel says of the processor"


def _packed(record: Diagnosis) -> Iterator[Packed]:
    """Everything but the list of it."""
    from sizer.report.terminal import as_text

    data = record.to_dict()
    shown = as_text(record)
    cleaned = cleaning([json.dumps(data), shown])
    yield Packed("diagnosis.txt", cleaned(shown) + "\n", "what `sizer doctor` shows")
    yield Packed("diagnosis.json", json.dumps(anonymous(data), indent=2) + "\n", "the same as JSON")
    yield Packed("environment.txt", cleaned(_environment()), "variables that sizer, PyTorch and their libraries read")
    for path in _own_files("profiles", "*.json"):
        yield from _file(path, f"profiles/{path.name}", "a profile or calibration of yours", cleaned)
    for path in _own_files("measurements", "*.jsonl"):
        yield from _file(path, f"measurements/{path.name}", "timings that a calibration or validation took", cleaned)
    yield from _machine()


def _environment() -> str:
    chosen = (f"{name}={value}\n" for name, value in sorted(os.environ.items()) if name.startswith(_VARIABLES))
    return "".join(chosen) or "none of them is set\n"


def _own_files(folder: str, pattern: str) -> list[Path]:
    """Plain files of the user's data folder; links may lead to anything and are left out."""
    found = sorted((data_folder() / folder).glob(pattern))
    return [path for path in found if path.is_file() and not path.is_symlink()]


def _file(path: Path, name: str, what: str, cleaned: Callable[[str], str]) -> Iterator[Packed]:
    """A file of the user's, cleaned; one that cannot be read or is too large is named with the reason."""
    try:
        size = path.stat().st_size
        text = path.read_text(encoding="utf-8", errors="replace") if size <= _MOST_BYTES else None
    except OSError as error:
        yield Packed(cleaned(name), "", f"left out: it cannot be read ({error.strerror})")
        return
    if text is None:
        yield Packed(cleaned(name), "", f"left out: it has {format_bytes(size)}")
    else:
        lines = text.splitlines() if name.endswith(".jsonl") else [text]
        yield Packed(cleaned(name), "\n".join(_anonymous_json(line, cleaned) for line in lines) + "\n", what)


def _anonymous_json(text: str, cleaned: Callable[[str], str]) -> str:
    """JSON without what names something; text that is none, which may be why there is a report, cleaned as text."""
    try:
        data = json.loads(text)
        return json.dumps(anonymous(data)) if isinstance(data, dict) else cleaned(text)
    except (ValueError, RecursionError):
        return cleaned(text)


def _machine() -> Iterator[Packed]:
    """What the kernel says of the processor, as a tree that `sizer detect --sysroot` reads; nothing elsewhere."""
    from sizer.detection.captured_tree import NotedTree
    from sizer.detection.linux import read_cpu

    tree = NotedTree("/")
    if not tree.exists("/proc/cpuinfo"):
        return
    read_cpu(tree)
    for path, text in sorted(tree.noted.items()):
        yield Packed(f"machine{path}", _SERIAL.sub("", text), "read by `sizer detect`")

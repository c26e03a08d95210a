"""The published files for users who are online: which, how large, under which licence, and their download."""

from __future__ import annotations

import json
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from sizer.errors import MeasurementError, UsageError
from sizer.study.downloading import ask, checksum, download, known_sums
from sizer.study.locating import is_safe
from sizer.study.progress import Advance, unseen
from sizer.study.step import Rule, StudyStep, examples


@lru_cache(maxsize=1)
def catalogue() -> dict[str, Any]:
    """The published files as plain data: names, addresses, sizes as published, licence."""
    data: dict[str, Any] = json.loads(files("sizer.study").joinpath("downloads.json").read_text(encoding="utf-8"))
    return data


@dataclass(frozen=True)
class Wanted:
    """A file to download; ``bytes`` is what the server says, else what the authors' notes say, else None."""

    name: str
    url: str
    bytes: int | None
    sha256: str | None


def wanted(names: Sequence[str] = (), base: str | None = None, sums: Mapping[str, str] | None = None) -> list[Wanted]:
    """The files to download: those named (``all`` for all), by default what `sizer study energy` needs.

    ``base`` replaces the address of the folder they are in, ``sums`` gives SHA-256 by name. Asks the server for sizes.
    Raises UsageError for an unknown name, MeasurementError when the server does not answer.
    """
    known = catalogue()["files"]
    chosen = list(known) if "all" in names else list(names or catalogue()["default"])
    if unknown := [name for name in (*chosen, *(sums or {})) if name not in known]:
        raise UsageError(f"unknown file {', '.join(unknown)}; expected all, or some of {', '.join(known)}")
    folder = (base or catalogue()["base"]).rstrip("/")
    found = []
    for name in dict.fromkeys(chosen):
        url = f"{folder}/{name}"
        try:
            length = ask(url).length
        except OSError as error:
            raise MeasurementError(f"{url} does not answer ({error}); is this machine online?") from None
        sha256 = (sums or {}).get(name) or known[name]["sha256"]
        found.append(Wanted(name, url, length or known[name]["about_bytes"], sha256))
    return found


def fetch(folder: Path, items: Sequence[Wanted], advance: Advance = unseen) -> StudyStep:
    """Download files into a folder, check them and unpack the losses; what is there and sound is left as it is.

    Raises MeasurementError for a connection that keeps breaking, a wrong checksum, or an archive that is damaged.
    """
    whole, done, table, unsafe = sum(item.bytes or 0 for item in items) or 1, 0, [], []
    for item in items:
        path = folder / item.name
        before = done
        if is_sound(path, item):
            how = "was there"
        else:
            download(item.url, path, item.sha256, _told(advance, item.name, before, whole))
            how = "downloaded"
        done += item.bytes or 0
        _check_archive(path)
        if path.suffix == ".tar":
            advance(f"unpacking {item.name}", done / whole)
            unsafe += unpack(path, folder / path.stem)
        verified = "checked" if item.sha256 else "noted: none is published to check against"
        table.append({"file": item.name, "bytes": path.stat().st_size, "how": how, "SHA-256": verified})
    rule = Rule(
        "unsafe member", "a path that leads out of the archive: not unpacked", len(unsafe), "files", examples(unsafe)
    )
    paths = tuple(str(folder / item.name) for item in items)
    title = f"{catalogue()['title']} ({catalogue()['licence']})"
    return StudyStep("fetch", title, None, len(items), (rule,), table=tuple(table), files=paths)


def _told(advance: Advance, name: str, before: int, whole: int) -> Callable[[int], None]:
    """Progress of one file as the share of all that are to be downloaded."""
    return lambda have: advance(name, min((before + have) / whole, 1.0))


def is_sound(path: Path, item: Wanted) -> bool:
    """Whether a file is there with the checksum that is expected of it, or that was noted when it was downloaded."""
    expected = item.sha256 or known_sums(path.parent).get(path.name)
    return path.is_file() and expected is not None and checksum(path) == expected.lower()


def _check_archive(path: Path) -> None:
    """Read a zip file through: its members have checksums of their own."""
    if path.suffix != ".zip":
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError) as error:
        raise MeasurementError(f"{path} is no complete zip file ({error}); remove it and fetch it again") from None
    if damaged:
        raise MeasurementError(f"{damaged} in {path} is damaged; remove the file and fetch it again")


def unpack(path: Path, folder: Path) -> list[str]:
    """Unpack the plain files of a tar archive into a folder, whole or not at all; returns the paths left out.

    A top folder of the same name is taken off. Left out are paths that would lead out of the folder, links and devices.
    """
    if folder.exists():
        return []
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        target = Path(temporary) / "content"
        target.mkdir()
        try:
            with tarfile.open(path) as archive:
                unsafe = [
                    member.name
                    for member in archive
                    if not member.isdir() and not _unpack_member(archive, member, target, folder.name)
                ]
        except (tarfile.TarError, EOFError) as error:
            raise MeasurementError(f"{path} is no complete tar file ({error}); remove it and fetch it again") from None
        target.replace(folder)
    return unsafe


def _unpack_member(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path, top: str) -> bool:
    """Write one member; False where it is no plain file inside the folder."""
    source = archive.extractfile(member) if member.isreg() and is_safe(member.name) else None
    if source is None:
        return False
    parts = [part for part in member.name.replace("\\", "/").split("/") if part not in ("", ".")]
    path = target.joinpath(*(parts[1:] if len(parts) > 1 and parts[0] == top else parts))
    path.parent.mkdir(parents=True, exist_ok=True)
    with source, path.open("wb") as stream:
        while block := source.read(1 << 20):
            stream.write(block)
    return True

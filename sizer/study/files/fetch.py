"""The published files downloaded: each resumed where it broke off, checked, put in place whole; archives unpacked.

From the bottom up: one file over HTTP, checked by length and SHA-256; the files that are wanted of those that the
authors publish (`downloads.json`); a folder of them, its archives read through and the losses by epoch unpacked.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import shutil
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from sizer.base.archives import DAMAGED_MEMBER
from sizer.base.errors import MeasurementError, UsageError
from sizer.base.storage import write_whole
from sizer.study.files.schema import first_line, is_safe
from sizer.study.published import facts
from sizer.study.step import Advance, Rule, Status, StudyStep, unseen

_BLOCK = 1 << 18
_TIMEOUT_S = 60.0
_ATTEMPTS = 4
_SUMS = "SHA256SUMS"


class Remote(NamedTuple):
    """What a server says of a file: its length (None where it does not), and what identifies this version of it."""

    length: int | None
    version: str | None


def ask(url: str) -> Remote:
    """Ask a server about a file. Raises MeasurementError, which names the address, when it does not answer."""
    with _open(url, "HEAD", {}) as response:
        return _remote(response, 0)


def download(url: str, path: Path, sha256: str | None = None, advance: Callable[[int], None] | None = None) -> str:
    """Download a file to ``path`` and return its SHA-256; goes on where an earlier attempt broke off.

    What is not complete is kept beside it as ``<name>.part`` with the version it is of; a file that has changed since
    is downloaded anew. ``advance`` is told how many bytes are there. Raises MeasurementError when the connection keeps
    breaking, or when length or checksum (``sha256``, else the one in SHA256SUMS) are not the expected ones; a file
    with a wrong checksum is not kept.
    """
    part, version_file = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.version")
    path.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _receive(url, part, version_file, advance)
            break
        except (OSError, http.client.HTTPException) as error:
            have = part.stat().st_size if part.exists() else 0
            if attempt == _ATTEMPTS:
                raise MeasurementError(
                    f"the connection to {url} broke {_ATTEMPTS} times ({error}); {have:,} bytes are kept, run the same "
                    "command to go on"
                ) from None
            time.sleep(0.2 * 4 ** (attempt - 1))
    found, expected = checksum(part), sha256 or known_sums(path.parent).get(path.name)
    if expected is not None and found != expected.lower():
        part.unlink()
        version_file.unlink(missing_ok=True)
        raise MeasurementError(
            f"{url} has the SHA-256 {found}, expected {expected}; it was not kept: it was damaged on the way, or has "
            f"changed (then remove its line from {path.parent / _SUMS} and check the new file)"
        )
    part.replace(path)
    version_file.unlink(missing_ok=True)
    # In the format of `sha256sum`, so that `sha256sum -c SHA256SUMS` checks the folder.
    sums = known_sums(path.parent) | {path.name: found}
    write_whole(path.parent / _SUMS, "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())))
    return found


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def known_sums(folder: Path) -> dict[str, str]:
    """Checksums that SHA256SUMS of a folder lists: name -> SHA-256."""
    path = folder / _SUMS
    if not path.is_file():
        return {}
    lines = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())
    return {parts[1].lstrip("*"): parts[0].lower() for parts in lines if len(parts) == 2}


def _receive(url: str, part: Path, version_file: Path, advance: Callable[[int], None] | None) -> None:
    """Append what is missing to the part. Raises OSError when the connection breaks or is cut short."""
    have = part.stat().st_size if part.exists() else 0
    version = version_file.read_text(encoding="utf-8") if have and version_file.exists() else ""
    # Without something that identifies the version, parts of two versions could be joined: then start anew.
    headers = {"Range": f"bytes={have}-", "If-Range": version} if have and version else {}
    with _open(url, "GET", headers) as response:
        resumed = response.status == 206 and headers != {}
        have = have if resumed else 0
        remote = _remote(response, have)
        version_file.write_text(remote.version or "", encoding="utf-8")
        with part.open("ab" if resumed else "wb") as stream:
            while block := response.read(_BLOCK):
                stream.write(block)
                have += len(block)
                if advance is not None:
                    advance(have)
    if remote.length is not None and have != remote.length:
        raise OSError(f"{have:,} of {remote.length:,} bytes")


def _remote(response: http.client.HTTPResponse, have: int) -> Remote:
    length = response.headers.get("Content-Length")
    version = response.headers.get("ETag") or response.headers.get("Last-Modified")
    if version and version.startswith("W/"):  # a weak tag does not promise the same bytes
        version = response.headers.get("Last-Modified")
    return Remote(None if length is None or not length.isdigit() else have + int(length), version)


def _open(url: str, method: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    """Open an address. Raises OSError where trying again can help, MeasurementError where it cannot."""
    if not url.startswith(("https://", "http://")):
        raise UsageError(f"{url!r} is no address; expected one that begins with https://")
    request = urllib.request.Request(url, headers={"User-Agent": "sizer", **headers}, method=method)  # noqa: S310 (checked)
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310 (checked)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the part is longer than the file: it is of another version
            raise MeasurementError(f"{url} is shorter than the part that is here; remove the .part file") from None
        if error.code >= 500:
            raise OSError(f"HTTP {error.code}") from None
        raise MeasurementError(f"{url} answers HTTP {error.code} ({error.reason}); was the file moved?") from None
    except urllib.error.URLError as error:
        raise OSError(str(error.reason)) from None
    return response


def catalogue() -> dict[str, Any]:
    """The published files as plain data: names, addresses, sizes as published, licence."""
    return facts("downloads")


class Wanted(NamedTuple):
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
        how = Status.WAS_THERE if is_sound(path, item) else Status.DOWNLOADED
        if how is Status.DOWNLOADED:
            download(item.url, path, item.sha256, partial(_tell, advance, item.name, done, whole))
        done += item.bytes or 0
        _check_archive(path)
        if path.suffix == ".tar":
            advance(f"unpacking {item.name}", done / whole)
            unsafe += unpack(path, folder / path.stem)
        verified = Status.CHECKED if item.sha256 else Status.NOTED
        table.append({"file": item.name, "bytes": path.stat().st_size, "how": how, "SHA-256": verified})
    rule = Rule.listing("unsafe member", "a path that leads out of the archive: not unpacked", unsafe)
    paths = tuple(str(folder / item.name) for item in items)
    title = f"{catalogue()['title']} ({catalogue()['licence']})"
    return StudyStep("fetch", title, None, len(items), (rule,), table=tuple(table), files=paths)


def _tell(advance: Advance, name: str, before: int, whole: int, have: int) -> None:
    """Progress of one file as the share of all that are to be downloaded."""
    advance(name, min((before + have) / whole, 1.0))


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
    except DAMAGED_MEMBER as error:
        said = first_line(error)
        raise MeasurementError(f"{path} is no complete zip file ({said}); remove it and fetch it again") from None
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
        except (tarfile.TarError, gzip.BadGzipFile, ValueError, *DAMAGED_MEMBER) as error:
            said = first_line(error)
            raise MeasurementError(f"{path} is no complete tar file ({said}); remove it and fetch it again") from None
        except OSError as error:
            raise MeasurementError(f"{path} cannot be unpacked ({error.strerror}: {error.filename})") from None
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
        shutil.copyfileobj(source, stream, 1 << 20)
    return True

"""Taking profiles out of sizer's folders, putting them in, and removing them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from sizer.base.errors import ProfileError, UsageError
from sizer.profiles.loader import SHIPPED_FOLDER, file_of, load, own_folders, read_record, save, write_text
from sizer.profiles.reading import read_text, shown_path
from sizer.profiles.rules import InvalidError, profile_name

TRANSFER_FORMAT = "sizer.transfer/1"


class Transfer(NamedTuple):
    """What was done (``exported``, ``imported``, ``removed``) with the profile of a name, and the file it is in now.

    ``path`` is the file that was written or removed; ``replaced`` says whether there was one before; ``remark`` is what
    the user should know of others of that name.
    """

    action: str
    name: str
    path: Path
    replaced: bool = False
    remark: str | None = None

    def to_json(self) -> str:
        """The record ``sizer.transfer/1``."""
        return json.dumps({"format": TRANSFER_FORMAT, **self._asdict(), "path": str(self.path)}, indent=2)


def exported_text(name: str) -> str:
    """The file of a profile as it is, checked first. Raises ProfileError for one that cannot be used."""
    load(name)
    return read_text(file_of(name))


def export_profile(name: str, path: Path) -> Transfer:
    """Write a profile into a file of the user's. Raises ProfileError."""
    text, replaced = exported_text(name), path.exists()
    write_text(path, text, "file")
    return Transfer("exported", name, path, replaced)


def import_profile(path: Path, name: str | None = None, force: bool = False) -> Transfer:
    """Take a file into the user's profiles, under another ``name`` if one is given.

    Raises ProfileError for a file that is no sound profile, and, without ``force``, where there is one of its name.
    """
    record = read_record(path)
    if name is not None:
        _check_name(name)
        record["name"] = name
    own = str(record["name"])
    there = _there(own)
    if there is not None and not force:
        raise ProfileError(
            f"there is a profile {own} ({'shipped' if _shipped(there) else shown_path(there)}); take this one in as "
            f"another with --as NAME, or in its place with --force"
        )
    target = own_folders()[-1] / f"{own}.json"
    replaced = target.exists()
    save(record)
    nearest = file_of(own)
    remark = None if nearest == target else f"{shown_path(nearest)} is of the same name and is used in its place"
    return Transfer("imported", own, target, replaced, remark)


def remove_profile(name: str) -> Transfer:
    """Remove a profile from the user's folders. Raises ProfileError for a shipped one, or one that lies elsewhere."""
    path = removable(name)
    try:
        path.unlink()
    except OSError as error:
        raise ProfileError(f"{shown_path(path)} cannot be removed ({error.strerror or error})") from None
    left = _there(name)
    remark = None
    if left is not None:
        remark = f"{name} now stands for the {'shipped profile' if _shipped(left) else f'one in {shown_path(left)}'}"
    return Transfer("removed", name, path, False, remark)


def removable(name: str) -> Path:
    """The file that removing a profile removes. Raises ProfileError where that is not sizer's to do."""
    _check_name(name)
    for folder in own_folders():
        if (folder / f"{name}.json").is_file():
            return folder / f"{name}.json"
    found = file_of(name)  # where there is none: says so, and which are close
    if _shipped(found):
        raise ProfileError(f"{name} is shipped with sizer and stays; a profile of yours of that name replaces it")
    raise ProfileError(f"{shown_path(found)} is in a folder that SIZER_PROFILES names; remove the file there")


def _check_name(name: str) -> None:
    """A name, not a path: what it stands for lies in the user's folder."""
    try:
        profile_name(name)
    except InvalidError as error:
        raise UsageError(f"the name {error}") from None


def _there(name: str) -> Path | None:
    """The file of the profile of a name, None where there is none."""
    try:
        return file_of(name)
    except ProfileError:
        return None


def _shipped(path: Path) -> bool:
    return path.parent == SHIPPED_FOLDER

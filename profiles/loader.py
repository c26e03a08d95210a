"""Finding and loading profiles: the user's over the shipped ones, a nearer file replacing a farther one of its name.

The order is the folders in the environment variable ``SIZER_PROFILES``, what the user wrote
(``$XDG_CONFIG_HOME/sizer/profiles``), what sizer measured (``$XDG_DATA_HOME/sizer/profiles``), what is shipped. A file
is called as the profile that it holds: ``nvidia-h200.json`` holds ``nvidia-h200``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sizer.base.errors import ProfileError
from sizer.base.records import rebuild
from sizer.base.storage import config_folder, data_folder, write_whole
from sizer.profiles.reading import build_profile, parse_json, read_json, read_text, shown_path
from sizer.profiles.records import SHIPPED, Match, Profile, words
from sizer.profiles.rules import InvalidError, check_profile, shown

VARIABLE = "SIZER_PROFILES"

#: Where the shipped files lie. `importlib.resources.files` finds the same folder in an editable install and in a wheel,
#: and costs more to import than all the profiles to load.
SHIPPED_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Catalogue:
    """Every profile that can be loaded, by name, and one line for each file or folder that cannot."""

    profiles: tuple[Profile, ...]
    warnings: tuple[str, ...] = ()


def names() -> tuple[str, ...]:
    """Names of the profiles there are files of, in alphabetical order; a damaged file is listed too."""
    return tuple(sorted(_files()))


def load(name_or_path: str | os.PathLike[str]) -> Profile:
    """The profile of a name, or of a file when the text has a path separator or ends in ``.json``.

    Raises ProfileError with one line: there is no such profile, or its file cannot be used and why.

    >>> [level.name for level in load("nvidia-h200").device.levels]
    ['L1', 'L2', 'RAM']
    """
    text = os.fspath(name_or_path)
    if not isinstance(name_or_path, str) or text.endswith(".json") or os.sep in text or (os.altsep or os.sep) in text:
        return _load_file(Path(text), str(Path(text)))
    return _load_named(text, file_of(text).parent)


def file_of(name: str) -> Path:
    """The file of the profile of a name, the nearest that there is. Raises ProfileError when there is none."""
    folders = _files()
    if name not in folders:
        raise ProfileError(_unknown(name, tuple(folders)))
    return folders[name] / f"{name}.json"


def all_profiles() -> Catalogue:
    """Every profile, sorted by name. A file that cannot be used is left out and reported in ``warnings``."""
    profiles: list[Profile] = []
    missing = [folder for folder in stated_folders() if not folder.is_dir()]
    warnings = [f"{VARIABLE} names {shown_path(folder)}, which is no folder" for folder in missing]
    for name, folder in sorted(_files().items()):
        try:
            profiles.append(_load_named(name, folder))
        except ProfileError as error:  # noqa: PERF203 (one damaged file must not hide the others)
            warnings.append(f"profile left out: {error}")
    return Catalogue(tuple(profiles), tuple(warnings))


def matching(device_name: str | None, kind: str) -> Profile | None:
    """The profile of a device that detection found, from the nearest folder that has one, else None.

    ``device_name`` is as the system reports it (``NVIDIA A100-SXM4-80GB``), ``kind`` is ``cpu``, ``cuda`` and so on.
    Files that cannot be read are passed over; one that is for this device and damaged raises ProfileError.
    """
    device_words = words(device_name or "")
    for name, folder in _files().items():
        if _describes(folder / f"{name}.json", name, device_words, kind):
            return _load_named(name, folder)
    return None


def save(record: Mapping[str, Any], folder: Path | None = None) -> Path:
    """Write a profile record where `load` finds it, by default among what sizer measured, and return its path.

    Raises ProfileError when the record is no valid profile, or the file cannot be written.
    """
    try:
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        text.encode()
        check_profile(json.loads(text))
    except (InvalidError, TypeError, ValueError, RecursionError) as error:
        raise ProfileError(f"the profile is not written: {error}") from None
    path = (own_folders()[-1] if folder is None else folder) / f"{record['name']}.json"
    write_text(path, text, "folder")
    return path


def write_text(path: Path, text: str, another: str) -> None:
    """Write a profile's file whole. Raises ProfileError, which says to name another file or folder."""
    try:
        write_whole(path, text)
    except OSError as error:
        reason = error.strerror or error
        raise ProfileError(f"{shown_path(path)} cannot be written ({reason}); name another {another}") from None


def own_folders() -> tuple[Path, Path]:
    """The user's folders: of profiles written by hand, and of those that sizer measured or was given."""
    return config_folder() / "profiles", data_folder() / "profiles"


def stated_folders() -> list[Path]:
    """The folders that the environment variable names."""
    return [Path(entry) for entry in os.environ.get(VARIABLE, "").split(os.pathsep) if entry]


def _files() -> dict[str, Path]:
    """The folder of each profile's file, the nearest that has the name, in the order of the search."""
    files: dict[str, Path] = {}
    for folder in (*stated_folders(), *own_folders(), SHIPPED_FOLDER):
        for name in _names_in(folder):
            files.setdefault(name, folder)
    return files


def _names_in(folder: Path) -> list[str]:
    try:
        entries = os.listdir(folder)  # noqa: PTH208 (names are all that is needed; the cold start counts)
    except OSError:
        return []
    return sorted(entry[: -len(".json")] for entry in entries if entry.endswith(".json") and not entry.startswith("."))


def _load_named(name: str, folder: Path) -> Profile:
    path = folder / f"{name}.json"
    profile = _load_file(path, SHIPPED if folder == SHIPPED_FOLDER else str(path))
    if profile.name != name:
        raise ProfileError(
            f"{shown_path(path)}: the profile in it is named {profile.name!r}; expected {shown(name)}, as the file is "
            f"called: rename one of them"
        )
    return profile


def _load_file(path: Path, origin: str) -> Profile:
    return build_profile(read_record(path), origin)


def read_record(path: Path) -> dict[str, Any]:
    """The record in a file, checked. Raises ProfileError."""
    record: dict[str, Any] = read_json(path)
    try:
        check_profile(record)
    except InvalidError as error:
        raise ProfileError(f"{shown_path(path)}: {error}") from None
    return record


def _describes(path: Path, name: str, device_words: str, kind: str) -> bool:
    """Whether a file is for a device; only what that takes is looked at, so that most files cost no full check."""
    try:
        text = read_text(path)
        if f'"{kind}"' not in text and "\\u" not in text:
            return False  # most files are of another kind, and not worth parsing
        record = parse_json(text, path)
        return bool(record["kind"] == kind and record["name"] == name and rebuild(Match, record["match"])(device_words))
    except (ProfileError, KeyError, TypeError, AttributeError):
        return False


def _unknown(name: str, known: tuple[str, ...]) -> str:
    close = _close(name.strip().lower()[:80], sorted(known))
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return f"no profile is named {shown(name)}; {hint}`sizer profiles list` shows them all"


def _close(name: str, known: list[str]) -> list[str]:
    """Up to three names that a text may stand for: those that it is a part of (``h100``), else similar ones."""
    from difflib import get_close_matches

    longer = [candidate for candidate in known if name and name in candidate]
    return (longer or get_close_matches(name, known, cutoff=0.75))[:3]

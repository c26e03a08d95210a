"""A record's JSON without the host, the user and the paths that it was made with."""

from __future__ import annotations

import getpass
import platform
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

#: Fields that say where something is, names of hosts and nodes, files and folders, or which card of its kind.
_PLACES = {
    "folder",
    "saved",
    "path",
    "measurements",
    "files",
    "folders",
    "addresses",
    "nodes",
    "where",
    "host",
    "hostname",
    "uuid",
    "pci_bus_id",
}
#: Paths of the system, which are the same everywhere and say where a value was read.
_SYSTEM = ("/sys", "/proc", "/dev", "/etc")
_PATH = re.compile(r"(?<![\w/.~:])(~?/(?:[^\s/:;,'\"()`]+/)*[^\s/:;,'\"()`]*|[A-Za-z]:\\[^\s:;,'\"()`]+)")
_HOME = re.compile(r"(?:/home/|/Users/|\\Users\\)([^\s/\\:;,'\"()`]+)")
#: Which card of its kind: GPU-8f0a..., MIG-..., or the bare number.
_UUID = re.compile(
    r"\b(?:GPU|MIG)-[0-9a-fA-F][0-9a-fA-F-]{3,}|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
)
_ADDRESS = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b")
#: Names shorter than this, or as common as these, would be taken out of every other word.
_SHORTEST = 3
_COMMON = {"root", "user", "localhost", "admin", "home"}


def anonymous(data: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON without hosts, users and paths: fields that hold one are null or empty, texts say ``(path)`` for it."""
    cleaned = cleaning(_texts(data))
    return {key: _without(key, value, cleaned) for key, value in data.items()}


def cleaning(texts: Iterable[str]) -> Callable[[str], str]:
    """What takes hosts, users and paths out of a text: this machine's, and users whose homes are in ``texts``."""
    names = {name for text in texts for name in _HOME.findall(text)} | set(_own_names())
    names = {name for name in names if len(name) >= _SHORTEST and name.lower() not in _COMMON}
    named = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in sorted(names, key=len, reverse=True)))

    def cleaned(text: str) -> str:
        text = _UUID.sub("(id)", _ADDRESS.sub("(node)", _PATH.sub(_shortened, text)))
        return named.sub("(name)", text) if names else text

    return cleaned


def _own_names() -> Iterable[str]:
    """What this machine and this user are called."""
    host = platform.node()
    yield from (host, host.partition(".")[0])
    with suppress(Exception):  # (a user without a name in the system has none to leave out)
        yield getpass.getuser()
    yield Path("~").expanduser().name


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _shortened(match: re.Match[str]) -> str:
    path = match.group()
    is_plain = len(path) < 2 or path.startswith(tuple(f"{root}/" for root in _SYSTEM)) or path in _SYSTEM
    return path if is_plain else "(path)"


def _without(key: str, value: Any, cleaned: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return cleaned(value) if key not in _PLACES else ""
    if isinstance(value, Mapping):
        if key in _PLACES:
            return {}
        return {cleaned(str(name)): _without(name, item, cleaned) for name, item in value.items()}
    if isinstance(value, list):
        # Kinds of node are a list of records, and only the names of nodes are places.
        places = key in _PLACES and not any(isinstance(item, Mapping) for item in value)
        return [] if places else [_without(key, item, cleaned) for item in value]
    return value

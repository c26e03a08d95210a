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
#: Those of them that are records in some formats: where a script was tuned is its machine, its torch and its script.
_RECORDS = {"where"}
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
    data = _numbered(data)
    cleaned = cleaning(_texts(data))
    return {key: _without(key, value, cleaned) for key, value in data.items()}


def _numbered(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """A fleet whose nodes have numbers instead of names, but for those that are called after their hardware."""
    nodes = data.get("nodes")
    if not isinstance(nodes, list) or not all(isinstance(node, Mapping) for node in nodes):
        return data
    numbered = {
        str(node["name"]): f"node {number}"
        for number, node in enumerate(nodes, start=1)
        if node.get("name") and node["name"] != _id_of(node.get("device"))
    }
    named = re.compile("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in sorted(numbered, key=len, reverse=True)))

    def told(value: Any) -> Any:
        if isinstance(value, list):
            return [told(item) for item in value]
        return named.sub(lambda found: numbered[found.group()], value) if isinstance(value, str) and numbered else value

    said = {name: told(data[name]) for name in ("cheapest", "notes") if name in data}
    return {**data, **said, "nodes": [{**node, **_told_in(node, told)} for node in nodes]}


def _told_in(node: Mapping[str, Any], told: Callable[[Any], Any]) -> dict[str, Any]:
    return {name: told(node[name]) for name in ("name", "refused") if name in node}


def _id_of(device: Any) -> Any:
    return device.get("id") if isinstance(device, Mapping) else None


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
        if key in _PLACES - _RECORDS:
            return {}
        return {cleaned(str(name)): _without(name, item, cleaned) for name, item in value.items()}
    if isinstance(value, list):
        # Kinds of node are a list of records, and only the names of nodes are places.
        places = key in _PLACES and not any(isinstance(item, Mapping) for item in value)
        return [] if places else [_without("", item, cleaned) for item in value]
    return value

"""Inputs of `fuzz.py` made of other inputs, by what readers of a form expect.

Forms are text, table (text, gzipped or not, or an archive), json, members (of an archive, as JSON), lines (of JSON).
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import random
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

GZIP, ZIP = b"\x1f\x8b", b"PK"

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, 10**40, 0.5, -1e308, 1e308, "", "x", "a\x1b[2Jb\u202e", "\ud800", "../../x"),
    *([], {}, [None], [[]], {"a": 1}, "9" * 400, "NaN"),
)
ODD_TEXTS = (
    *(b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"'", b",", b";", b"\t", b"\n", b"\r\n", b" " * 300, b"-" * 300),
    *(
        b"1e999",
        b"nan",
        b"-inf",
        b"9" * 400,
        b"\x1b[2J",
        "\u202e\u00a0\u0661".encode(),
        b"2021-02-30 25:61",
        b"#",
        b"%",
    ),
    *(b"@relation", b"1:1", b"sep=", b"Infinity", b"1.000,5", b"0x10", b"12:00 PM", b"T", b"Z", b"+99:99"),
)


def changed_json(value: Any, draw: random.Random, parts: Sequence[Any] = ODD_VALUES) -> Any:
    """JSON data with one of its parts in another's place, gone, twice or odd; ``parts`` are what may be put in."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        name = draw.choice(list(value))
        chance = draw.random()
        if chance < 0.1:
            return {key: item for key, item in value.items() if key != name}
        if chance < 0.15:
            return {**value, str(draw.choice(parts))[:40]: value[name]}
        return {**value, name: changed_json(value[name], draw, parts)}
    if isinstance(value, list) and value and draw.random() < 0.85:
        at = draw.randrange(len(value))
        chance = draw.random()
        if chance < 0.1:
            return value[:at] + value[at + 1 :]
        if chance < 0.2:
            return value[:at] + [value[at]] * draw.choice((2, 3, 40)) + value[at + 1 :]
        return [*value[:at], changed_json(value[at], draw, parts), *value[at + 1 :]]
    if isinstance(value, int | float) and draw.random() < 0.5:
        return draw.choice((-value, value * 2, value + 1, float(value), str(value), value * 10**9, value / 3))
    return draw.choice(parts if draw.random() < 0.3 else ODD_VALUES)


def parts_of(value: Any) -> list[Any]:
    """Every part of JSON data and every name in it, some thousands at most."""
    found, waiting = [], [value]
    while waiting and len(found) < 5000:
        item = waiting.pop()
        found.append(item)
        if isinstance(item, dict):
            found += item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    return found


def changed_text(content: bytes, draw: random.Random) -> bytes:
    """Text with a piece cut, doubled, stretched or put in."""
    first = draw.randrange(len(content) + 1)
    last = min(len(content), first + draw.choice((0, 1, 2, 8, 64, 512)))
    piece = content[first:last]
    new = draw.choice(
        (b"", piece * 2, piece * draw.choice((3, 50)), draw.choice(ODD_TEXTS), draw.choice(ODD_TEXTS) + piece)
    )
    return (content[:first] + new + content[last:])[:200_000]


def changed_packed(content: bytes, draw: random.Random) -> bytes:
    """A gzipped text, or an archive's member, changed inside and packed anew with right check sums."""
    if content.startswith(GZIP):
        return gzip.compress(changed_text(gzip.decompress(content), draw), 1, mtime=0)
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(target, "w") as packed:
        names = source.namelist()
        one = draw.choice(names)
        for name in names:
            held = source.read(name)
            packed.writestr(zipfile.ZipInfo(name), changed_text(held, draw) if name == one else held)
    return target.getvalue()


def changed(content: bytes, form: str, seed: int) -> bytes:
    """An input made of another, by what readers of its form expect."""
    draw = random.Random(seed)  # noqa: S311 (inputs, no secrets)
    with contextlib.suppress(
        *(ValueError, RecursionError, AttributeError, TypeError, OverflowError),
        *(OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, LookupError, RuntimeError),
    ):
        for _ in range(draw.choice((1, 1, 1, 2, 4))):
            if form in ("json", "members") and draw.random() < 0.95:
                data = json.loads(content)
                content = dumped(changed_json(data, draw, parts_of(data)))
            elif form == "lines" and draw.random() < 0.9:
                lines = content.split(b"\n")
                at = draw.randrange(max(len(lines) - 1, 1))
                data = json.loads(lines[at])
                lines[at] = dumped(changed_json(data, draw, parts_of(data)))
                content = b"\n".join(lines)
            elif form == "table" and content.startswith((GZIP, ZIP)) and draw.random() < 0.8:
                content = changed_packed(content, draw)
            else:
                content = changed_text(content, draw)
    return content


def dumped(value: Any) -> bytes:
    """JSON data as it is written."""
    return json.dumps(value).encode()

"""Files of one JSON object a line: what a crash or a full disk leaves behind."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sizer.base.storage import JsonLines, line, read_objects


def write(path, *entries):
    lines = JsonLines(path)
    for entry in entries:
        lines.append(entry)
    lines.close()


def test_what_was_added_is_read_back_in_order(tmp_path):
    path = tmp_path / "log.jsonl"
    write(path, {"a": 1}, {"b": [1.5, None]})
    write(path, {"c": "é"})
    assert read_objects(path) == [{"a": 1}, {"b": [1.5, None]}, {"c": "é"}]
    assert path.read_bytes().count(b"\n") == 3


def test_a_line_is_on_the_disk_when_it_was_added_and_a_closed_file_is_opened_again(tmp_path):
    path = tmp_path / "log.jsonl"
    lines = JsonLines(path)
    lines.close()
    lines.append({"a": 1})
    assert path.read_bytes() == b'{"a":1}\n'
    lines.close()
    lines.append({"b": 2})
    assert path.read_bytes() == b'{"a":1}\n{"b":2}\n'
    lines.close()


@given(cut=st.integers(0, 10_000))
def test_a_file_cut_anywhere_keeps_its_whole_lines_and_goes_on(cut, tmp_path_factory):
    path = tmp_path_factory.mktemp("cut") / "log.jsonl"
    entries = [{"number": number, "text": "x" * number} for number in range(4)]
    content = b"".join(map(line, entries))
    path.write_bytes(content[: cut % (len(content) + 1)])
    kept = read_objects(path)
    assert kept == entries[: len(kept)]
    assert len(kept) >= path.read_bytes().count(b"\n")
    write(path, {"after": True})
    assert read_objects(path) == [*kept, {"after": True}]


def test_lines_that_hold_no_object_are_left_out(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'\xff\xfe\n[1]\n\n{"a":\r1}\nnull\n' + b"[" * 100_000 + b'\n{"b": 2}')
    assert read_objects(path) == [{"a": 1}, {"b": 2}]


def test_of_a_line_that_does_not_fit_nothing_stays(tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    lines = JsonLines(path)
    lines.append({"a": 1})

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        lines.append({"b": 2})
    monkeypatch.undo()
    assert path.read_bytes() == b'{"a":1}\n'
    lines.append({"c": 3})
    lines.close()
    assert read_objects(path) == [{"a": 1}, {"c": 3}]


def test_a_disk_with_room_for_a_part_of_a_line_is_full_in_the_words_of_the_caller(tmp_path):
    """A limit on the size of files, beyond which the system writes a part, as it does on a disk that fills up."""
    resource = pytest.importorskip("resource")
    lines = JsonLines(tmp_path / "log.jsonl", lambda path, error: RuntimeError(path.name, error.errno, error.strerror))
    lines.append({"a": 1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12, hard))
    try:
        with pytest.raises(RuntimeError) as caught:
            lines.append({"b": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        lines.close()
    assert caught.value.args == ("log.jsonl", errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert lines.path.read_bytes() == b'{"a":1}\n'

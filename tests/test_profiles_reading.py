"""Reading a file that anybody may have written: one clear line, never a hang, a crash or a traceback."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profile_records import changed, sound, write

from sizer import profiles
from sizer.base.errors import ProfileError
from sizer.profiles.reading import SIZE_LIMIT, read_json

POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX file kinds")

#: Bytes of a file, and what the one line about it says.
CONTENTS = [
    (b"", "not JSON at line 1, column 1"),
    (b"{", "not JSON at line 1, column 2"),
    (b'{"format": "sizer.profile/1",\n "name": }', "not JSON at line 2, column 10"),
    (b"\xff\xfe{\x00}\x00", "byte 0 is not UTF-8; save the file as UTF-8"),
    (json.dumps(sound(title="Caf\u00e9"), ensure_ascii=False).encode("latin-1"), "is not UTF-8"),
    (b'{"a": NaN}', "NaN is no number that JSON has"),
    (b'{"a": -Infinity}', "-Infinity is no number that JSON has"),
    (b'{"a": 1e999}', "1e999 is too large for a number"),
    (b'{"a": ' + b"9" * 5000 + b"}", "correct the file"),
    (b'{"a": 1, "b": 2, "a": 3}', "the field 'a' is there twice in one object"),
    (b'{"x": [{"a": 1, "a": 1}]}', "the field 'a' is there twice"),
    (b'{"title": "\\ud800"}', "a \\u escape is no character"),
    (b"[" * 100_000, "nested too deep"),
    (b'{"a":' * 100_000, "nested too deep"),
    (b"[]", "the file holds a JSON list; expected a JSON object"),
    (b"null", "the file holds None"),
    (b"{}", 'there is no "format"'),
    (b'{"format": "sizer.profile/2"}', "upgrade sizer"),
    (b'{"format": "sizer.profile/12"}', "upgrade sizer"),
    (b'{"format": "sizer.recommendation/1"}', "this is no sizer profile"),
    (b'{"format": 1}', "the format is 1"),
]


def refusal(path: object) -> str:
    """The one line that loading a file ends in."""
    with pytest.raises(ProfileError) as caught:
        profiles.load(path)
    line = str(caught.value)
    assert line.isprintable()
    assert len(line) < 400
    return line


@pytest.mark.parametrize(("content", "message"), CONTENTS, ids=lambda value: str(value)[:30])
def test_what_is_no_sound_profile_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "acme-one.json"
    path.write_bytes(content)
    line = refusal(path)
    assert line.startswith(f"{path}: ")
    assert message in line


def test_a_problem_in_a_field_is_named_with_its_file_and_place(tmp_path):
    path = write(tmp_path, changed("levels", 1, "capacity_bytes", to=-1))
    assert refusal(path) == f"{path}: levels[1].capacity_bytes is -1; expected a whole number from 1 to 2^60"


def test_a_byte_order_mark_and_other_line_ends_are_no_problem(tmp_path):
    path = tmp_path / "acme-one.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(sound(title="Café"), indent=1).replace("\n", "\r\n").encode())
    assert profiles.load(path).title == "Café"


def test_no_such_file(tmp_path):
    assert refusal(tmp_path / "none.json").endswith("none.json: there is no such file")


def test_a_folder_in_place_of_a_file(tmp_path):
    (tmp_path / "acme-one.json").mkdir()
    assert "it is a folder" in refusal(tmp_path / "acme-one.json")


def test_a_file_name_in_a_path_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be read" in refusal(tmp_path / "file" / "acme-one.json")


def test_a_name_no_file_can_have(tmp_path):
    assert "no file name can have" in refusal(f"{tmp_path}/a\0b.json")
    assert "too long" in refusal(f"{tmp_path}/{'a' * 300}.json")
    line = refusal(f"{tmp_path}/two\nlines\x1b[31m.json")
    assert "there is no such file" in line


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "acme-one.json"
    with path.open("wb") as stream:
        stream.truncate(2**40 if sys.platform == "linux" else 2**30)  # sparse: it takes no space
    assert "is it the right file?" in refusal(path)


def test_the_largest_file_is_read(tmp_path):
    text = json.dumps(sound())
    path = tmp_path / "acme-one.json"
    path.write_text(text + " " * (SIZE_LIMIT - len(text)))
    assert profiles.load(path).name == "acme-one"
    path.write_text(text + " " * (SIZE_LIMIT - len(text) + 1))
    assert f"it has {SIZE_LIMIT + 1} bytes" in refusal(path)


@POSIX
def test_a_pipe_does_not_hang(tmp_path):
    path = tmp_path / "acme-one.json"
    os.mkfifo(path)
    assert _within_seconds(lambda: refusal(path)).endswith("it is a pipe or a device, not a file")


@POSIX
def test_a_pipe_that_is_written_to_does_not_hang(tmp_path):
    path = tmp_path / "acme-one.json"
    os.mkfifo(path)
    handle = os.open(path, os.O_RDWR)
    try:
        assert "a pipe or a device" in _within_seconds(lambda: refusal(path))
    finally:
        os.close(handle)


@POSIX
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty"])
def test_a_device_is_not_read(tmp_path, device):
    (tmp_path / "acme-one.json").symlink_to(device)
    line = _within_seconds(lambda: refusal(tmp_path / "acme-one.json"))
    assert "a pipe or a device" in line or "cannot be read" in line


@POSIX
def test_a_socket_is_not_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("acme-one.json")
        assert "cannot be read" in refusal("acme-one.json")


@POSIX
def test_a_link_to_itself(tmp_path):
    path = tmp_path / "acme-one.json"
    path.symlink_to(path)
    assert "a symbolic link that leads to itself" in refusal(path)


@POSIX
def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = write(tmp_path, sound())
    path.chmod(0)
    if os.geteuid() == 0:  # root reads everything, so the system's answer is given for it
        monkeypatch.setattr(os, "open", _denied)
    assert "it may not be read; check its permissions" in refusal(path)


def _denied(*arguments: object, **options: object) -> int:
    raise PermissionError(13, "Permission denied")


def _within_seconds(action):
    """The action's result, or a failure when it takes longer than ten seconds."""
    results = []
    thread = threading.Thread(target=lambda: results.append(action()), daemon=True)
    thread.start()
    thread.join(10)
    assert results, "reading hangs"
    return results[0]


def test_a_file_that_says_it_has_no_bytes_is_read_all_the_same():
    path = Path("/proc/sys/kernel/pid_max")
    if not path.exists():
        pytest.skip("no /proc")
    assert path.stat().st_size == 0
    assert read_json(path) == int(path.read_text())


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_value_or_one_line(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    line = ""
    try:
        read_json(path)
    except ProfileError as error:
        line = str(error)
    assert line.isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(JSON)
def test_any_json_is_read_as_it_was_written(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "value.json"
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    assert read_json(path) == value
    path.write_text(json.dumps(value), encoding="utf-8")
    assert read_json(path) == value

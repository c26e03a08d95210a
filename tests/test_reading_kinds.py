"""What a file holds is told from its first bytes: what is read, and what is refused by its name and remedy."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sizer.base.errors import DataError, UsageError
from sizer.size_search.data import file_kinds
from sizer.size_search.data.file_kinds import read_table

KNOWN = "a CSV or TSV file (also gzipped), Parquet, NPZ, ARFF or LIBSVM"


def zipped(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return stream.getvalue()


def npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x=np.array([[1.0], [2.0]]), y=np.array([3.0, 4.0]))
    return stream.getvalue()


ARFF = b"@relation r\n@attribute a numeric\n@attribute b numeric\n@data\n1,2\n3,4\n"
#: The name and the bytes of a file, and the first cell of its first column.
READ = {
    "text": ("a.csv", b"a,b\n1,2\n3,4\n", 1),
    "text of any name": ("a.x", b"a,b\n1,2\n3,4\n", 1),
    "an ending in capitals": ("A.CSV", b"a,b\n1,2\n3,4\n", 1),
    "gzipped text": ("a.csv.gz", gzip.compress(b"a,b\n1,2\n3,4\n"), 1),
    "NPZ": ("a.npz", npz(), 1.0),
    "ARFF": ("a.arff", ARFF, 1),
    "ARFF with a note above": ("a.arff", b"\xef\xbb\xbf% note\n\n" + ARFF.replace(b"@relation", b" @RELATION"), 1),
    "a column that is called as ARFF begins": ("a.csv", b"@relations,b\n1,2\n3,4\n", 1),
    "pairs that are no LIBSVM": ("a.csv", b"a,b\n1 1:2,x\n", "1 1:2"),
    "brackets within": ("a.csv", b"a,b\n[1],{2}\n[3],{4}\n", "[1]"),
}


@pytest.mark.parametrize("kind", READ)
def test_a_file_is_read_by_its_content(tmp_path, kind):
    name, content, first = READ[kind]
    (tmp_path / name).write_bytes(content)
    assert read_table(tmp_path / name).frame.iloc[0, 0] == first


@pytest.mark.parametrize(
    ("name", "content", "what", "ending"),
    [
        ("a.csv", gzip.compress(b"a,b\n"), "gzipped text", ".csv.gz"),
        ("a.csv.gz", b"a,b\n1,2\n", "text", ".csv"),
        ("a.csv", ARFF, "ARFF", ".arff"),
        ("a.csv", b"1 1:2 3:4\n0 1:3\n", "LIBSVM", ".libsvm"),
        ("a.csv", b"+1 qid:3 1:2\n-1 qid:3 1:3\n", "LIBSVM", ".libsvm"),
        ("a.csv", b"# note\n1.5e3 1:2.5e-3 # note\r\n0 1:3\r\n", "LIBSVM", ".libsvm"),
        ("a.csv", b"1,2 1:2", "LIBSVM", ".libsvm"),
        ("a.parquet", npz(), "NPZ", ".npz"),
        ("a.npz", b"PAR1", "Parquet", ".parquet"),
    ],
)
def test_a_file_that_is_named_otherwise_is_to_be_renamed(tmp_path, name, content, what, ending):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as refusal:
        read_table(tmp_path / name)
    assert str(refusal.value) == (
        f"{name} is {what} by its content, not what its name says; rename it to end in {ending}"
    )


WEB = "a web page or XML, not a table (a download that failed?); expected"
OTHER = "which is not read; convert it to"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b" \n ", "empty (3 bytes); expected"),
        (b"a\0\1,b", "no text and of no known format; expected"),
        (b"\x80\x04x", f"a pickle, {OTHER}"),
        (b"\xd0\xcf\x11\xe0x", f"an old Excel workbook, {OTHER}"),
        (b"SQLite format 3\0", f"an SQLite database, {OTHER}"),
        (zipped("a.csv", "b.npy"), f"a zip archive, {OTHER}"),
        (zipped("xl/workbook.xml", "a"), f"an Excel workbook, {OTHER}"),
        (zipped(), f"an empty zip archive, {OTHER}"),
        (b"\xef\xbb\xbf <!DOCTYPE html>", WEB),
        (b"\n<HTML><p>", WEB),
        (b"<?xml version", WEB),
        *((content, f"JSON, {OTHER}") for content in (b' {"a": 1}', b'["a"]', b'[{"a": 1}]', b"[[1, 2]]")),
    ],
)
def test_what_is_not_read_is_refused_by_what_it_is(tmp_path, content, what):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError) as refusal:
        read_table(tmp_path / "a.csv")
    assert str(refusal.value) == f"a.csv is {what} {KNOWN}"


def test_an_archive_that_is_damaged_is_said(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04x")
    with pytest.raises(DataError) as refusal:
        read_table(tmp_path / "a.npz")
    assert str(refusal.value) == "a.npz is a damaged or unfinished NPZ or zip file (File is not a zip file)"


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(UsageError) as refusal:
        read_table(tmp_path / "none.csv")
    assert str(refusal.value) == (
        f"there is no file {tmp_path / 'none.csv'}; expected {KNOWN}, sklearn:NAME or pmlb:NAME"
    )
    with pytest.raises(UsageError) as refusal:
        read_table(tmp_path)
    assert str(refusal.value) == f"{tmp_path} is a folder; expected {KNOWN}"
    for source, said in (
        ("sklearn:mnist", "there is no set sklearn:mnist; the bundled ones are breast_cancer, diabetes, digits, iris,"),
        (Path("sklearn:iris"), "there is no file sklearn:iris; "),
        ("other:iris", "there is no file other:iris; "),
    ):
        with pytest.raises(UsageError) as refusal:
            read_table(source)
        assert str(refusal.value).startswith(said)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "a.csv does not fit into the memory that is free; use a sample of its rows"),
        (OSError(5, "Input/output error"), "a.csv cannot be read (Input/output error); is it damaged or cut short?"),
        (EOFError("ended  early\n"), "a.csv cannot be read (ended early); is it damaged or cut short?"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_file_that_fails_while_it_is_read_is_one_line(tmp_path, monkeypatch, error, said):
    def fail(*_):
        raise error

    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    monkeypatch.setattr(file_kinds, "_read_text", fail)
    with pytest.raises(DataError) as refusal:
        read_table(tmp_path / "a.csv")
    assert str(refusal.value) == said


def test_a_set_of_pmlb_that_there_is_not_has_near_ones():
    assert file_kinds._nearest("irus", ["iris", "wine"]) == "; near it are iris"
    assert file_kinds._nearest("zzz", ["iris", "wine"]) == ""

"""What a file holds is told from its first bytes: what is read, and what is refused by its name and remedy."""

from __future__ import annotations

import gzip
import io
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sizer.base.errors import DataError, UsageError
from sizer.base.storage import cache_folder
from sizer.size_search.data import file_kinds
from sizer.size_search.data.file_kinds import read_table
from sizer.size_search.data.reading.rules import Reading, ReadingOptions

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


def test_parquet_is_read_with_its_text_as_that_of_other_files(tmp_path):
    pd.DataFrame({"a": ["1.234,5", "2,25"], "b": [1, 2]}).to_parquet(tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").frame["a"].tolist() == [1234.5, 2.25]


def test_libsvm_is_read(tmp_path):
    pytest.importorskip("sklearn")
    (tmp_path / "a.libsvm").write_bytes(b"1 1:2.5\n0 1:3\n")
    assert read_table(tmp_path / "a.libsvm").frame["x_1"].tolist() == [2.5, 3.0]


@pytest.mark.parametrize("kind", ["text", "gzipped text", "NPZ", "ARFF", "Parquet"])
def test_what_means_missing_is_told_for_every_kind(tmp_path, kind):
    name, content, _ = READ.get(kind, ("a.parquet", b"", 1))
    (tmp_path / name).write_bytes(content)
    if kind == "Parquet":
        pd.DataFrame({"a": [1, 3], "b": [2, 4]}).to_parquet(tmp_path / name)
    frame = read_table(tmp_path / name, Reading(ReadingOptions(missing=("1",)))).frame
    assert frame.iloc[:, 0].isna().tolist() == [True, False]


def test_a_category_of_an_arff_file_may_mean_missing(tmp_path):
    (tmp_path / "a.arff").write_bytes(ARFF.replace(b"a numeric", b"a {1,3,none}"))
    reading = Reading(ReadingOptions(missing=("3",)))
    assert read_table(tmp_path / "a.arff", reading).frame["a"].tolist()[0] == "1"
    assert pd.isna(read_table(tmp_path / "a.arff", reading).frame["a"][1])


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


# Sets that are no files


def test_a_set_of_scikit_learn_knows_its_targets_and_its_kind():
    pytest.importorskip("sklearn")
    iris, linnerud = read_table("sklearn:iris"), read_table("sklearn:linnerud")
    assert (iris.name, iris.targets, iris.kind) == ("sklearn:iris", ("target",), "classification")
    assert (linnerud.name, len(linnerud.targets), linnerud.kind) == ("sklearn:linnerud", 3, "regression")
    assert len(iris.frame) == 150


@pytest.fixture
def pmlb(monkeypatch):
    """PMLB's package, with two sets and a network that a test may cut."""

    def fetch_data(name, local_cache_dir, dropna):
        assert (Path(local_cache_dir), dropna) == (cache_folder() / "pmlb", False)
        if fake.error is not None:
            raise fake.error
        return pd.DataFrame({"x": [1, 2], "target": [name, name]})

    names = ["iris", "1027_ESL", "1028_ESL", "1029_ESL", "1030_ESL"]
    fake = SimpleNamespace(
        dataset_names=names, classification_dataset_names=names[:1], fetch_data=fetch_data, error=None
    )
    monkeypatch.setitem(sys.modules, "pmlb", fake)
    return fake


@pytest.mark.parametrize(("name", "kind"), [("iris", "classification"), ("1027_ESL", "regression")])
def test_a_set_of_pmlb_is_fetched_into_the_cache(pmlb, name, kind):
    table = read_table(f"pmlb:{name}")
    assert (table.name, table.targets, table.kind) == (f"pmlb:{name}", ("target",), kind)
    assert table.frame["target"].tolist() == [name, name]


@pytest.mark.parametrize(
    ("name", "near"),
    [("irus", "; near it are iris"), ("102_ESL", "; near it are 1029_ESL, 1028_ESL, 1027_ESL"), ("zzz", "")],
)
def test_a_set_that_pmlb_does_not_have_is_refused_with_what_is_near(pmlb, name, near):
    with pytest.raises(UsageError) as refusal:
        read_table(f"pmlb:{name}")
    assert str(refusal.value) == f"PMLB has no set {name!r}{near}; pmlb.dataset_names lists them"


@pytest.mark.parametrize("error", [ConnectionError("no route"), ValueError("no set"), EOFError()], ids=repr)
def test_a_set_that_cannot_be_fetched_says_where_to_put_it(pmlb, error):
    pmlb.error = error
    with pytest.raises(DataError) as refusal:
        read_table("pmlb:iris")
    assert str(refusal.value) == (
        f"pmlb:iris could not be fetched ({type(error).__name__}): PMLB comes over the network, which seems to be "
        f"absent; fetch it where there is one and copy {cache_folder() / 'pmlb' / 'iris'}, or name a file"
    )


@pytest.mark.parametrize(
    ("source", "module", "package", "extra"),
    [("sklearn:iris", "sklearn.datasets", "scikit-learn", "data"), ("pmlb:iris", "pmlb", "pmlb", "pmlb")],
)
def test_a_package_that_is_not_installed_is_named(monkeypatch, source, module, package, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError) as refusal:
        read_table(source)
    assert str(refusal.value) == (
        f"{source} needs {package}, which is not installed; install cache-sizer[{extra}] or name a file"
    )

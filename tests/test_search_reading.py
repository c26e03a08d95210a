"""Reading data: every format, whatever its dialect; what is no data is refused in one line."""

from __future__ import annotations

import contextlib
import gzip
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sizer.base.errors import DataError, SizerError, UsageError
from sizer.size_search.data import memory
from sizer.size_search.data.file_kinds import read_table
from sizer.size_search.data.reading import cells
from sizer.size_search.data.sources import table_of

random = np.random.default_rng(3)
FRAME = pd.DataFrame(
    {
        "age": random.integers(18, 90, 60),
        "income": np.where(np.arange(60) % 7 == 0, np.nan, random.normal(size=60)),
        "city": random.choice(["Bern", "Genoa, IT", "Köln"], 60),
        "y": random.normal(size=60),
    }
)
WRITERS = {
    "a.csv": lambda path: FRAME.to_csv(path, index=False),
    "a.tsv": lambda path: FRAME.to_csv(path, sep="\t", index=False),
    "a.csv.gz": lambda path: FRAME.to_csv(path, index=False),
    "semicolons.csv": lambda path: FRAME.to_csv(path, sep=";", decimal=",", index=False),
    "pipes.txt": lambda path: FRAME.to_csv(path, sep="|", index=False),
    "utf16.csv": lambda path: FRAME.to_csv(path, index=False, encoding="utf-16"),
    "bom.csv": lambda path: FRAME.to_csv(path, index=False, encoding="utf-8-sig"),
    "question.csv": lambda path: FRAME.to_csv(path, index=False, na_rep="?"),
    "a.parquet": lambda path: FRAME.to_parquet(path),
    "no-ending": lambda path: FRAME.to_csv(path, index=False),
}


@pytest.mark.parametrize("name", WRITERS)
def test_formats_and_dialects_give_the_same_table(tmp_path, name):
    WRITERS[name](tmp_path / name)
    table = read_table(tmp_path / name)
    pd.testing.assert_frame_equal(table.frame, FRAME, check_dtype=False)
    said = ["'income', 'y'"] if name == "semicolons.csv" else []  # (decimal commas, with a cell as an example)
    assert [remark.partition(":")[0] for remark in table.remarks] == said


def test_a_file_without_names_gets_some_and_says_so(tmp_path):
    FRAME.to_csv(tmp_path / "a.data", index=False, header=False)
    table = read_table(tmp_path / "a.data")
    assert list(table.frame.columns) == ["column_1", "column_2", "column_3", "column_4"]
    assert len(table.frame) == 60
    assert "column_1 to column_4" in table.remarks[0]
    (tmp_path / "white.txt").write_text("1  2 3\n4 5   6\n", encoding="utf-8")
    assert read_table(tmp_path / "white.txt").frame.to_numpy().tolist() == [[1, 2, 3], [4, 5, 6]]
    pd.DataFrame(np.ones((3, 4))).to_csv(tmp_path / "counted.csv", index=False)
    assert list(read_table(tmp_path / "counted.csv").frame.columns) == ["0", "1", "2", "3"]


def test_latin_1_is_read_with_a_remark(tmp_path):
    FRAME.to_csv(tmp_path / "a.csv", index=False, encoding="latin-1")
    table = read_table(tmp_path / "a.csv")
    assert "Köln" in set(table.frame["city"])
    assert "Latin-1" in table.remarks[0]


def test_npz_by_its_names(tmp_path):
    x, y = random.normal(size=(30, 2, 3)), random.integers(0, 3, 30)
    np.savez(tmp_path / "a.npz", x=x, y=y)
    table = read_table(tmp_path / "a.npz")
    assert table.targets == ("y",)
    assert np.array_equal(table.frame[[f"x_{i}" for i in range(6)]].to_numpy(), x.reshape(30, 6))
    np.savez(tmp_path / "b.npz", x_train=x, y_train=y, x_test=x[:5], y_test=y[:5])
    table = read_table(tmp_path / "b.npz")
    assert len(table.frame) == 30
    assert len(table.validation) == 5
    assert list(table.frame.columns) == list(table.validation.columns)


class Explosive:
    def __reduce__(self):
        return (print, ("unpickled",))


BAD = {
    "empty.csv": (lambda path: path.write_bytes(b""), "is empty"),
    "blank.csv": (lambda path: path.write_bytes(b"\n \n"), "is empty"),
    "parquet.csv": (lambda path: FRAME.to_parquet(path), "is Parquet by its content"),
    "text.parquet": (lambda path: path.write_text("a,b\n1,2\n"), "is text by its content"),
    "gz.csv": (lambda path: path.write_bytes(gzip.compress(b"a,b\n1,2\n")), "rename it to end in .csv.gz"),
    "binary.csv": (lambda path: path.write_bytes(bytes(range(256))), "is no text"),
    "page.csv": (lambda path: path.write_text("<!DOCTYPE html><html>"), "web page"),
    "json.csv": (lambda path: path.write_text('{"a": 1}'), "is JSON"),
    "ragged.csv": (lambda path: path.write_text("a,b\n1,2\n1,2,3\n"), "is no table"),
    "pickle.npz": (lambda path: path.write_bytes(pickle.dumps(Explosive())), "a pickle"),
    "short.parquet": (lambda path: path.write_bytes(b"PAR1" + b"x" * 99), "damaged Parquet"),
    "short.npz": (lambda path: path.write_bytes(b"PK\x03\x04" + b"x" * 99), "damaged or unfinished"),
    "short.csv.gz": (
        lambda path: path.write_bytes(gzip.compress(FRAME.to_csv().encode())[:300]),
        "cannot be read",
    ),
    "parquet.csv.gz": (lambda path: path.write_bytes(gzip.compress(b"PAR1\0\0\0" * 9)), "something else than text"),
    "objects.npz": (lambda path: np.savez(path, x=np.array([Explosive()], object), y=np.zeros(1)), "a pickle"),
    "lengths.npz": (lambda path: np.savez(path, x=np.zeros((4, 2)), y=np.zeros(3)), "different lengths"),
    "scalar.npz": (lambda path: np.savez(path, x=np.zeros(()), y=np.zeros(())), "different lengths, or none"),
    "complex.npz": (lambda path: np.savez(path, x=np.zeros(3, complex), y=np.zeros(3)), "expected numbers or text"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_data_gets_one_line(tmp_path, name, capsys):
    write, said = BAD[name]
    write(tmp_path / name)
    with pytest.raises(DataError, match=said) as raised:
        read_table(tmp_path / name)
    assert "\n" not in str(raised.value)
    assert "unpickled" not in capsys.readouterr().out


def test_names_that_are_not_there(tmp_path):
    for source in ("nothing.csv", str(tmp_path), "sklearn:mnist"):
        with pytest.raises(UsageError):
            read_table(source)


def test_more_than_the_memory_says_both_numbers(tmp_path, monkeypatch):
    for name in ("a.csv", "a.parquet", "a.csv.gz"):
        WRITERS[name](tmp_path / name)
    np.savez(tmp_path / "a.npz", x=np.zeros((500, 10)), y=np.zeros(500))
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(DataError, match=r"needs about [\d.]+ .*iB of memory and 1000 B are free"):
            read_table(path)


def test_a_gzip_file_that_hides_its_size_is_stopped(tmp_path, monkeypatch):
    content = gzip.compress(b"a,b\n" + b"1,2\n" * 300_000)
    (tmp_path / "a.csv.gz").write_bytes(content[:-4] + b"\0\0\0\0")
    monkeypatch.setattr(cells, "available_bytes", lambda: 1_000_000)
    with pytest.raises(DataError, match="unpacks to more than"):
        read_table(tmp_path / "a.csv.gz")


def test_sklearns_sets_know_their_targets():
    pytest.importorskip("sklearn")
    digits = read_table("sklearn:digits")
    assert digits.frame.shape == (1797, 65)
    assert (digits.targets, digits.kind) == (("target",), "classification")
    assert read_table("sklearn:linnerud").targets == ("Weight", "Waist", "Pulse")


def test_a_package_that_is_absent_is_named(monkeypatch):
    def refuse(name, *arguments, **options):
        if name.partition(".")[0] in ("sklearn", "pmlb"):
            raise ImportError(name)
        return original(name, *arguments, **options)

    import importlib

    original = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(DataError, match=r"cache-sizer\[data\]"):
        read_table("sklearn:digits")
    with pytest.raises(DataError, match=r"cache-sizer\[pmlb\]"):
        read_table("pmlb:iris")


def test_pmlb_from_its_cache_and_without_a_network(tmp_path, monkeypatch):
    pmlb = pytest.importorskip("pmlb")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def absent(*arguments, **options):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(pmlb.pmlb.requests, "get", absent)
    with pytest.raises(DataError, match="network"):
        read_table("pmlb:iris")
    with pytest.raises(UsageError, match="iris"):
        read_table("pmlb:irus")
    with pytest.raises(UsageError):
        read_table("pmlb:../../etc/passwd")
    folder = tmp_path / "sizer" / "pmlb" / "iris"
    folder.mkdir(parents=True)
    FRAME.rename(columns={"y": "target"}).to_csv(folder / "iris.tsv.gz", sep="\t", index=False)
    table = read_table("pmlb:iris")
    assert (table.targets, table.kind, len(table.frame)) == (("target",), "classification", 60)


def test_python_data_of_every_kind_is_the_same_table():
    x, y = random.normal(size=(40, 3)), random.integers(0, 3, 40)
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    plain = [dataset[index] for index in range(40)]
    for data in ((x, y), (torch.from_numpy(x), torch.from_numpy(y)), (x, np.eye(3)[y]), dataset, plain):
        table = table_of(data)
        assert np.allclose(table.frame[["x_0", "x_1", "x_2"]].to_numpy(), x)
        assert table.frame["target"].tolist() == y.tolist()
        assert table.targets == ("target",)
    named = table_of((FRAME[["age"]], FRAME["y"]))
    assert (list(named.frame.columns), named.targets) == (["age", "y"], ("y",))
    assert table_of(dataset).kind == "classification"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (3, "int"),
        ((np.zeros((3, 2)), np.zeros(4)), "3 rows and y has 4"),
        (([[1, 2], [3]], [1, 2]), "different lengths"),
        ([1, 2, 3], "no pair"),
        ([], "empty"),
        ([("text", 1)] * 3, "not numbers"),
        (pd.DataFrame(np.zeros((2, 2)), columns=["a", "a"]), "two columns"),
        ((x for x in ()), "map-style"),
    ],
)
def test_python_data_that_is_none(data, said):
    with pytest.raises(SizerError, match=said):
        table_of(data)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_bring_a_traceback(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("bytes")
    try:
        for name in ("a.csv", "a.csv.gz", "a.parquet", "a.npz", "a"):
            (folder / name).write_bytes(content)
            with contextlib.suppress(SizerError):
                read_table(folder / name)
    finally:
        shutil.rmtree(folder)

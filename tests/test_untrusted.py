"""Files of somebody else's: what they may not do to who reads them. One test for each way."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import pickle
import random
import re
import tarfile
import tempfile
import time
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sizer.base.errors import DataError, SizerError
from sizer.calibration.measurements import timing_of
from sizer.cli import run
from sizer.inspection.loading import load_target
from sizer.size_search.data.file_kinds import read_file
from sizer.size_search.data.reading.cells import _with_names
from sizer.size_search.data.reading.rules import Reading
from sizer.size_search.saved_network import load

SAVED = Path(__file__).parent / "data" / "before_the_move" / "search" / "model.pt2"
MIB = 2**20


def repacked(path: Path, change=lambda name, content: content, more=()) -> Path:
    """The saved network of an earlier release with its members changed, and more beside them."""
    with zipfile.ZipFile(SAVED) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, change(name, source.read(name)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # (two of one name)
            for name, content in more:
                target.writestr(name, content)
    return path


def in_program(change):
    """A change of the program alone."""
    return lambda name, content: change(content.decode()).encode() if name.endswith("models/model.json") else content


def in_config(change):
    return lambda name, content: change(content.decode()).encode() if name.endswith("_config.json") else content


# Exported programs


def test_a_saved_network_is_loaded_as_ever():
    assert load(SAVED).topology.widths
    assert load_target(str(SAVED), ())


def with_node(target: str, **argument) -> object:
    def changed(text: str) -> str:
        program = json.loads(text)
        nodes = program["graph_module"]["graph"]["nodes"]
        given = [{"name": "command", "arg": argument or {"as_string": "x"}, "kind": 1}]
        nodes.insert(0, {**nodes[0], "target": target, "inputs": given})
        return json.dumps(program)

    return in_program(changed)


def sized(expression: str) -> object:
    return in_program(lambda text: re.sub(r"\"Symbol\('s\d+'[^\"]*\)\"", json.dumps(expression), text, count=1))


EVIL = {
    "a call of the system": with_node("torch.os.system"),
    "a call of torch's": with_node("torch.hub.load"),
    "a call of an operator module": with_node("_operator.methodcaller"),
    "a program as an argument": with_node("torch.ops.aten.relu.default", as_graph={"name": "g"}),
    "an operator as an argument": with_node("torch.ops.aten.relu.default", as_operator="torch.os.system"),
    "an operator that maps a file": with_node("torch.ops.aten.from_file.default", as_string="/etc/passwd"),
    "code for a size": sized("__import__('os').system('touch ran')"),
    "an attribute for a size": sized("().__class__"),
    "a power for a size": sized("9**9**9**9"),
    "guards": in_program(lambda text: text.replace('"guards_code": []', '"guards_code": ["print(1)"]')),
    "a pickled weight": in_config(lambda text: text.replace('"use_pickle": false', '"use_pickle": true')),
    "an object that is unpickled whatever is said": in_config(
        lambda text: text.replace('"config": {}', '"config": {"a": {"path_name": "opaque_obj_0", "use_pickle": false}}')
    ),
    "a list of weights that is none": in_config(lambda text: "[]"),
}


@pytest.mark.parametrize("what", EVIL)
def test_a_program_that_is_more_than_arithmetic_is_not_loaded(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    path = repacked(tmp_path / "evil.pt2", EVIL[what])
    assert path.read_bytes() != repacked(tmp_path / "same.pt2").read_bytes(), "the change found its place"
    with pytest.raises(SizerError, match="compiled code or pickled objects, which are not loaded"):
        load(path)
    assert not (tmp_path / "ran").exists()


def test_what_torch_reads_is_what_was_checked(tmp_path):
    """Readers of archives differ in which of two files of one name they take."""
    other = repacked(tmp_path / "two.pt2", more=[("archive/models/model.json", "{}")])
    with pytest.raises(SizerError, match="files of the same name"):
        load(other)


@pytest.mark.parametrize("member", ["archive/data/weights/weight_0", "archive/extra/sizer.json", "archive/other"])
def test_an_archive_that_unpacks_to_far_more_is_refused_unread(tmp_path, member):
    bomb = repacked(tmp_path / "bomb.pt2", more=[(member, bytes(64 * MIB))])
    began = time.perf_counter()
    for read in (load, lambda path: load_target(str(path), ())):
        with pytest.raises(SizerError, match="unpack to"):
            read(bomb)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("damage", ["byte", "cut", "password", "method", "no list", "deep"])
def test_a_damaged_archive_is_one_line(tmp_path, capsys, damage):
    path = tmp_path / "damaged.pt2"
    changes = {
        "no list": in_config(lambda text: '{"config": [1]}'),
        "deep": in_program(lambda text: "[" * 100_000),
    }
    content = bytearray(repacked(path, changes.get(damage, lambda name, content: content)).read_bytes())
    entries = [found.start() for found in re.finditer(b"PK\x01\x02", content)]
    if damage == "byte":
        content[len(content) // 3] ^= 0xFF
    elif damage == "cut":
        content = content[:-100]
    for entry in entries if damage in ("password", "method") else ():
        content[entry + (8 if damage == "password" else 10)] |= 0x01
    path.write_bytes(content)
    for arguments in (["predict", str(path), str(SAVED.parent / "small.csv")], ["inspect", str(path)]):
        code, said = run(arguments), capsys.readouterr().err
        assert code in (0, 1, 2)
        assert code == 0 or said.count("\n") == 1, said


def _npz(path):
    np.savez_compressed(path, x=np.random.default_rng(0).normal(size=(60, 4)), y=np.zeros(60))


def _parquet(path):
    pd.DataFrame({name: range(60) for name in "abcd"}).to_parquet(path)


def _rows() -> str:
    return pd.DataFrame(np.random.default_rng(0).normal(size=(60, 4)), columns=list("abcd")).to_csv(index=False)


def _zipped(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.csv", "timestamp,node,watts\n" + "2020-01-01T00:00:00.0Z,n1,5\n" * 9 + f"# {_rows()}")


def _tarred(path):
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("s/a.txt")
        member.size = 3000
        archive.addfile(member, io.BytesIO(np.random.default_rng(0).bytes(3000)))


def _search_table(path):
    from sizer.size_search.data.file_kinds import read_table

    read_table(path)


def _study_table(path):
    from sizer.study.files.schema import read_table

    read_table(path, pd.read_csv)


def _fetched(path):
    from sizer.study.files.fetch import _check_archive

    _check_archive(path)


def _powers(path):
    from sizer.study.files.power_logs import _read_all

    _read_all(path, None, lambda *told: None)


def _unpacked(path):
    from sizer.study.files.fetch import unpack

    with tempfile.TemporaryDirectory() as folder:
        unpack(path, Path(folder) / "out")


DAMAGED = {
    "data.npz": (_npz, _search_table),
    "data.parquet": (_parquet, _search_table),
    "data.csv.gz": (lambda path: path.write_bytes(gzip.compress(_rows().encode())), _search_table),
    "runs.zip": (_zipped, _study_table),
    "fetched.zip": (_zipped, _fetched),
    "power.zip": (_zipped, _powers),
    "summary.tar.gz": (_tarred, _unpacked),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_flipped_bits_of_compressed_files_are_read_or_refused_in_one_line(tmp_path, name):
    """Most of them ended in zlib.error, KeyError or NotImplementedError."""
    make, read = DAMAGED[name]
    make(tmp_path / name)
    whole, draw, refused = (tmp_path / name).read_bytes(), random.Random(3), list[str]()  # noqa: S311
    for number in range(60):
        content = bytearray(whole)
        if number % 4:
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        else:
            del content[draw.randrange(len(content)) :]
        (tmp_path / name).write_bytes(content)
        try:
            read(tmp_path / name)
        except SizerError as refusal:
            refused.append(str(refusal))
    assert len(refused) > 10
    assert not [text for text in refused if "\n" in text]


# Tables


def test_an_npz_that_unpacks_to_more_than_fits_is_refused_unread(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("x", "y"):
            with archive.open(f"{name}.npy", "w") as stream:
                header = io.BytesIO()
                np.lib.format.write_array_header_1_0(
                    header, {"descr": "<f8", "fortran_order": False, "shape": (10**15,)}
                )
                stream.write(header.getvalue() + bytes(MIB))
    assert run(["search", str(tmp_path / "bomb.npz"), "--target", "y", "--r2", "0.5"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "memory" in said


def test_a_gzip_bomb_ends_where_memory_does(tmp_path, capsys, monkeypatch):
    """Its end says that it is small, as that of a bomb may."""
    from sizer.size_search.data.reading import cells

    rows = b"a,b,c\n" + b"1,2,3\n" * 300_000
    content = gzip.compress(rows)[:-4] + (100).to_bytes(4, "little")
    (tmp_path / "bomb.csv.gz").write_bytes(content)
    monkeypatch.setattr(cells, "available_bytes", lambda: 8 * MIB)
    assert run(["search", str(tmp_path / "bomb.csv.gz"), "--target", "c", "--r2", "0.5"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "unpacks to more than" in said or "bomb.csv.gz" in said


@pytest.mark.parametrize(
    "content",
    [
        b"x," * (2 * MIB),
        b"x" * (2 * MIB),
        b",".join(b"c%d" % n for n in range(1_000_000)) + b"\n" + b",".join([b"1"] * 1_000_000) + b"\n",
        b" " * 60_000 + b"x",
        b"\n" * 60_000 + b"x",
        b"-" * 200_000 + b"x\n1,2\n3,4\n",
        b"a,b\n" + b" " * 100_000 + b"'\n1,2\n",
        b"a,b\n" + b"1" * 120_000 + b",2\n3,4\n5,6\n",
        b"a,b\n" + b"1," * 400_000 + b"\n",
    ],
    ids=[
        *("cells in one line", "one cell", "a million columns", "spaces", "lines", "a rule", "a quote", "digits"),
        "a long row",
    ],
)
def test_a_table_that_is_none_takes_no_time(tmp_path, capsys, content):
    path = tmp_path / "odd.csv"
    path.write_bytes(content)
    began = time.process_time()
    assert run(["search", str(path), "--target", "b", "--r2", "0.5"]) in (1, 2)
    assert time.process_time() - began < 20, "not longer than its bytes make it"
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert len(said) < 1000


def test_a_text_that_begins_with_blanks_is_a_table_all_the_same(tmp_path):
    """Looking for the first line of an ARFF file once took twice as long for each blank."""
    from sizer.size_search.data.file_kinds import read_table

    path = tmp_path / "table.csv"
    path.write_bytes(b"\n" * 500 + b" " * 500 + b"\na,b\n" + b"1,2\n" * 30)
    assert list(read_table(path).frame.columns) == ["a", "b"]
    (tmp_path / "table.arff").write_text("% a\n\n%b\n @RELATION r\n@attribute a real\n@data\n" + "1\n" * 30)
    assert list(read_table(tmp_path / "table.arff").frame.columns) == ["a"]


@pytest.mark.parametrize(
    "header",
    ["{'descr': '<f8', 'shape': (3", "{'descr': ('f8', [3]), 'fortran_order': 0, 'shape': (1,)}", "((((", "\0"],
)
def test_a_damaged_header_of_an_array_is_refused_in_one_line(tmp_path, header):
    text = header.ljust(117).encode() + b"\n"
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + b"\0" * 24)
    with pytest.raises(DataError, match=r"x in data\.npz holds something damaged") as error:
        read_file(tmp_path / "data.npz", Reading())
    assert "\n" not in str(error.value)


def test_texts_of_an_npz_that_are_no_ascii_are_refused(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.array([b"\xff"] * 3), y=np.zeros(3))
    with pytest.raises(DataError, match=r"x in data\.npz holds something damaged"):
        read_file(tmp_path / "data.npz", Reading())


def test_objects_in_a_parquet_file_and_an_npz_are_not_made(tmp_path, capsys):
    class Explosive:
        def __reduce__(self):
            return (print, ("unpickled",))

    (tmp_path / "data.csv").write_bytes(pickle.dumps(Explosive()))
    np.savez(tmp_path / "data.npz", x=np.array([Explosive()], object), y=np.zeros(1))
    for name in ("data.csv", "data.npz"):
        assert run(["search", str(tmp_path / name), "--target", "y", "--r2", "0.5"]) == 1
    out = capsys.readouterr()
    assert "unpickled" not in out.out
    assert out.err.count("a pickle") == 2


# Names


HOSTILE = "a\x1b[31mb\u202ec\x9b2J"
SHOWN = "a\\u001b[31mb\\u202ec\\u009b2J"


def test_names_of_columns_are_shown_as_they_are_in_refusals_and_remarks(tmp_path, capsys):
    path = tmp_path / "data.csv"
    path.write_text(f"{HOSTILE},y\n" + "".join(f"{n},{n % 7}\n" for n in range(40)), encoding="utf-8")
    assert run(["search", str(path), "--target", "z", "--r2", "0.5"]) == 2
    said = capsys.readouterr().err
    assert SHOWN in said
    assert run(
        ["search", str(path), "--target", HOSTILE, "--loss", "0.6", "--max-epochs", "2", "--widths", "8", "--quiet"]
    ) in (0, 1)
    both = "".join(capsys.readouterr())
    assert not set(both) & set("\x1b\u202e\x9b")


def test_titles_of_profiles_and_records_of_others_steer_no_terminal(tmp_path, capsys):
    record = json.loads((Path(__file__).parent / "data" / "records" / "machine.json").read_text())
    record["devices"][0]["name"] = HOSTILE
    (tmp_path / "machine.json").write_text(json.dumps(record))
    assert run(["report", str(tmp_path / "machine.json"), "--html", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not set(page) & set("\x1b\u202e\x9b")
    from sizer.base.records import rebuild
    from sizer.method.hardware import Machine

    shown = str(rebuild(Machine, record))
    assert SHOWN in shown
    assert not set(shown) & set("\x1b\u202e\x9b")
    capsys.readouterr()


@pytest.mark.parametrize("term", ["traffix.L1", "traffic", "pass.L1", ""])
def test_a_comparison_with_a_term_that_is_none_is_refused_in_one_line(tmp_path, term):
    """It ended `sizer report` in a ValueError."""
    from sizer.base.errors import DataError
    from sizer.report.pages.saved import read_entry

    record = json.loads((Path(__file__).parent / "data" / "records" / "comparison.json").read_text())
    record["machines"][0]["coefficients"]["terms"][term] = 1.0
    (tmp_path / "comparison.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match="that can be shown"):
        read_entry(tmp_path / "comparison.json")


def test_what_a_warning_of_the_hook_quotes_is_shown_as_it_is(capsys):
    from sizer.hook.watching import warn
    from sizer.report.hook import wrapped

    warn(f"module {HOSTILE}")
    assert SHOWN in capsys.readouterr().err
    assert SHOWN in "".join(wrapped(HOSTILE))


def test_columns_of_a_log_are_listed_short(tmp_path):
    """A log of a thousand columns without the one that was named was refused in tens of thousands of letters."""
    from sizer.meters.wattmeter_csv import LogFormat, read_power_log

    path = tmp_path / "log.csv"
    names = ["time", "watts", *(f"{'x' * 60}{number}" for number in range(1000))]
    path.write_text(f"{','.join(names)}\n" + ",".join(["2026-01-01T00:00:00Z", *["1"] * 1001]) + "\n")
    with pytest.raises(SizerError, match="the columns of") as refusal:
        read_power_log(path, LogFormat(watts_column="power"))
    assert len(str(refusal.value)) < 1000


# Folders that are written


def test_a_file_is_written_in_the_place_of_a_link_and_not_through_it(tmp_path, capsys):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "page.html").symlink_to(tmp_path / "mine")
    from sizer.base.storage import write_whole

    write_whole(tmp_path / "page.html", "page")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "page.html").read_text() == "page"


@pytest.mark.parametrize("link", ["log.jsonl", "lock", "trials"])
def test_a_search_does_not_write_through_links_in_its_folder(tmp_path, link):
    from sizer.size_search.log import SearchFolder

    target = tmp_path / "mine"
    target.mkdir() if link == "trials" else target.write_text("mine")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / link).symlink_to(target)
    with pytest.raises(SizerError, match="is a symbolic link"), SearchFolder(folder).held():
        pass
    assert target.is_dir() or target.read_text() == "mine"


@pytest.mark.parametrize("link", ["own_study.jsonl", "lock"])
def test_a_study_does_not_write_through_links_in_its_folder(tmp_path, link):
    """With --fresh it emptied the file that a link named."""
    from sizer.study.own_runs.log import RunLog

    (tmp_path / "mine").write_text("mine")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / link).symlink_to(tmp_path / "mine")
    with pytest.raises(SizerError, match="is a symbolic link"):
        RunLog(folder)
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("elsewhere", ["../../mine.pt", "/etc/000001.pt", "trials/../000001.pt", "trials/a/x.pt", 3])
def test_a_log_of_others_names_no_checkpoint_elsewhere(tmp_path, elsewhere):
    """A search removes the checkpoint that a new one replaces, and unpacks the one that it goes on from."""
    from sizer.size_search.log import LOG_FORMAT, SearchFolder

    size = {"name": "8", "widths": [8, 1], "epoch_cost": 1.0, "flops_per_epoch": 100, "anchor": None}
    header = {"format": LOG_FORMAT, "task": "", "settings": {}, "device": "cpu", "quantity": "time", "first": "8"}
    lines = [{**header, "candidates": [size]}]
    lines.append({"event": "slice", "trial": "8", "checkpoint": elsewhere, "epochs": []})
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    with pytest.raises(SizerError, match=r"or is damaged \((a checkpoint elsewhere|no slice of a trial): "):
        SearchFolder(tmp_path).read()


# Logs


BROKEN_LINES = ("[" * 100_000, '{"case": "0", "round": 0, "step_s": 1, "steps": 1}', '{"case": 0.5}', "{}", '{"a": 1')


@pytest.mark.parametrize("line", BROKEN_LINES)
def test_a_measurement_file_of_others_is_read_or_refused_in_one_line(tmp_path, capsys, line):
    case = {"shape": "rectangle", "input_dim": 4, "widths": [4, 1], "batch_size": 32}
    header = {"format": "sizer.measurements/1", "settings": {}, "plan": [case]}
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(header) + f"\n{line}\n")
    assert run(["calibrate", "--replay", str(path), "--quiet"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "change",
    [{"widths": "ab"}, {"widths": []}, {"widths": [0]}, {"batch_size": None}, {"form": "x"}, {"widths": [1e9]}],
)
def test_a_plan_of_networks_that_cannot_be_is_refused(tmp_path, change):
    from sizer.calibration.measurements import read_measurements

    case = {"shape": "rectangle", "input_dim": 4, "widths": [4, 1], "batch_size": 32}
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps({"format": "sizer.measurements/1", "settings": {}, "plan": [case | change]}) + "\n")
    with pytest.raises(SizerError, match="damaged"):
        read_measurements(path)


@pytest.mark.parametrize(
    "odd",
    [{"step_s": "x"}, {"step_s": -1.0}, {"steps": None}, {"reference_s": 3}, {"disturbed": "x"}, {"round": 1e9}, {}],
    ids=str,
)
def test_timings_of_a_family_that_are_none_are_left_out(tmp_path, odd):
    """One of them ended `sizer recommend` for a family in a TypeError, far from the file."""
    from sizer.calibration.measurements import Timing
    from sizer.families.kept import KeptTimings

    path = tmp_path / "kept.jsonl"
    kept = KeptTimings(path)
    kept.add("a", Timing(0, 0, 1e-3, 5, None))
    kept.close()
    line = json.loads(path.read_text()) | odd
    path.write_text("\n".join(json.dumps(each) for each in ([line] if odd else [line, line])) + "\n")
    assert len(KeptTimings(path).timings("a")) == (0 if odd else 2)


def test_a_folder_for_the_timings_of_a_family_that_cannot_be_made_is_one_line(tmp_path):
    from sizer.calibration.measurements import Timing
    from sizer.families.kept import KeptTimings

    (tmp_path / "file").touch()
    with pytest.raises(SizerError, match="cannot be used"):
        KeptTimings(tmp_path / "file" / "kept.jsonl").add("a", Timing(0, 0, 1e-3, 5, None))


@pytest.mark.parametrize(("number", "exit_code"), [(errno.ENOSPC, 1), (errno.EROFS, 2)])
def test_a_full_disk_is_no_wrong_usage(tmp_path, monkeypatch, number, exit_code):
    """It was: exit code 2 said that the command line was to be mended."""
    from sizer.size_search.log import SearchFolder

    def full(handle):
        raise OSError(number, "it does not fit")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SizerError, match="it does not fit") as refusal:
        SearchFolder(tmp_path).append({})
    assert refusal.value.exit_code == exit_code


def test_a_message_quotes_no_more_of_a_file_than_can_be_read():
    error = SizerError("a" * 5000 + "; name another")
    assert len(str(error)) <= 1200
    assert str(error).endswith("; name another")
    assert str(SizerError("short")) == "short"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["report", "\0"], "no command line can hold"), (["report", "\ud800"], "no command line can hold"),
     (["help", "--", "--"], "no such command ''")],
)  # fmt: skip
def test_what_no_shell_hands_over_is_refused_in_one_line(arguments, said, capsys):
    assert run(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_thousands_of_columns_of_one_name_are_counted_up_in_no_time():
    dialect, remarks = SimpleNamespace(names=["a"] * 30_000, delimiter=","), []
    began = time.process_time()
    cells = _with_names("same.csv", [pa.array(["1"])] * 30_000, np.array([2]), dialect, remarks)
    assert time.process_time() - began < 5  # (each counted up from 1: 450,000,000 names)
    assert cells.names[:3] == ("a", "a.1", "a.2")
    assert len(set(cells.names)) == 30_000


def test_a_whole_number_beyond_all_floats_is_infinite(tmp_path):
    (tmp_path / "large.csv").write_text("a,b\n" + "9" * 400 + ",1.5\n0.5,2\n")
    frame = read_file(tmp_path / "large.csv", Reading()).frame
    assert frame["a"].tolist() == [float("inf"), 0.5]


def test_times_that_no_clock_gives_are_no_timings():
    timing = {"case": 0, "round": 0, "steps": 3, "step_s": 1.0, "disturbed": 0.0}
    for odd in (0.0, -1.0, float("inf")):
        with pytest.raises(ValueError, match="no timing"):
            timing_of({**timing, "reference_s": {"near": [1e-3, odd]}})


def test_a_program_that_does_not_fit_its_preparation_is_refused_in_one_line():
    network = load(SAVED)
    with pytest.raises(DataError, match="does not take what its preparation makes"):
        network._of_encoded(np.zeros((2, 99)))

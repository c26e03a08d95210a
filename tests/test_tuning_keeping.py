"""Keeping a lever: the changed call of a script, as a diff; what a copy of a folder puts back; what is refused."""

from __future__ import annotations

import os

import pytest

from sizer.base.errors import UsageError
from sizer.tuning import refusals, working_copy
from sizer.tuning.keeping import with_arguments
from sizer.tuning.working_copy import WorkingCopy


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("adam = torch.optim.Adam(model.parameters())", "adam = torch.optim.Adam(model.parameters(), fused=True)"),
        ("adam = Adam(p, fused=False, lr=1)", "adam = Adam(p, fused=True, lr=1)"),
        ("make(Adam(p,))", "make(Adam(p, fused=True))"),
        ("größe = Adam(p)", "größe = Adam(p, fused=True)"),
        ("fit(lambda: 1)", "fit(lambda: 1)"),
        ("adam = Adam(p", "adam = Adam(p"),
    ],
)
def test_an_argument_is_set_in_the_call_of_a_line(line, changed):
    assert with_arguments(f"import torch\n{line}\n", 2, {"fused": "True"}) == f"import torch\n{changed}\n"


def test_a_call_over_several_lines_gets_several_arguments():
    source = "loader = DataLoader(\n    data,\n    num_workers=0,\n)\n"
    wanted = "loader = DataLoader(\n    data,\n    num_workers=2, persistent_workers=True)\n"
    assert with_arguments(source, 1, {"num_workers": "2", "persistent_workers": "True"}) == wanted


def test_a_copy_is_put_back_after_each_run(tmp_path):
    own = tmp_path / "work"
    (own / ".git").mkdir(parents=True)
    (own / "train.py").write_text("print(1)")
    (own / "state.txt").write_text("0")
    with WorkingCopy(own) as copy:
        assert (copy.folder / ".git").is_symlink()
        (copy.folder / "state.txt").write_text("1111")
        (copy.folder / "checkpoint.pt").write_text("new")
        (copy.folder / "train.py").unlink()
        copy.put_back()
        assert sorted(path.name for path in copy.folder.iterdir()) == [".git", "state.txt", "train.py"]
        assert (copy.folder / "state.txt").read_text() == "0"
        assert copy.outside(copy.inside(str(own / "train.py"))) == "train.py"
        assert copy.inside("/elsewhere/data") == "/elsewhere/data"
    assert not copy.folder.exists()
    assert (own / "state.txt").read_text() == "0"


def test_a_folder_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(working_copy, "MOST_BYTES", 10)
    (tmp_path / "large").write_text("x" * 11)
    with pytest.raises(UsageError, match="--in-place"):
        WorkingCopy(tmp_path)


def test_a_folder_that_cannot_be_copied_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # (in the folder itself: no copy of the copy)
    with WorkingCopy(tmp_path) as copy:
        assert list(copy.folder.iterdir()) == []
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match=r"is a named pipe.*--in-place"):
        WorkingCopy(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize(
    ("script", "module", "environment"), [("train.py", False, {"RANK": "0"}), ("torch.distributed.run", True, {})]
)
def test_several_processes_are_refused(script, module, environment):
    with pytest.raises(UsageError, match="several processes"):
        refusals.check(script, module, environment)
    refusals.check("train.py", False, {"RANK": ""})


def test_side_effects_are_named_with_their_line(tmp_path):
    file = tmp_path / "train.py"
    file.write_text(
        'import os\nmodel.push_to_hub("x")\nopen("/data/log.txt", "w")\nopen("log.txt", "w")\nos.remove("a")\n'
    )
    told = list(refusals.side_effects(file))
    assert [line.partition(" in ")[2] for line in told] == [
        "line 2 uploads a model",
        "line 3 writes outside of the working folder",
        "line 5 removes files",
    ]
    assert os.linesep not in "".join(told)

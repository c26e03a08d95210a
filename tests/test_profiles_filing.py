"""Export, import and remove: files keep their content, shipped profiles stay, and no name leads out of the folder."""

from __future__ import annotations

import io
import json
import os
import sys
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from profile_records import changed, sound, write

from sizer import profiles
from sizer.base.errors import ProfileError, UsageError
from sizer.base.storage import config_folder, data_folder
from sizer.cli import run, sizer
from sizer.profiles import filing


@pytest.fixture
def mine():
    """The user's folder of measured profiles."""
    return data_folder() / "profiles"


def transfer(text: str) -> dict:
    record = json.loads(text)
    schema = json.loads(files("sizer.schemas").joinpath("transfer-1.json").read_text(encoding="utf-8"))
    jsonschema.validate(record, schema)
    return record


def test_a_profile_travels_from_one_user_to_another_unchanged(tmp_path, mine, monkeypatch, capsys):
    original = write(mine, sound())
    there = tmp_path / "travelling.json"
    assert run(["profiles", "export", "acme-one", str(there), "--json"]) == 0
    assert transfer(capsys.readouterr().out)["path"] == str(there)
    assert there.read_bytes() == original.read_bytes()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another user"))
    assert run(["profiles", "import", str(there), "--json"]) == 0
    assert transfer(capsys.readouterr().out)["action"] == "imported"
    assert profiles.load("acme-one").by_quantity["energy"].terms["pass"] == 0.5


def test_a_dash_exports_to_standard_output(capsys):
    assert run(["profiles", "export", "nvidia-h200", "-"]) == 0
    shipped = files("sizer.profiles").joinpath("nvidia-h200.json").read_text(encoding="utf-8")
    assert capsys.readouterr().out == shipped


def test_an_export_replaces_a_file_whole_and_a_folder_that_cannot_be_written_is_one_line(tmp_path, capsys):
    target = tmp_path / "x.json"
    target.write_text("old and longer than nothing")
    assert filing.export_profile("nvidia-t4", target).replaced
    assert profiles.load(target).name == "nvidia-t4"
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    assert run(["profiles", "export", "nvidia-t4", str(target / "inside.json")]) == 1
    assert "cannot be written" in capsys.readouterr().err
    with pytest.raises(ProfileError, match="did you mean nvidia-t4"):
        filing.export_profile("nvidia-t44", target)


def test_an_import_overwrites_only_when_forced(tmp_path, mine):
    write(mine, sound(title="mine"))
    path = write(tmp_path, sound(title="theirs"))
    with pytest.raises(ProfileError, match="--as NAME, or in its place with --force"):
        filing.import_profile(path)
    assert profiles.load("acme-one").title == "mine"
    done = filing.import_profile(path, "acme-two")
    assert (done.name, done.replaced, profiles.load("acme-two").title) == ("acme-two", False, "theirs")
    assert filing.import_profile(path, force=True).replaced
    assert profiles.load("acme-one").title == "theirs"


def test_an_import_does_not_silently_hide_a_shipped_profile(tmp_path):
    path = write(tmp_path, sound(name="nvidia-h200"))
    with pytest.raises(ProfileError, match=r"a profile nvidia-h200 \(shipped\)"):
        filing.import_profile(path)


def test_an_import_that_a_nearer_file_hides_says_so(tmp_path):
    write(config_folder() / "profiles", sound(title="nearer"))
    done = filing.import_profile(write(tmp_path, sound()), force=True)
    assert str(config_folder()) in done.remark
    assert profiles.load("acme-one").title == "nearer"


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "a/b", "..", "UPPER", "", "a" * 200, "a\0b"])
def test_no_name_leads_out_of_the_folder(tmp_path, mine, name):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(sound(name=name)))
    with pytest.raises(ProfileError, match="name"):
        filing.import_profile(path)
    path.write_text(json.dumps(sound()))
    with pytest.raises(UsageError, match="the name is"):
        filing.import_profile(path, name)
    with pytest.raises(UsageError, match="the name is"):
        filing.remove_profile(name)
    assert not mine.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not JSON"),
        ("[]", "expected a JSON object"),
        (json.dumps(changed("format", to="sizer.profile/2")), "upgrade sizer"),
        (json.dumps(changed("levels", to=[])), "a list of at least 1"),
    ],
)
def test_what_is_no_profile_is_not_imported(tmp_path, mine, content, said):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ProfileError, match=said):
        filing.import_profile(path)
    assert not mine.exists()


def test_removing_takes_the_user_s_file_and_brings_the_shipped_one_back(mine, capsys, monkeypatch):
    write(mine, sound(name="nvidia-h200"))
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert run(["profiles", "remove", "nvidia-h200"]) == 2
    assert "give --yes" in capsys.readouterr().err
    assert (mine / "nvidia-h200.json").exists()
    assert run(["profiles", "remove", "nvidia-h200", "--yes", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "the shipped profile" in transfer(out)["remark"]
    assert "the shipped profile" in err
    assert profiles.load("nvidia-h200").origin == "shipped"
    assert run(["profiles", "remove", "nvidia-h200", "--yes"]) == 1
    assert "shipped with sizer and stays" in capsys.readouterr().err


@pytest.mark.parametrize(("answer", "left"), [("y", False), ("n", True), ("", True)])
def test_removing_asks_a_person(mine, monkeypatch, capsys, answer, left):
    write(mine, sound())

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    code = run(["profiles", "remove", "acme-one"])
    assert (mine / "acme-one.json").exists() == left
    assert (code == 0) == (not left)
    assert "Traceback" not in capsys.readouterr().err


def test_a_damaged_profile_can_be_removed_and_one_that_is_elsewhere_cannot(mine, tmp_path, monkeypatch):
    mine.mkdir(parents=True)
    (mine / "broken.json").write_text("{")
    filing.remove_profile("broken")
    assert not (mine / "broken.json").exists()
    path = write(tmp_path / "shared", sound())
    monkeypatch.setenv("SIZER_PROFILES", str(path.parent))
    with pytest.raises(ProfileError, match="remove the file there"):
        filing.remove_profile("acme-one")
    with pytest.raises(ProfileError, match="no profile is named 'acme-9'"):
        filing.remove_profile("acme-9")


def test_shells_complete_the_names_of_profiles(mine, monkeypatch):
    from click.shell_completion import BashComplete

    write(mine, sound(name="nvidia-mine"))
    complete = BashComplete(sizer, {}, "sizer", "_SIZER_COMPLETE")
    for command in (["show"], ["compare"], ["compare", "cpu"], ["export"], ["remove"]):
        found = {item.value for item in complete.get_completions(["profiles", *command], "nvidia-m")}
        assert "nvidia-mine" in found
        assert "nvidia-t4" not in found


def test_commands_that_file_profiles_load_nothing_heavy(tmp_path):
    import subprocess

    program = (
        "import sys; from sizer.cli import run; code = run(['profiles', 'export', 'nvidia-t4', '-']); "
        "print(code, sorted({'torch', 'numpy', 'pandas', 'scipy'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path, env=dict(os.environ)
    )
    assert done.stderr.strip() == "0 []"
    assert Path(tmp_path).exists()

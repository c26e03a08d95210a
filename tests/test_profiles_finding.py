"""Where profiles are looked for, which file wins, and what becomes of files that cannot be used."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from profile_records import changed, sound, write

from sizer import profiles
from sizer.base.errors import ProfileError
from sizer.base.storage import config_folder, data_folder
from sizer.profiles import loader, reading
from sizer.profiles.records import Match, words

SHIPPED = len(list((Path(__file__).parents[1] / "profiles").glob("*.json")))


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The folders that are searched before the shipped ones, nearest first."""
    found = [tmp_path / "first", tmp_path / "second", config_folder() / "profiles", data_folder() / "profiles"]
    for folder in found:
        folder.mkdir(parents=True)
    monkeypatch.setenv("SIZER_PROFILES", os.pathsep.join(["", str(found[0]), str(found[1])]))
    return found


def h200(**fields):
    """A user's profile that has the name of a shipped one."""
    return sound(**{"name": "nvidia-h200", "match": {"exact": ["nvidia h200"]}, **fields})


def test_a_shipped_profile_is_loaded_by_its_name():
    profile = profiles.load("nvidia-h200")
    assert (profile.name, profile.origin, profile.device.id) == ("nvidia-h200", "shipped", "nvidia-h200")


def test_the_nearest_file_of_a_name_wins(folders):
    for nearness in reversed(range(len(folders))):
        path = write(folders[nearness], h200(title=f"mine {nearness}"))
        profile = profiles.load("nvidia-h200")
        assert (profile.title, profile.origin) == (f"mine {nearness}", str(path))
        assert profiles.matching("NVIDIA H200", "cuda") == profile
        assert profile in profiles.all_profiles().profiles
        assert len(profiles.names()) == SHIPPED
    for folder in folders:
        (folder / "nvidia-h200.json").unlink()
    assert profiles.load("nvidia-h200").origin == "shipped"


def test_new_names_are_added_in_order(folders):
    write(folders[1], sound())
    write(folders[3], sound(name="zzz"))
    assert profiles.names() == tuple(sorted({*profiles.names(), "acme-one", "zzz"}))
    assert len(profiles.names()) == SHIPPED + 2
    assert [profile.name for profile in profiles.all_profiles().profiles] == list(profiles.names())


def test_of_two_profiles_for_a_device_the_nearer_is_taken(folders):
    write(folders[2], sound(name="calibrated-h200", match={"exact": ["nvidia h200"]}))
    assert profiles.matching("NVIDIA H200", "cuda").name == "calibrated-h200"
    assert profiles.matching("NVIDIA H200", "cpu") is None


def test_hidden_and_other_files_are_no_profiles(folders):
    for name in (".acme-one.json", "acme-one.json.tmp", "acme-one.JSON5", "README.md"):
        (folders[0] / name).write_text("{")
    assert len(profiles.names()) == SHIPPED
    assert profiles.all_profiles().warnings == ()


def test_a_broken_file_is_reported_and_hides_no_other_profile(folders):
    (folders[0] / "acme-one.json").write_text("{")
    write(folders[2], sound(name="acme-two"))
    catalogue = profiles.all_profiles()
    assert len(catalogue.profiles) == SHIPPED + 1
    assert len(catalogue.warnings) == 1
    assert catalogue.warnings[0].startswith(f"profile left out: {folders[0] / 'acme-one.json'}: not JSON")
    assert "acme-one" in profiles.names()
    assert profiles.load("acme-two").name == "acme-two"
    assert profiles.matching("NVIDIA H200", "cuda").origin == "shipped"
    with pytest.raises(ProfileError, match="not JSON"):
        profiles.load("acme-one")


def test_a_broken_file_in_front_of_a_shipped_one_is_not_passed_over_in_silence(folders):
    write(folders[3], h200(kind="gpu"))
    assert "kind is 'gpu'" in profiles.all_profiles().warnings[0]
    assert len(profiles.all_profiles().profiles) == SHIPPED - 1
    with pytest.raises(ProfileError, match="kind is 'gpu'"):
        profiles.load("nvidia-h200")


def test_a_damaged_profile_of_the_device_at_hand_is_an_error(folders):
    write(folders[3], h200(units=-1))
    with pytest.raises(ProfileError, match="units is -1"):
        profiles.matching("NVIDIA H200", "cuda")
    assert profiles.matching("NVIDIA L4", "cuda").name == "nvidia-l4"


@pytest.mark.parametrize(
    "record",
    [[], 7, None, {}, {"kind": "cuda"}, h200(match=[]), h200(match={"exact": 7}), h200(match={"exact": [7]})],
)
def test_a_file_that_is_no_profile_does_not_disturb_matching(folders, record):
    for name in ("nvidia-h200", "other"):
        (folders[0] / f"{name}.json").write_text(json.dumps(record))
    assert profiles.matching("NVIDIA L4", "cuda").name == "nvidia-l4"


def test_a_device_of_another_kind_does_not_match(folders):
    path = write(folders[0], sound(title="cpu"))
    assert profiles.matching("ACME One", "cpu") is None
    path.write_text(json.dumps(sound()).replace('"cuda"', '"\\u0063uda"'))
    assert profiles.matching("ACME One", "cuda").name == "acme-one"


def test_a_file_must_be_called_as_its_profile(folders):
    write(folders[0], sound()).rename(folders[0] / "other.json")
    with pytest.raises(ProfileError, match="is named 'acme-one'; expected 'other'"):
        profiles.load("other")
    assert "rename one of them" in profiles.all_profiles().warnings[0]
    assert profiles.matching("ACME One", "cuda") is None
    assert profiles.load(folders[0] / "other.json").name == "acme-one"


def test_a_folder_that_is_not_there_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("SIZER_PROFILES", f"{tmp_path / 'none'}{os.pathsep}{tmp_path}")
    catalogue = profiles.all_profiles()
    assert catalogue.warnings == (f"SIZER_PROFILES names {tmp_path / 'none'}, which is no folder",)
    assert len(catalogue.profiles) == SHIPPED
    assert profiles.load("nvidia-h200").origin == "shipped"


@pytest.mark.parametrize("value", ["", os.pathsep, f"{os.pathsep}{os.pathsep}"])
def test_an_empty_entry_does_not_mean_the_current_folder(tmp_path, monkeypatch, value):
    write(tmp_path, sound())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIZER_PROFILES", value)
    assert "acme-one" not in profiles.names()
    assert profiles.all_profiles().warnings == ()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("nvidia-h20", "did you mean nvidia-h200 or "),
        ("NVIDIA-H200", "did you mean nvidia-h200 or "),
        ("nvidia h200", "did you mean nvidia-h200 or "),
        (" nvidia-h200 ", "did you mean nvidia-h200 or "),
        ("h100", "did you mean nvidia-h100-nvl or nvidia-h100-pcie or nvidia-h100-sxm? "),
        ("nvidia-rtx-4080", "did you mean nvidia-rtx-4090"),
        ("graviton3", "did you mean aws-graviton3? "),
        ("commodore-64", ""),
        ("", ""),
    ],
)
def test_an_unknown_name_lists_those_that_are_close(name, hint):
    with pytest.raises(ProfileError) as caught:
        profiles.load(name)
    line = str(caught.value)
    assert line.startswith(f"no profile is named {name!r}; {hint}")
    assert line.endswith("`sizer profiles list` shows them all")
    assert ("did you mean" in line) == bool(hint)


@pytest.mark.parametrize("name", ["", "x" * 100_000, "..", ".", "\0", "a\nb", "\x1b[31m", "\ud800", "*"])
def test_a_strange_name_is_unknown(name):
    with pytest.raises(ProfileError, match=r"^no profile is named") as caught:
        profiles.load(name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@settings(deadline=None)
@given(st.text(max_size=20).filter(lambda text: os.sep not in text and not text.endswith(".json")))
def test_a_text_without_a_separator_is_never_a_path(text):
    assume(text not in profiles.names())
    with pytest.raises(ProfileError, match=r"^no profile is named"):
        profiles.load(text)


def test_a_name_does_not_leave_its_folder(folders):
    write(folders[0].parent, sound())
    for text in ("../acme-one", f"..{os.sep}acme-one"):
        with pytest.raises(ProfileError, match="there is no such file"):
            profiles.load(text)


def test_a_path_is_loaded_as_one(tmp_path, monkeypatch):
    path = write(tmp_path, sound())
    monkeypatch.chdir(tmp_path)
    for given_path in (path, str(path), "acme-one.json", f".{os.sep}acme-one.json", Path("acme-one.json")):
        assert profiles.load(given_path).name == "acme-one"
    path.rename(tmp_path / "plain")
    assert profiles.load(f".{os.sep}plain").name == "acme-one"
    assert profiles.load(Path("plain")).name == "acme-one"
    with pytest.raises(ProfileError, match="no profile is named 'plain'"):
        profiles.load("plain")


def test_every_field_arrives(tmp_path):
    record = sound()
    profile = profiles.load(write(tmp_path, record))
    assert profile.by_quantity["energy"] == profile.coefficients
    assert profile.coefficients.terms == {"pass": 0.5, "step": 0, "traffic.L2": 1e-3, "optimizer.RAM": 2e-3}
    assert profile.coefficients.interval == (0.8, 1.25)
    assert (profile.coefficients.source, profile.coefficients.label) == ("calibrated", "calibrated")
    assert profile.coefficients.conditions == {"threads": 4, "versions": {"torch": "2.13"}}
    assert profile.by_quantity["time"].terms == {"access.RAM": 1e-6}
    assert profile.by_quantity["time"].interval is None
    assert profile.calibration == record["calibration"]
    assert profile.notes == ("A note.",)
    assert profile.device.warnings == ("A warning.",)
    assert (profile.device.kind, profile.device.name, profile.device.units) == ("cuda", "ACME One", 20)
    level = profile.device.levels[1]
    assert (level.capacity_bytes, level.effective_bytes, level.sizing_bytes) == (4194304, 3145728, 3145728)
    assert (level.line_bytes, level.cpus_per_instance, level.core_kind) == (128, 20, "big")
    assert level.source == "profile acme-one (sheet)"
    assert profile.device.levels[0].source == "profile acme-one, unverified"
    assert profile.power_w.keys() == {"limit"}
    assert profile.sources["sheet"].url == "https://acme.example/one"
    assert profile.unverified == ("L1 capacity", "L2 big bandwidth", "mixed peak")
    assert profile.origin == str(tmp_path / "acme-one.json")


def test_coefficients_of_a_time_stand_in_where_there_are_none_of_energy(tmp_path):
    record = sound()
    del record["coefficients"]["energy"]
    assert profiles.load(write(tmp_path, record)).coefficients.quantity == "time"


def test_what_is_saved_is_found(folders):
    path = profiles.save(sound(title="Gemessen für mich"))
    assert path == data_folder() / "profiles" / "acme-one.json"
    assert profiles.load("acme-one").title == "Gemessen für mich"
    assert profiles.matching("ACME One", "cuda").origin == str(path)
    assert json.loads(path.read_text(encoding="utf-8")) == sound(title="Gemessen für mich")
    assert profiles.save(sound(), folders[1]).parent == folders[1]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (changed("units", "value", to=float("nan")), "not JSON compliant|Out of range"),
        (changed("title", to="\ud800"), "surrogates"),
        (changed("name", to="../../acme"), "like vendor-model"),
        (changed("calibration", "when", to=object()), "not JSON serializable"),
        (changed("levels", to=[]), "a list of at least 1"),
    ],
)
def test_what_is_no_sound_profile_is_not_saved(isolated_user, record, message):
    with pytest.raises(ProfileError, match=message) as caught:
        profiles.save(record)
    assert str(caught.value).startswith("the profile is not written: ")
    assert not [path for path in isolated_user.rglob("*") if path.is_file()]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ProfileError, match=r"cannot be written .*; name another folder"):
        profiles.save(sound(), tmp_path / "file")


def test_matching_takes_whole_words_only():
    match = Match(contains=("xeon gold 6154",), excludes=("virtual",))
    assert match(words("Intel(R) Xeon(R) Gold 6154 CPU @ 3.00GHz"))
    assert not match(words("Intel(R) Xeon(R) Gold 61540 CPU"))
    assert not match(words("Intel(R) Xeon(R) Gold 6154 CPU (Virtual)"))
    assert match(words("Xeon Gold 6154 virtualized"))
    assert not Match()(words("anything"))
    assert not Match()("")


@pytest.mark.parametrize("name", [None, "", " ", "(R)", "a" * 10**6, "\0", "(r" * 10**5])
def test_a_device_without_a_useful_name_matches_nothing(name):
    started = time.perf_counter()
    assert profiles.matching(name, "cuda") is None
    assert time.perf_counter() - started < 1


@settings(deadline=None)
@given(st.text(max_size=300))
def test_words_are_stable(name):
    plain = words(name)
    assert words(plain) == plain
    assert re.fullmatch(r"(?:[a-z0-9+.]+(?: [a-z0-9+.]+)*)?", plain)


def test_loading_costs_little(monkeypatch):
    """Each file is opened once; the one that a device is of is checked whole, those of other kinds are not parsed."""
    counted = Counter()
    for module, name in (
        (reading, "_read"),
        (loader, "parse_json"),
        (reading, "parse_json"),
        (loader, "check_profile"),
    ):
        monkeypatch.setattr(module, name, _counting(getattr(module, name), counted))
    texts = [path.read_text(encoding="utf-8") for path in Path(profiles.__file__).parent.glob("*.json")]
    profiles.all_profiles()
    assert counted == {"_read": SHIPPED, "parse_json": SHIPPED, "check_profile": SHIPPED}
    for device, kind, found in (("Tesla V100-SXM2-32GB", "cuda", 1), ("some CPU", "cpu", 0)):
        counted.clear()
        assert (profiles.matching(device, kind) is not None) == bool(found)
        of_kind = sum(f'"{kind}"' in text for text in texts)
        assert counted["_read"] <= SHIPPED + found
        assert counted["parse_json"] <= of_kind + found < SHIPPED
        assert counted["check_profile"] == found


def _counting(function, counted):
    @functools.wraps(function)
    def called(*arguments):
        counted[function.__name__] += 1
        return function(*arguments)

    return called


def test_profiles_load_nothing_heavy(tmp_path):
    program = (
        "import sys; from sizer import profiles; profiles.load('nvidia-h200'); profiles.matching('NVIDIA L4', 'cuda');"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), 'importlib.resources' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
    )
    loaded = answer.stdout.split()
    assert not {"numpy", "torch", "pandas", "click", "rich", "jsonschema", "difflib"} & set(loaded)
    assert loaded[-1] == "False"

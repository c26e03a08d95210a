"""The file for a bug report: what is in it, what is not, and that it goes nowhere."""

from __future__ import annotations

import getpass
import json
import platform
import socket
import zipfile
from pathlib import Path

import jsonschema
import pytest

from sizer.base.storage import data_folder
from sizer.cli import run
from sizer.detection.captured_tree import NotedTree
from sizer.detection.detect import detect
from sizer.detection.linux import read_cpu
from sizer.report import bundle

HOST, USER = "workstation-of-zelda", "zelda"


@pytest.fixture
def zelda(monkeypatch, tmp_path):
    """A user with a calibration, whose name, host and home stand in what sizer keeps of her machine."""
    home = Path("/home") / USER
    monkeypatch.setattr(platform, "node", lambda: f"{HOST}.example.org")
    monkeypatch.setattr(getpass, "getuser", lambda: USER)
    monkeypatch.setenv("CUDA_HOME", f"{home}/cuda")
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    log = data_folder() / "measurements" / "cuda-0.jsonl"
    log.parent.mkdir(parents=True)
    settings = {"meter_source": f"{home}/power.csv", "device": {"facts": {"uuid": {"value": "GPU-8f0a11"}}}}
    log.write_text(json.dumps({"format": "sizer.measurements/1", "settings": settings, "plan": []}) + '\n{"case": 0')
    profile = data_folder() / "profiles" / "mine.json"
    profile.parent.mkdir(parents=True)
    profile.write_text(f"no JSON: {home}/x on {HOST} at 10.1.2.3, GPU-8f0a11")
    (profile.parent / "link.json").symlink_to("/etc/passwd")
    monkeypatch.setattr(socket, "socket", lambda *args, **more: pytest.fail("something is sent"))
    return tmp_path / "report.zip"


def contents(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_a_bundle_holds_what_a_report_needs_and_nobodys_name(zelda, capsys):
    assert run(["doctor", "--bundle", str(zelda)]) == 0
    out = capsys.readouterr().out
    found = contents(zelda)
    for name in ("README.txt", "diagnosis.txt", "diagnosis.json", "environment.txt", "profiles/mine.json"):
        assert name in found
        assert name in out
    for name, text in found.items():
        for private in (USER, HOST, "10.1.2.3", "8f0a11", "hunter2", "root:"):
            assert private not in text, (name, private)
    assert "nowhere" in found["README.txt"]
    assert "CUDA_HOME=(path)" in found["environment.txt"]
    first, cut = found["measurements/cuda-0.jsonl"].splitlines()
    assert json.loads(first)["settings"]["meter_source"] == "(path)"
    assert cut == '{"case": 0', "a line that was cut short may be why there is a report"
    assert found["profiles/mine.json"].startswith("no JSON: (path) on (name)")
    assert "profiles/link.json" not in found
    assert json.loads(found["diagnosis.json"])["format"] == "sizer.diagnosis/1"


def test_what_the_kernel_says_is_detected_again_elsewhere(zelda, tmp_path):
    tree = NotedTree("/")
    if not tree.exists("/proc/cpuinfo"):
        pytest.skip("no Linux")
    run(["doctor", "--bundle", str(zelda)])
    with zipfile.ZipFile(zelda) as archive:
        archive.extractall(tmp_path / "there")
    (there,) = detect(tmp_path / "there" / "machine").devices
    here = read_cpu(tree)
    assert there.levels == here.levels
    assert (there.name, there.units, there.facts) == (here.name, here.units, here.facts)


def test_serial_numbers_of_boards_are_left_out():
    assert bundle._SERIAL.sub("", "Hardware\t: BCM2835\nSerial\t\t: 00000000deadbeef\nModel\t: Pi\n") == (
        "Hardware\t: BCM2835\nModel\t: Pi\n"
    )


def test_beside_json_the_contents_are_an_answer(zelda, capsys):
    from importlib.resources import files

    assert run(["doctor", "--bundle", str(zelda), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    jsonschema.validate(record, json.loads((files("sizer.schemas") / "diagnosis-1.json").read_text(encoding="utf-8")))
    assert any(line.startswith("environment.txt: ") for line in record["answers"]["bundle"])


@pytest.mark.parametrize(
    ("name", "said"),
    [("report.tar", "call it report.zip"), ("there.zip", "is there already"), ("link.zip", "is there already")],
)
def test_a_file_that_is_there_or_is_no_zip_is_refused(tmp_path, capsys, name, said):
    (tmp_path / "there.zip").write_text("mine")
    (tmp_path / "link.zip").symlink_to(tmp_path / "target")
    assert run(["doctor", "--bundle", str(tmp_path / name)]) == 2
    assert said in capsys.readouterr().err
    assert (tmp_path / "there.zip").read_text() == "mine"
    assert not (tmp_path / "target").exists()


def test_a_file_that_is_too_large_or_may_not_be_read_is_named_with_the_reason(zelda, monkeypatch):
    monkeypatch.setattr(bundle, "_MOST_BYTES", 10)
    assert run(["doctor", "--bundle", str(zelda)]) == 0
    readme = contents(zelda)["README.txt"]
    assert "profiles/mine.json: left out: it has" in readme

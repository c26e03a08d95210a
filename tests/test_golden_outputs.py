"""What people see at 60, 80 and 120 columns. `pytest --rewrite-golden` writes it anew; read the diff."""

from __future__ import annotations

from pathlib import Path

import pytest

from sizer.cli import run

FOLDER = Path(__file__).parent / "data" / "golden"
WIDTHS = (60, 80, 120)

#: Name of a file -> the command whose output it holds. All are of shipped profiles: nothing hangs on this machine.
COMMANDS = {
    "recommend": "recommend --input-dim 30 --observations 20,000 --device amd-epyc-zen4-vm-2cpu",
    "recommend-gpu": "recommend --input-dim 784 --depth 6 --output-dim 10 --device nvidia-h200",
    "recommend-published": "recommend --input-dim 784 --depth 6 --device butter-e-cpu",
    "recommend-several": "recommend --input-dim 64 --depth 3 --depth 8 --shape rectangle,exponential "
    "--batch-size 64,256 --device amd-epyc-zen4-vm-2cpu",
    "recommend-details": "recommend --input-dim 30 --device amd-epyc-zen4-vm-2cpu --top 3 --details",
    "recommend-limits": "recommend --input-dim 30 --device amd-epyc-zen4-vm-2cpu --max-time 1ms --max-bytes 10MiB",
    "recommend-inference": "recommend --input-dim 30 --device amd-epyc-zen4-vm-2cpu --for inference",
    "recommend-fleet": "recommend --input-dim 30 --observations 20k --fleet "
    "intel-xeon-platinum-8480plus,nvidia-rtx-4090,amd-epyc-zen4-vm-2cpu",
    "inspect": "inspect --mlp 784-512x2-10 --device amd-epyc-zen4-vm-2cpu",
    "inspect-many": "inspect --mlp 30-16-1 --mlp 30-64-1 --mlp 30-256-1 --mlp 30-1024-1 --device amd-epyc-zen4-vm-2cpu",
    "inspect-refused": "inspect --mlp 1000000x3-1 --device nvidia-t4",
    "compare": "profiles compare nvidia-t4 intel-xeon-platinum-8480plus",
    "compare-details": "profiles compare nvidia-t4 amd-epyc-zen4-vm-2cpu --details",
    "profiles": "profiles show nvidia-t4",
    "help": "",
}


def told(arguments: list[str], width: int, capsys, monkeypatch) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    assert run(arguments) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", list(COMMANDS))
def test_output_is_as_it_was(name, width, capsys, monkeypatch, request):
    text = told(COMMANDS[name].split(), width, capsys, monkeypatch)
    path = FOLDER / f"{name}-{width}.txt"
    if request.config.getoption("--rewrite-golden"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
    if name != "help":
        assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("name", [name for name in COMMANDS if name.startswith("recommend") and "details" not in name])
def test_names_and_numbers_are_never_broken(name):
    """What stands in a wide table stands, if at all, in one piece in a narrow one."""
    wide = (FOLDER / f"{name}-120.txt").read_text(encoding="utf-8")
    narrow = (FOLDER / f"{name}-60.txt").read_text(encoding="utf-8")
    words = {word.strip("():;,.") for word in wide.split()}
    for word in narrow.split():
        assert word.strip("():;,.") in words | {"-"}, word

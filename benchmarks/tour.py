"""README's tour: its commands in their order as a new user gives them, and what each says first.

    python benchmarks/tour.py            run them and print the block
    python benchmarks/tour.py --write    and put it in README.md, in place of the one there

All numbers of the tour are of one run on one machine, which takes about two minutes: the calibration is a real one.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

from first_tasks import Task, prepare, run

README = Path(__file__).parents[1] / "README.md"
#: The block of README that begins with installing.
_BLOCK = re.compile(r"(?<=```console\n)\$ pip install \.\n.*?(?=```\n)", re.DOTALL)

TRAIN = """
import torch
from torch import nn

x = torch.randn(4096, 30)
y = x[:, :3].sum(dim=1, keepdim=True).sin()
model = nn.Sequential(nn.Linear(30, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 1))
optimizer = torch.optim.Adam(model.parameters())
for batch in torch.randperm(len(x)).split(256):
    optimizer.zero_grad()
    nn.functional.mse_loss(model(x[batch]), y[batch]).backward()
    optimizer.step()
"""


class Stop(NamedTuple):
    """A command of the tour, and which lines of its answer are shown: those before the first empty one, or so many.

    ``about`` keeps the lines of standard error from the first one with it on, in place of the answer's.
    """

    command: str
    lines: int | None = None
    about: str | None = None


STOPS = (
    Stop("sizer recommend house.csv --target price"),
    Stop("sizer calibrate", lines=5),
    Stop("sizer search house.csv --target price --r2 0.9 --save model.pt2"),
    Stop("sizer predict model.pt2 new.csv", lines=2),
    Stop("sizer run train.py", about="sizer: to do"),
)


def shown(stop: Stop, standard_output: str, standard_error: str) -> Iterator[str]:
    """The lines of an answer that the tour shows; ``...`` stands for the others."""
    yield f"$ {stop.command}"
    if stop.about is not None:
        lines = standard_error.splitlines()
        first = next(index for index, line in enumerate(lines) if line.startswith(stop.about))
        yield from (" ...", *lines[first:])
        return
    lines = standard_output.splitlines()
    end = lines.index("") if stop.lines is None and "" in lines else stop.lines or len(lines)
    yield from lines[:end]
    if end < len(lines):
        yield " ..."


def main() -> None:
    """Run the tour in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the block into README.md")
    block = "$ pip install .\n"
    with tempfile.TemporaryDirectory(prefix="sizer-tour-") as name:
        folder = Path(name)
        prepare(folder)
        (folder / "train.py").write_text(TRAIN, encoding="utf-8")
        new = (folder / "house.csv").read_text(encoding="utf-8").splitlines()[:6]
        (folder / "new.csv").write_text("\n".join(line.rpartition(",")[0] for line in new) + "\n", encoding="utf-8")
        write = parser.parse_args().write
        for stop in STOPS:
            done, seconds = run(Task(stop.command, tuple(shlex.split(stop.command)[1:]), ()), folder)
            if done.returncode:
                sys.exit(f"{stop.command}: exit code {done.returncode}\n{done.stderr}")
            print(f"{stop.command}: {seconds:.1f} s", file=sys.stderr)
            block += "\n".join(shown(stop, done.stdout, done.stderr)) + "\n"
    if not write:
        print(block)
        return
    text = README.read_text(encoding="utf-8")
    README.write_text(_BLOCK.sub(lambda _: block, text, count=1), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Feed readers of files, network strings and command lines what nobody writes on purpose, and see what they make of it.

    python benchmarks/fuzz.py [READER ...] [--inputs 20000] [--seed 0] [--folder FOLDER]
    python benchmarks/fuzz.py --replay        the stored seeds, once
    python benchmarks/fuzz.py --keep --folder FOLDER        add what a run found to the stored seeds

Right is an answer or a refusal in one line; wrong is any other exception, more than 5 s of processor time, a refusal
of several lines or of more than 1,200 letters. Each reader (fuzz_readers.py) has a process of its own; atheris guides
it by the branches that it finds (PyPI, Python 3.11 to 3.13; without it inputs are changed at random, fuzz_inputs.py),
and command lines are hypothesis's. FOLDER (a temporary one) gets of each reader faults.jsonl, a line a kind with the
input; the inputs that found new branches, from which the coverage of the reader's modules is taken; and missed.txt,
the branches that none of them took.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import fnmatch
import io
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fuzz_commands import command_lines
from fuzz_first import ROOT
from fuzz_inputs import changed
from fuzz_readers import READERS
from fuzz_trial import Hang, limited, wrong

SEEDS = Path(__file__).parent / "data" / "fuzz_seeds.json"
#: Inputs that found branches are stored up to so many bytes, and so many of a reader.
_SHORT, _KEPT = 1500, 12


# One reader


class Trial:
    """One reader in this process: what it was given, and what went wrong."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.reader, self.folder = name, READERS[name], folder
        self.given = 0
        self.kinds: Counter[str] = Counter()

    def warm_up(self, content: bytes) -> None:
        """Let the reader read a first input: what it imports for that is not counted as its time."""
        wrong(lambda: self.reader.read(self._file(content)))

    def _file(self, content: bytes) -> Path:
        path = self.folder / f"input{self.reader.suffix}"
        path.write_bytes(content)
        return path

    def give(self, content: bytes) -> None:
        """Let the reader read an input."""
        self.given += 1
        path = self._file(content)
        try:
            with limited(self.reader.longest_s):
                kind = wrong(lambda: self.reader.read(path))
        except Hang:
            kind = "hang"
        if kind is not None:
            self.kinds[kind] += 1
            if self.kinds[kind] == 1:
                note = {"reader": self.name, "kind": kind, "input": base64.b64encode(content).decode()}
                with (self.folder / "faults.jsonl").open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(note) + "\n")


def fuzz_one(name: str, inputs: int, seed: int, folder: Path) -> None:
    """Fuzz a reader in this process; the last line of standard output is what was found, as JSON."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    try:
        import atheris
    except ImportError:
        atheris = None
    if atheris is not None:
        with atheris.instrument_imports(include=["sizer"]):
            for module in _modules(READERS[name].modules):
                __import__(module)
    seeds = [*READERS[name].seeds(), *(content for kept, content in stored() if kept == name)]
    for number, content in enumerate(seeds):
        (corpus / f"seed{number:04d}").write_bytes(content)
    trial = Trial(name, folder)
    trial.warm_up(seeds[0])
    began = time.monotonic()

    def told() -> None:
        seconds = round(time.monotonic() - began, 1)
        (folder / "found.json").write_text(
            json.dumps({"inputs": trial.given, "seconds": seconds, "kinds": trial.kinds})
        )

    if atheris is None:
        draw = random.Random(seed)  # noqa: S311
        for number in range(inputs):
            trial.give(changed(draw.choice(seeds), READERS[name].form, draw.getrandbits(32)))
            if number % 500 == 0:
                told()
        told()
        return

    def one(content: bytes) -> None:
        trial.give(content)
        if trial.given % 500 == 0 or trial.given >= inputs:
            told()

    def mutated(content: bytes, most: int, number: int) -> bytes:
        return changed(content, READERS[name].form, number)[:most]

    options = [f"-runs={inputs}", f"-seed={seed + 1}", "-max_len=200000", "-rss_limit_mb=4096", "-print_final_stats=0"]
    atheris.Setup(["fuzz", str(corpus), *options], one, custom_mutator=mutated)
    atheris.Fuzz()  # (ends the process)


def _modules(patterns: tuple[str, ...]) -> Iterator[str]:
    for path in _sources(patterns):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts if parts[0] == "sizer" else ("sizer", *parts))


def _sources(patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        base = ROOT if pattern.startswith("profiles") else ROOT / "sizer"
        yield from (path for path in sorted(base.glob(f"{pattern}.py")) if path.name != "__init__.py")


def cover(name: str, folder: Path) -> None:
    """The share of branches of a reader's modules that its corpus takes, as the last line of standard output."""
    import coverage

    measured = coverage.Coverage(
        branch=True, data_file=None, include=[str(path) for path in _sources(READERS[name].modules)]
    )
    measured.start()
    trial = Trial(name, folder)
    corpus = [path.read_bytes() for path in sorted((folder / "corpus").iterdir())]
    trial.warm_up((folder / "corpus" / "seed0000").read_bytes())
    for content in corpus:
        trial.give(content)
    measured.stop()
    with contextlib.redirect_stdout(io.StringIO()):
        measured.json_report(outfile=str(folder / "coverage.json"))
    other = [pattern for some in READERS[name].other.values() for pattern in some]
    found = _functions(json.loads((folder / "coverage.json").read_text()), other)
    branches, missed = sum(count for count, _ in found.values()), sum(len(missed) for _, missed in found.values())
    told = sorted(((len(missed), one, missed) for one, (_, missed) in found.items() if missed), reverse=True)
    lines = (f"{count} {one} {' '.join(f'{a}->{b}' for a, b in missed)}\n" for count, one, missed in told)
    (folder / "missed.txt").write_text("".join(lines))
    print(json.dumps({"branches": branches, "covered": 1 - missed / max(branches, 1), "corpus": trial.given}))


def _functions(report: dict[str, Any], other: Sequence[str]) -> dict[str, tuple[int, list[list[int]]]]:
    """Functions of a report, each with the number of its branches and those not taken, as lines from and to."""
    return {
        f"{file}:{name}": (of["summary"]["num_branches"], of["missing_branches"])
        for file, found in report["files"].items()
        for name, of in found["functions"].items()
        if name and not any(fnmatch.fnmatch(name, pattern) for pattern in other)
    }


# All of them


def stored() -> Iterator[tuple[str, bytes]]:
    """The stored seeds: inputs that once went wrong, by reader."""
    for kept in json.loads(SEEDS.read_text(encoding="utf-8")) if SEEDS.exists() else ():
        yield kept["reader"], base64.b64decode(kept["input"])


def keep(folder: Path) -> int:
    """Add to the stored seeds what went wrong in a run, and some of the short inputs that found branches. How many."""
    found = dict.fromkeys(stored())
    before = len(found)
    for name in READERS:
        faults = folder / name / "faults.jsonl"
        lines = faults.read_text().splitlines() if faults.exists() else ()
        wrong_ones = [base64.b64decode(json.loads(line)["input"]) for line in lines]
        corpus = sorted((folder / name / "corpus").glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime)
        new = [path.read_bytes() for path in corpus if path.stat().st_size <= _SHORT][-_KEPT:]
        found |= {(name, content): None for content in (*wrong_ones, *new)}
    kept = [{"reader": name, "input": base64.b64encode(content).decode()} for name, content in found]
    SEEDS.write_text("[\n" + ",\n".join(map(json.dumps, kept)) + "\n]\n", encoding="utf-8")
    return len(found) - before


def replay(folder: Path) -> Iterator[tuple[str, str]]:
    """Give each reader its stored seeds; yields what goes wrong."""
    for name, content in stored():
        trial = Trial(name, folder)
        trial.give(content)
        yield from ((name, kind) for kind in trial.kinds)


def run_all(names: list[str], inputs: int, seed: int, folder: Path) -> bool:
    """Fuzz each reader in a process of its own, print a row each. Whether nothing went wrong."""
    sound = True
    print(f"{'reader':14} {'inputs':>9} {'s':>6} {'branches':>9} {'covered':>8}  wrong", flush=True)
    for name in names:
        own = folder / name
        own.mkdir(parents=True, exist_ok=True)
        if name == "command-line":
            found: dict[str, Any] = command_lines(max(inputs // 50, 20), seed, own)
        else:
            found = run_one(name, max(inputs // READERS[name].slow, 20), seed, own)
        kinds = "; ".join(f"{kind} ({count})" for kind, count in found["kinds"].items())
        share = f"{found['covered']:.0%}" if "covered" in found else ""
        row = f"{name:14} {found['inputs']:9,} {found['seconds']:6.0f} {found.get('branches', ''):>9} {share:>8}"
        print(row, kinds, flush=True)
        sound = sound and not found["kinds"]
    return sound


def run_one(name: str, inputs: int, seed: int, own: Path) -> dict[str, Any]:
    """Fuzz a reader in a process, and take what its corpus covers in another one: both in one dictionary."""
    here = [sys.executable, __file__, "--folder", str(own), "--seed", str(seed)]
    (own / "found.json").unlink(missing_ok=True)
    with (own / "log.txt").open("w") as log:
        subprocess.run([*here, "--one", name, "--inputs", str(inputs)], stdout=log, stderr=log, check=False)
    found: dict[str, Any] = {"inputs": 0, "seconds": 0, "kinds": {"ended early": 1}}
    if (own / "found.json").exists():
        found = json.loads((own / "found.json").read_text())
    done = subprocess.run([*here, "--cover", name], capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    return found | (json.loads(lines[-1]) if done.returncode == 0 and lines else {})


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("readers", nargs="*", metavar="READER", help=", ".join((*READERS, "command-line")))
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--cover", help=argparse.SUPPRESS)
    parser.add_argument("--replay", action="store_true")
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="fuzz"))
    folder.mkdir(parents=True, exist_ok=True)
    if given.one:
        fuzz_one(given.one, given.inputs, given.seed, folder)
    elif given.cover:
        cover(given.cover, folder)
    elif given.keep:
        print(f"{keep(folder)} seeds more")
    elif given.replay:
        found = list(replay(folder))
        print("\n".join(f"{name}: {kind}" for name, kind in found) or f"{len(list(stored()))} seeds, nothing wrong")
        sys.exit(bool(found))
    else:
        sys.exit(not run_all(given.readers or [*READERS, "command-line"], given.inputs, given.seed, folder))


if __name__ == "__main__":
    main()

"""What the analyses of `sizer study` share: reading the runs of a folder, and showing what came of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

if TYPE_CHECKING:
    import pandas as pd

    from sizer.study.origin import Origin
    from sizer.study.step import Rule, StudyStep

Command = TypeVar("Command", bound=Callable[..., Any])

QUANTITY = click.option(
    "--quantity",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="energy, time, or auto: energy where joules are known.",
)


class Loaded(NamedTuple):
    """The runs frame of a folder, the rules by which runs were left out of it, and where it is from."""

    runs: pd.DataFrame
    rules: tuple[Rule, ...]
    origin: Origin


def load(folder: Path, advance: Callable[[str, float], None]) -> Loaded:
    """The runs of a folder; what takes long tells ``advance``."""
    from sizer.study.origin import origin_of
    from sizer.study.runs import load_runs

    frame, rules = load_runs(folder, advance)
    return Loaded(frame, rules, origin_of(folder))


def answer(step: StudyStep, loaded: Loaded, files: Sequence[str], as_json: bool) -> None:
    """Show a step with the rules and remarks of the runs that it is of, and with the files written."""
    from sizer.cli.output import show

    rules = (*(rule for rule in loaded.rules if rule.count), *step.rules)
    warnings = (*loaded.origin.remarks, *step.warnings)
    show(replace(step, rules=rules, warnings=warnings, files=tuple(files)), as_json)

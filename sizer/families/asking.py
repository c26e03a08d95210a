"""What the command line and Python ask of a family, as one: a function and its arguments, checked, recommended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sizer.base.errors import UsageError
from sizer.base.progress import Progress, silent
from sizer.families.record import FamilyRecommendation
from sizer.families.request import FamilyOptions, FamilyRequest, varied
from sizer.method.request import check_known, several

#: Options of `recommend` that are about fully connected networks, data or another machine: a family has none of them.
NOT_OF_A_FAMILY = (
    *("input_dim", "output_dim", "depth", "shape", "data", "target", "kind", "observations", "batch_size"),
    *("width_multiple", "pilots", "purpose", "max_energy", "difficulty", "target_loss", "law", "learning_rate"),
    *("averaged", "fleet", "explain", "why_not", "emit"),
)
#: Why, and what says it instead.
_INSTEAD = {
    "input_dim": "--input has the shapes that go in",
    "batch_size": "--input begins with it: 64,3,32,32",
    "width_multiple": "--width takes a step: 32-1024:32",
    "observations": "times are those of a datum",
    "depth": "--vary names the parameter of make that is the depth",
}


def refuse_others(given: Iterable[str], in_python: bool = False) -> None:
    """Raises UsageError for options that a family has not."""
    for name in given:
        if name in NOT_OF_A_FAMILY:
            option = name if in_python else f"--{name.replace('_', '-')}"
            instead = _INSTEAD.get(name, "make says what the module is")
            raise UsageError(f"a function that builds modules excludes {option}: {instead}")


def recommend_made(
    make: Callable[..., Any],
    *,
    widths: Any = None,
    vary: str | Sequence[str] = (),
    example_input: Any = None,
    inputs: Sequence[str] = (),
    loss: Any = None,
    optimizer: Any = None,
    now: int | Sequence[int] | None = None,
    named: str | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> FamilyRecommendation:
    """Recommend sizes of what a function builds; see `sizer.recommend`.

    ``inputs`` are shapes as text in the place of an example; ``named`` is what the function is called; ``settings``
    are the other fields of a `FamilyRequest`.
    """
    from sizer.families.advisor import recommend_family
    from sizer.families.making import Family, as_optimizer, defaults_of, parameters_of
    from sizer.inspection.checks import as_loss

    names = [vary] if isinstance(vary, str) else list(vary)
    values = varied(names, widths, parameters_of(make))
    if example_input is None and not inputs:
        raise UsageError(
            "say what goes into the module: --input 64,3,32,32, one for each input, the batch first (in Python "
            "example_input=, a tensor, a tuple or a dictionary of them, or a function of the width)"
        )
    known, make_optimizer, as_given = *as_optimizer(optimizer), as_loss(loss)
    request = FamilyRequest(
        named or f"{make.__module__}:{getattr(make, '__qualname__', type(make).__name__)}",
        tuple(values),
        tuple(values.values()),
        tuple(inputs) or _shapes(example_input),
        known,
        None if as_given is None else as_given.name,
        now=defaults_of(make, tuple(values)) if now is None else _size_now(now, tuple(values)),
        **settings,
    )
    return recommend_family(Family(request, make, example_input, as_given, make_optimizer), progress)


def _size_now(now: int | Sequence[int], names: Sequence[str]) -> tuple[int, ...]:
    """The size that is trained now. Raises UsageError for one that lacks a value."""
    values = several(now)
    if len(values) != len(names) or not all(isinstance(one, int) and one > 0 for one in values):
        raise UsageError(f"now is {now!r}; expected a value for each of {', '.join(names)}, such as 96")
    return values


def recommend_in_python(make: Any, stated: Iterable[str], **options: Any) -> FamilyRecommendation:
    """As `recommend_made`, with options as Python gives them; ``stated`` are those about other networks."""
    if not callable(make):
        raise UsageError(
            f"recommend was given {make!r:.60}, and takes a function that builds modules without a name; write "
            f"input_dim=784 for fully connected networks, data= for those of a table"
        )
    refuse_others([*stated, *options], in_python=True)
    check_known("recommend", options, FamilyOptions.__annotations__)
    levels = options.pop("levels", None)
    return recommend_made(make, levels=None if levels is None else several(levels), **options)


def _shapes(example: Any) -> tuple[str, ...]:
    """The shapes of an example, as the record tells them; a function's are its own."""
    if callable(example) and not hasattr(example, "shape"):
        return ("a function of the size",)
    parts = example.values() if isinstance(example, Mapping) else example if _is_list(example) else [example]
    return tuple(f"{','.join(map(str, part.shape))}:{part.dtype}" for part in parts if hasattr(part, "shape"))


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))

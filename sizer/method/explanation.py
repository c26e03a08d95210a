"""What speaks for a size, in words: why it is listed, the arithmetic with its numbers put in, and why it is not."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from sizer.base.units import format_bytes, format_chance, format_count, format_widths
from sizer.method.coefficients import LAUNCH_TERMS, QUANTITY_UNIT, Coefficients
from sizer.method.cost import predict
from sizer.method.cost_to_loss import Law
from sizer.method.placement import Hierarchy, place
from sizer.method.recommendation import Anchor, Candidate, Neighbour, PlacedSet, Recommendation
from sizer.method.sweep import (
    ANCHOR_SETS,
    WINDOW,
    Family,
    PricedSweep,
    Sweep,
    apply_limits,
    at_widths,
    countable,
    families,
    price,
    row_of,
)
from sizer.method.training_step import SET_NAMES
from sizer.models.topology import MAX_WIDTH, check_whole

#: Shares below this are not worth a word.
_SAME = 0.01
#: Beyond so many times as often, how many does not matter.
_MANY_TIMES = 90
#: What is in each working set.
SET_CONTENTS = {
    "f": "for the forward pass",
    "b": "weights, gradients, activations",
    "o": "weights, gradients, moments",
    "t_max": "between two layers",
    "d": "the data set",
}
#: The set that is placed before each one, and so may push it to a farther level (`placement.place_all`).
_BELOW = {"f": "t_max", "b": "t_max", "d": "b"}
_PLURAL = ("f", "t_max", "d")


class Half(NamedTuple):
    """A network half as wide: the share of the cost of a datum that it saves, and its chance of the same target."""

    saved: float
    chance: float


class Prospects(NamedTuple):
    """A network's chance of a target, how hard that is (``target``: as pilots say), and the network half as wide."""

    hardness: str
    chance: float
    half: Half | None


def why(
    swept: Sweep,
    placed: Mapping[str, PlacedSet | None],
    anchor: Anchor | None,
    neighbour: Neighbour | None,
    prospects: Prospects | None,
) -> str:
    """What a size reaches, which set fills which cache, where every set lives, and what smaller sizes would do."""
    parts = [] if prospects is None else [_reaches(prospects)]
    if anchor is None:
        parts.append("no set fills a cache once to twice")
    else:
        filling = placed[anchor.working_set]
        name = anchor.working_set
        contents = f"{SET_CONTENTS[name]}; {format_bytes(filling and filling.bytes)}"
        parts.append(f"{SET_NAMES[name]} ({contents}) {_verb('fill', name)} {anchor.level} {anchor.fill:.2f} times")
    hierarchy = swept.networks.hierarchy
    capacities = dict(zip(hierarchy.names, hierarchy.capacities, strict=True))
    parts.append(_homes({name: found for name, found in placed.items() if name != "d"}, capacities))
    if anchor is not None and neighbour is not None:
        parts.append(f"the largest that still fits {anchor.level} is {format_widths(neighbour.widths)}")
    if prospects is not None and prospects.half is not None:
        parts.append(_half_as_wide(prospects.chance, prospects.half))
    return "; ".join(parts)


def _reaches(prospects: Prospects) -> str:
    aim = "the target" if prospects.hardness == "target" else f"{prospects.hardness} targets"
    return f"reaches {aim} with {format_chance(prospects.chance)}"


def _half_as_wide(chance: float, half: Half) -> str:
    """``half as wide would be 10 % cheaper and fail twice as often``."""
    cheaper = "cheaper" if half.saved > 0 else "dearer"
    saved = "cost the same" if abs(half.saved) < _SAME else f"be {100 * abs(half.saved):.0f} % {cheaper} a datum"
    return f"half as wide would {saved} and fail {_how_often(1 - half.chance, 1 - chance)}"


def _how_often(failing: float, than: float) -> str:
    if failing < _SAME:
        return "as rarely"
    if failing > _MANY_TIMES * than:
        return f"over {_MANY_TIMES} times as often"
    times = failing / than
    if times < 1 + 10 * _SAME:
        return "as often"
    return "twice as often" if round(times, 1) == 2 else f"{times:.2g} times as often"


def _verb(verb: str, name: str) -> str:
    """The verb in the number of the set's name."""
    return verb if name in _PLURAL else f"{verb}s"


def _homes(placed: Mapping[str, PlacedSet | None], capacities: Mapping[str, float]) -> str:
    """Where sets live, nearest first: ``activations in L1; weights in L2 (activations already fill L1)``."""
    homes = {name: home(name, placed, capacities) for name, found in placed.items() if found is not None}
    by_home = {where: [name for name in homes if homes[name] == where] for where in sorted(set(homes.values()))}
    parts = [f"{', '.join(SET_NAMES[name] for name in names)} in {where}" for where, names in by_home.items()]
    return "; ".join(parts) if len(parts) > 1 else f"all live in {next(iter(by_home))}"


def home(name: str, placed: Mapping[str, PlacedSet | None], capacities: Mapping[str, float]) -> str:
    """The level where a set lives and, if it would fit a nearer one, what fills that: ``L2 (activations already ...)``.

    ``capacities`` are the bytes of one instance of each level, nearest first.
    """
    found, below = placed[name], _BELOW.get(name)
    if found is None or found.level is None:
        return "no level"
    nearer = itertools.takewhile(lambda level: level != found.level, capacities)
    fitting = next((level for level in nearer if found.bytes <= capacities[level]), None)
    if fitting is None or below is None:
        return found.level
    return f"{found.level} ({SET_NAMES[below]} already {_verb('fill', below)} {fitting})"


def pushed_up(swept: Sweep, index: int) -> Iterator[str]:
    """A warning for f or b where one wide layer's t_l alone pushes it to a farther level."""
    sizes = swept.networks.sets.t.distributed[:, index]
    order = np.argsort(sizes)
    widest, second = int(order[-1]), int(sizes[order[-2]])
    hierarchy = swept.networks.hierarchy
    one = swept.networks.working_set("t_max")._replace(replicated=np.array([0]), distributed=np.array([second]))
    below = np.floor(place(np.zeros(1), one, hierarchy).occupied)
    for name in ("f", "b") if swept.family.purpose == "training" else ("f",):
        whole = swept.networks.working_set(name)
        alone = whole._replace(
            replicated=whole.replicated[index : index + 1], distributed=whole.distributed[index : index + 1]
        )
        lives = int(swept.networks.placement(name).level[index])
        without = int(place(below, alone, hierarchy).level[0])
        if without < lives:
            yield (
                f"layer {widest + 1}'s inter-layer set ({format_bytes(int(sizes[widest]))}) alone pushes "
                f"{SET_NAMES[name]} from {hierarchy.name(without)} to {hierarchy.name(lives)}"
            )


def explain(record: Recommendation, candidate: Candidate) -> Iterator[str]:
    """Lines that work out each set of a candidate from its widths (`docs/method.md`)."""
    training, sets = record.request.training(candidate.batch_size), candidate.working_sets
    element, P = training.element, format_count(candidate.num_free_parameters)
    full = candidate.topology.full
    pairs = list(itertools.pairwise(full))
    widest = max(range(len(pairs)), key=lambda index: sum(pairs[index]))
    w_in, w_out = pairs[widest]
    unit = f"{element.activation_bytes} B x {candidate.batch_size}"  # an activation of every observation of the batch
    yield f"P = {_parameters(pairs)} = {P} trainable parameters"
    yield f"t_max (activations) = {unit} x ({w_in} + {w_out}) = {_size(sets['t_max'])}, layer {widest + 1}, distributed"
    yield f"f (weights) = {element.forward_parameter_bytes} B x {P} = {_size(sets['f'])}, replicated"
    if record.request.purpose == "training":
        replicated = element.backward_parameter_bytes * candidate.num_free_parameters
        distributed = element.activation_bytes * candidate.batch_size * (sum(full) - w_in - w_out)
        yield (
            f"b (backward) = {element.backward_parameter_bytes} B x {P} = {_size(replicated)} replicated"
            f" + {unit} x {sum(full)} - t_max = {_size(distributed)} distributed"
        )
        tensors = f"(2 + {training.moments}) x {element.master_bytes} B"
        yield f"o (optimizer) = {tensors} x {P} = {_size(sets['o'])}, distributed"
    if training.observations is not None:
        data = f"{training.observations} x {element.data_bytes} B"
        yield f"d (data) = {data} x ({full[0]} + {full[-1]}) = {_size(sets['d'])}, distributed"
    yield from _fills(record, candidate)
    yield from _prices(record, candidate)


def _parameters(pairs: list[tuple[int, int]]) -> str:
    """The sum of (w_in + 1) w_out; equal layers are counted together."""
    counted = {pair: pairs.count(pair) for pair in pairs}
    terms = [f"{f'{count} x ' if count > 1 else ''}({w_in} + 1) x {w_out}" for (w_in, w_out), count in counted.items()]
    return " + ".join(terms)


def _size(found: int | PlacedSet | None) -> str:
    size = found.bytes if isinstance(found, PlacedSet) else found or 0
    return f"{format_count(size)} B ({format_bytes(size)})"


def _fills(record: Recommendation, candidate: Candidate) -> Iterator[str]:
    """How far every set fills every cache: (replicated + distributed / instances) / capacity of one instance."""
    swept = _priced_at(record, candidate).sweep
    hierarchy = swept.networks.hierarchy
    for index, level in hierarchy.caches():
        for name in ANCHOR_SETS[record.request.purpose]:
            parts = swept.networks.working_set(name)
            yield (
                f"{name} ({SET_NAMES[name]}) fills {level} ({format_count(int(parts.replicated[0]))} + "
                f"{format_count(int(parts.distributed[0]))} / {hierarchy.instances[index]}) / "
                f"{format_count(hierarchy.capacities[index])} = {swept.fill(name, index)[0]:.3f} times"
            )


def _prices(record: Recommendation, candidate: Candidate) -> Iterator[str]:
    """The terms of the cost of one datum, largest first."""
    coefficients: Coefficients = record.coefficients
    if coefficients.source == "none":
        return
    unit = QUANTITY_UNIT[coefficients.quantity]
    row = row_of(_priced_at(record, candidate).sweep, coefficients)
    counts = {name: float(count[0]) for name, count in row.items()}
    terms = {name: value * counts[name] for name, value in coefficients.terms.items() if value and counts.get(name)}
    for name, cost in sorted(terms.items(), key=lambda item: -item[1]):
        yield f"{name}: {counts[name]:.6g} x {coefficients.terms[name]:.4g} {unit} = {cost:.4g} {unit} a step"
    total = float(predict({name: np.array([count]) for name, count in counts.items()}, coefficients)[0])
    if terms.keys() & LAUNCH_TERMS and coefficients.quantity == "time":
        launch = sum(cost for name, cost in terms.items() if name in LAUNCH_TERMS)
        yield f"launching takes {launch:.4g} s, the GPU's work {sum(terms.values()) - launch:.4g} s: the longer counts"
    per_datum = total / candidate.batch_size
    yield f"one step {total:.4g} {unit} / batch {candidate.batch_size} = {per_datum:.4g} {unit} a datum"


def _priced_at(record: Recommendation, candidate: Candidate) -> PricedSweep:
    """The candidate's network alone, analysed and priced again."""
    family = next(family for family in families(record.request) if _is_of(candidate, family))
    return _priced(record, family, candidate.widths[0])


def _priced(record: Recommendation, family: Family, first_width: int) -> PricedSweep:
    swept = at_widths(family, Hierarchy.of(record.device), np.array([first_width]))
    return price(swept, record.coefficients, Law.of(record.request))


def why_not(record: Recommendation, first_width: int) -> Iterator[str]:
    """For each family asked for, why the network of this first width is, or is not, on the list.

    Raises UsageError for a width that no layer has.
    """
    check_whole("the first width", first_width, 1, MAX_WIDTH)
    for family in families(record.request):
        head = f"{family.shape}, depth {family.depth}, batch {family.training.batch_size}"
        if not countable(family, np.array([first_width]))[0]:
            yield f"{head}, {first_width} wide: it is beyond what can be counted"
            continue
        priced = _priced(record, family, first_width)
        widths = tuple(priced.sweep.networks.full[1:, 0].tolist())
        yield f"{head}, {format_widths(widths)}: {_verdict(record, priced, widths)}"


def _verdict(record: Recommendation, priced: PricedSweep, widths: tuple[int, ...]) -> str:
    swept = priced.sweep
    rivals = [candidate for candidate in record.candidates if _is_of(candidate, swept.family)]
    listed = next((candidate for candidate in rivals if candidate.widths == widths), None)
    if listed is not None:
        return f"it is on the list, rank {listed.rank}"
    if not swept.fits()[0]:
        return "it has a working set that no level of the device holds"
    if apply_limits(priced, record.request, record.coefficients.quantity).to_loss[0] == float("inf"):
        return "it is beyond the limit given"
    relative = _against_the_optimum(record, swept)
    fills = {  # how far each set fills each cache that may be an anchor, and whether that makes it one
        f"{SET_NAMES[name]} {_verb('fill', name)} {level} {window.fill[0]:.2f} times": bool(window.inside[0])
        for (name, level), window in priced.windows.items()
        if level in (record.request.levels or ())
    }
    if any(fills.values()):
        inside = " and ".join(text for text, is_inside in fills.items() if is_inside)
        return f"{inside}, but a cheaper size of the same window is listed, or --top cut it off; {relative}"
    return f"no set fills a cache {WINDOW[0]:g} to {WINDOW[1]:g} times ({', '.join(fills)}); {relative}"


def _against_the_optimum(record: Recommendation, swept: Sweep) -> str:
    """What reaching a loss costs with one network, by its place on the curve of its family, or that it is beyond it."""
    of_family = [point for point in record.curve if (point.shape, point.depth, point.batch_size) == swept.family.key]
    known = [point for point in of_family if point.relative_cost_to_loss is not None]
    sizes = np.log([point.num_free_parameters for point in known])
    costs = np.log([point.relative_cost_to_loss or np.inf for point in known])
    size = np.log(swept.num_free_parameters[0])
    cost = f"{np.exp(np.interp(size, sizes, costs)):.3g}x the optimum"
    if size > sizes[-1]:
        return f"it is larger than every size compared, the largest of which costs {cost} to reach a loss"
    return f"reaching a loss costs {cost}"


def _is_of(candidate: Candidate, family: Family) -> bool:
    return (candidate.shape, candidate.depth, candidate.batch_size) == family.key

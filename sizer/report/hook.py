"""What the hook prints: plain lines of at most 80 columns, made without the libraries that a command's report loads."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sizer.base.units import counted, format_bytes, format_count, format_quantity
from sizer.base.visible import visible
from sizer.inspection.module_record import (
    Advice,
    MeasuredRecord,
    ModuleInspection,
    OperatorsRecord,
    PartRecord,
    StepRecord,
)
from sizer.method.explanation import home
from sizer.method.training_step import SET_NAMES
from sizer.report.layout import STEP_PARTS

if TYPE_CHECKING:
    from sizer.hook.blocks import Unseen
    from sizer.method.hardware import Device
    from sizer.method.recommendation import PlacedSet

#: Share of the time that goes into waiting, or into the script's own rest, from which that is said before all else.
LOST = 0.5
#: Share of the time that goes into waiting for data from which it is among what to do: less than that no loader saves.
WAITS = 0.2
#: Optimizers shown: a script may make one for each parameter.
BLOCKS = 4
#: Parts named one a line.
_PARTS = 6
#: Most lines of advice at the end of a report.
_TOLD = 3
#: What is worth most comes first: waiting for data, another size, the fused form, then what lies near.
_RANKS = ("size", "fused", "launch", "narrower", "batch", "free room", "pushes")
#: Part of a layer's kind -> what people call such layers.
_FAMILIES = {
    "Conv": "convolutions",
    "LSTM": "recurrent layers",
    "GRU": "recurrent layers",
    "RNN": "recurrent layers",
    "Attention": "attention",
    "Transformer": "attention",
    "Embedding": "embeddings",
    "Norm": "normalisation",
    "Dropout": "dropout",
}


def training_text(
    blocks: Sequence[ModuleInspection | Unseen], measured: MeasuredRecord | None = None, waited: float | None = None
) -> str:
    """The report of a training, a block for each optimizer.

    ``waited`` is the share of the first step that went into waiting for data, None where it is not known.
    """
    lines = list(_before_all(measured, waited))
    notes: list[str] = []
    for index, block in enumerate(blocks[:BLOCKS]):
        if len(blocks) > 1:
            lines.append(f"optimizer {index + 1} of {len(blocks)}:")
        lines += _block_lines(block) if isinstance(block, ModuleInspection) else _unseen_lines(block)
        notes += block.notes if isinstance(block, ModuleInspection) else ()
    if len(blocks) > BLOCKS:
        lines.append(f"and {counted(len(blocks) - BLOCKS, 'more optimizer')}")
    lines += dict.fromkeys(notes)
    if measured is not None:
        first = blocks[0] if blocks and isinstance(blocks[0], ModuleInspection) else None
        lines += _measured_lines(measured, first)
    lines += [
        f"to do: {text}" for text in _to_do([one for one in blocks if isinstance(one, ModuleInspection)], measured)
    ]
    return "\n".join(text for line in lines for text in wrapped(line))


def _to_do(records: Sequence[ModuleInspection], measured: MeasuredRecord | None) -> list[str]:
    """What to change, of all optimizers' networks; or why there is nothing to say of the first."""
    if not records:
        return []
    waiting = 0.0 if measured is None else measured.shares["waiting"]
    told = "give the DataLoader workers, or keep the data in memory"
    first = [f"{percent(waiting)} of the time goes into waiting for data: {told}"] if waiting >= WAITS else []
    advised = [each for each in records if each.advice] or list(records[:1])
    found = dict.fromkeys(text for record in advised for text in what_to_do(record, first))
    return list(found)[:_TOLD]


def percent(share: float) -> str:
    """A share as ``85 %``."""
    return f"{100 * share:.0f} %"


def wrapped(line: str) -> list[str]:
    """A line as lines of at most 80 columns, each with the name in front."""
    return textwrap.wrap(
        visible(line),
        80,
        initial_indent="sizer: ",
        subsequent_indent="sizer:   ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _before_all(measured: MeasuredRecord | None, waited: float | None) -> Iterator[str]:
    """A script that does not compute most of the time is told so first: no size changes that."""
    if measured is not None:
        waiting, rest = measured.shares["waiting"], measured.shares["rest"]
        if waiting + rest >= LOST:
            what = "waiting for data" if waiting >= rest else "the script's own code between the passes"
            share = waiting if waiting >= rest else rest
            told = "look there first, no size of the network changes that"
            yield f"{percent(share)} of the time goes into {what}: {told}"
    elif waited is not None and waited >= LOST:
        yield (
            f"the first step waited for its data {percent(waited)} of the time; if `sizer run --measure` says so of "
            f"more steps, look there first"
        )


def _block_lines(record: ModuleInspection) -> Iterator[str]:
    yield _headline(record)
    if record.step is not None:
        yield from _part_lines(record.step.parts)
        yield from _coverage(record, record.step)
    settings = f"{_batch(record.batch_size, record.first_dimension)}, {record.dtype}, {record.optimizer}"
    if record.optimizer_implementation is not None:
        settings += f" ({record.optimizer_implementation})"
    yield f"{settings}, on {record.device.id}"
    sets = {SET_NAMES[name]: found for name, found in record.working_sets.items() if found is not None}
    placed = [
        f"{name} {format_bytes(found.bytes)} in {level}"
        for (name, found), level in zip(sets.items(), homes(record.working_sets, record.device), strict=True)
    ]
    yield f"working sets: {', '.join(placed)}; saved for backward {format_bytes(record.saved_activation_bytes)}"
    yield f"step: {step_text(record)}"
    if record.step is not None:
        yield from _step_lines(record.step)
    if record.refused is not None:
        yield f"does not fit: {record.refused}"


def homes(working_sets: Mapping[str, PlacedSet | None], device: Device) -> list[str]:
    """Where each of the known sets lives and, if it would fit a nearer level, what fills that."""
    capacities = {level.name: level.sizing_bytes or 0 for level in device.sizing_levels()}
    return [home(name, working_sets, capacities) for name, found in working_sets.items() if found]


def _headline(record: ModuleInspection) -> str:
    """What trains: ``Sequential 20-8-1, 177 parameters, all trained``."""
    widths = "" if record.widths is None else f" {'-'.join(map(str, record.widths))}"
    return f"{record.module}{widths}, {counted(record.num_parameters, 'parameter')}, {trained_text(record)}"


def trained_text(record: ModuleInspection) -> str:
    """How many of the parameters train and how many are frozen."""
    frozen = record.num_parameters - record.num_trainable_parameters
    if not frozen:
        return "all trained"
    return f"{format_count(record.num_trainable_parameters)} trained, {format_count(frozen)} frozen"


def _batch(observations: int | None, first_dimension: int | None) -> str:
    """``batch 20``, or the first dimension where that may be no batch."""
    if observations is None:
        return "no input tensor" if first_dimension is None else f"first dimension {first_dimension}"
    if first_dimension not in (None, observations) and observations != 1:
        return f"batch {observations} (first dimension {first_dimension})"
    return f"batch {observations}"


def _part_lines(parts: Sequence[PartRecord]) -> Iterator[str]:
    """Each part of a step that has several."""
    if len(parts) < 2:
        return
    for part in parts[:_PARTS]:
        widths = "" if part.widths is None else f" {'-'.join(map(str, part.widths))}"
        name = f"{part.name} ({part.kind}{widths})" if part.name else f"{part.kind}{widths}"
        calls = f"{counted(part.calls, 'call')},{' each' if part.calls > 1 else ''}"
        of_batch = _batch(part.batch_size, part.first_dimension)
        yield f"part {name}: {counted(part.num_parameters, 'parameter')}, {calls} {of_batch}"
    if len(parts) > _PARTS:
        rest = parts[_PARTS:]
        total = sum(part.num_parameters for part in rest)
        calls = counted(sum(part.calls for part in rest), "call")
        yield f"and {counted(len(rest), 'more part')}: {counted(total, 'parameter')}, {calls}"


def _coverage(record: ModuleInspection, step: StepRecord) -> Iterator[str]:
    """Which share of what the optimizer trains this is."""
    if step.covered_parameters >= step.optimizer_parameters:
        yield f"that is 100 % of what {record.optimizer} trains ({counted(step.optimizer_parameters, 'parameter')})"
    else:
        share = step.covered_parameters / step.optimizer_parameters
        yield (
            f"that covers {percent(share)} of what {record.optimizer} trains: {format_count(step.covered_parameters)} "
            f"of {counted(step.optimizer_parameters, 'parameter')}; the rest was not in a module called here"
        )


def _step_lines(step: StepRecord) -> Iterator[str]:
    """How a step is made up, where it is more than one call and one backward pass."""
    if (step.calls, step.backward_passes) != (1, 1):
        passes = counted(step.backward_passes, "backward pass", "backward passes")
        yield f"a step is {counted(step.calls, 'call')} and {passes}"
    if step.others:
        names = Counter(step.others)
        steps = " and ".join(f"{times} step{'s' if times > 1 else ''} of {name}" for name, times in names.items())
        yield (
            f"the FLOPs are all that lie between two of its steps, with {steps}; {format_count(step.own_flops)} of "
            f"them end in its own step"
        )
    if not step.flops_counted:
        yield "FLOPs are those of the modules' calls, traced; the script's other computations are not among them"


def _unseen_lines(block: Unseen) -> Iterator[str]:
    modules = f"{', '.join(block.modules)}: " if block.modules else ""
    yield f"{modules}{counted(block.parameters, 'parameter')}, trained by {block.optimizer}"
    yield f"no working sets, no prediction: {block.why}"
    if block.flops is not None:
        yield f"step: {format_count(sum(block.flops))} FLOPs, counted between two of its steps"


def what_to_do(record: ModuleInspection, first: Sequence[str] = ()) -> list[str]:
    """What to change, at most three sentences, the one worth most first; or the true reason why there is none.

    ``first`` goes before what the record advises.
    """
    rank = {kind: number for number, kind in enumerate(_RANKS)}
    ranked = sorted(record.advice, key=lambda advice: (rank.get(advice.kind, len(rank)), advice.effect or 0.0))
    told = [*first, *map(advice_text, ranked)][:_TOLD]
    return told or [f"nothing to change was found: {_why_nothing(record)}"]


def _why_nothing(record: ModuleInspection) -> str:
    """Why there is no advice: of what was looked at nothing pays, or nothing could be compared, and for what reason."""
    if record.outside is not None:
        return f"its cost is not predicted ({unpredicted(record)})"
    if record.operators is not None:
        return "only fully connected networks are compared with others near them"
    if record.widths is None or (record.step is not None and record.step.calls != 1):
        return "the step is more than one call of one network, and widths were not compared"
    return "no width, batch size or form of the optimizer near this one saves 3 % surely, and no size half of the cost"


def unpredicted(record: ModuleInspection) -> str:
    """What of a module has no predicted cost: ``convolutions``; else the reason as it was found.

    Where operators are timed here it is those that are not: ``98 % of the step are operators ...``.
    """
    if record.operators is not None:
        return str(record.outside).partition(": ")[2].partition(" (")[0]
    kinds = {layer.kind for layer in record.layers}
    for name, words in _FAMILIES.items():
        if any(name in kind for kind in kinds):
            return words
    return str(record.outside)


def step_text(record: ModuleInspection) -> str:
    """The predicted cost of a step with its interval and label, or why there is none."""
    flops = f"{format_count(record.flops.forward + record.flops.backward)} FLOPs"
    if record.outside is not None:
        return f"{flops}; {record.outside}"
    value, unit = (record.energy_per_step_j, "J") if record.time_per_step_s is None else (record.time_per_step_s, "s")
    cost = format_quantity(value, unit)
    if record.interval is not None:
        low, high = (format_quantity(end, unit) for end in record.interval)
        cost += f" ({low} to {high}, 90 % interval)"
    by = "" if record.operators is None else f" ({operators_text(record.operators)})"
    return f"{cost}, {record.label}{by}; {flops}"


def operators_text(record: OperatorsRecord) -> str:
    """What a step's time was added up from: ``87 % of it in operators timed here, 12 % interpolated, 1 % unknown``."""
    if record.source != "timed":
        return "from datasheet peaks, operator by operator"
    shares = {
        "in operators timed here": record.measured_share,
        "interpolated": record.interpolated_share,
        "unknown": record.unknown_share,
    }
    told = [f"{percent(share)} {how}" for how, share in shares.items() if share >= 0.005]
    return ", ".join(told)


def advice_text(advice: Advice) -> str:
    """One piece of advice on a line: ``hidden 512 -> 500: keeps backward inside L2 (now in L3): -9 % (-12 to -6)``."""
    text = f"{advice.change}: {advice.reason}"
    if advice.effect is None:
        return text
    text += f": {100 * advice.effect:+.1f} %"
    if advice.interval is not None:
        low, high = advice.interval
        text += f" ({100 * low:+.1f} to {100 * high:+.1f})"
    return text


def _measured_lines(measured: MeasuredRecord, record: ModuleInspection | None) -> Iterator[str]:
    """Measured beside predicted: from one step of the optimizer to its next, where that time goes, what compares."""
    optimizer = "" if record is None else f" of {record.optimizer}"
    step = format_quantity(measured.time_per_step_s, "s")
    yield f"measured {step} from one step{optimizer} to its next (20th percentile of {measured.steps})"
    shares = [f"{percent(share)} {STEP_PARTS[name]}" for name, share in measured.shares.items() if share >= 0.005]
    where = ", by the GPU's own clock" if measured.clock == "device" else ""
    yield f"of that time{where}: {', '.join(shares)}"
    computing = format_quantity(measured.computing_s, "s")
    if record is None or record.time_per_step_s is None:
        yield f"forward, backward and optimizer take {computing}; there is no predicted time to compare with"
        return
    times = measured.computing_s / record.time_per_step_s
    predicted = format_quantity(record.time_per_step_s, "s")
    if record.step is not None and record.step.others:
        yield (
            f"forward, backward and optimizer up to its own step take {computing}; the predicted {predicted} "
            f"({record.label}) are of all calls of its networks between two steps"
        )
        return
    yield (
        f"forward, backward and optimizer take {computing}: {times:.2f} times the predicted {predicted} "
        f"({record.label})"
    )

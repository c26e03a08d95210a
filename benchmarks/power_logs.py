"""120 power logs written from known samples, in all combinations of what loggers vary, against the exact joules.

Each is written in a family of formats (GPU tool, board controller, home automation, plug, UPS, PDU and plain tables), a
unit, a decimal mark, an order of dates, a form of time zone, with or without a preamble, with bad samples outside the
run. It must be read to the exact joules of the run, or be refused with a reason; a log that is read to other joules is
counted as wrong, printed, and makes the exit code 1.

    python benchmarks/power_logs.py [--logs 120] [--seed 0] [--show]
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sizer.base.errors import SizerError
from sizer.meters.power_log import energy_between
from sizer.meters.wattmeter_csv import LogFormat, read_power_log

BEGIN_S = 1_741_290_000
SECONDS = 180
#: The run, in seconds since the log began: cut within samples at both ends.
RUN = (20.25, 150.75)
LOCAL = ZoneInfo("Europe/Berlin")
BAD = ("unavailable", "N/A", "", "[Not Supported]", "ERR!", "no reading")


class Variant(NamedTuple):
    """What a log is written in."""

    family: str
    unit: str
    mark: str
    dates: str
    zone: str
    preamble: bool


class Sample(NamedTuple):
    """A sample as text: its time by the variant, its power in the unit (bad outside the run), the unit."""

    unix_s: int
    date: str
    clock: str
    zone: str
    power: str
    unit: str
    others: tuple[str, ...]


DATES = {
    "iso": ("%Y-%m-%d", "%H:%M:%S"),
    "slashes": ("%Y/%m/%d", "%H:%M:%S"),
    "day.month": ("%d.%m.%Y", "%H:%M:%S"),
    "day/month": ("%d/%m/%Y", "%H:%M:%S"),
    "month/day": ("%m/%d/%Y", "%I:%M:%S %p"),
    "named": ("%d-%b-%Y", "%H:%M:%S"),
}
#: "kW, unsaid" is in kW and says no unit: only a reason for refusing it is right.
PER_WATT = {"W": 1.0, "kW": 1e-3, "mW": 1e3, "unsaid": 1.0, "kW, unsaid": 1e-3, "VA": 1.0}


def known_watts(seed: int) -> list[float]:
    """A power each second: a machine that idles, trains and idles again, to 0.01 W."""
    chance = random.Random(seed)  # noqa: S311 (no secret)
    return [round(90 + 140 * (30 < second < 140) + chance.uniform(-8, 8), 2) for second in range(SECONDS)]


def exact_joules(watts: list[float]) -> float:
    """Each sample held for its second, cut at both ends of the run."""
    held = ((min(second + 1, RUN[1]) - max(second, RUN[0]), power) for second, power in enumerate(watts))
    return math.fsum(seconds * power for seconds, power in held if seconds > 0)


def number(watts: float, unit: str, mark: str) -> str:
    """A power in the unit, to 0.01 W or as kW to 0.01 W."""
    value = watts * PER_WATT[unit]
    digits = {"kW": 5, "kW, unsaid": 5, "mW": 0}.get(unit, 2)
    return f"{value:.{digits}f}".replace(".", mark)


def samples(variant: Variant, watts: list[float]) -> Iterator[Sample]:
    """The samples of a log, with bad ones outside the run."""
    chance = random.Random(repr(variant))  # noqa: S311 (no secret)
    for second, power in enumerate(watts):
        unix_s = BEGIN_S + second
        at = datetime.fromtimestamp(unix_s, timezone.utc)
        local = at.astimezone(LOCAL) if variant.zone in ("offset", "named") else at
        date, clock = (local.strftime(form) for form in DATES[variant.dates])
        is_bad = (second < RUN[0] - 2 or second > RUN[1] + 1) and second > 2 and chance.random() < 0.2
        text = chance.choice(BAD) if is_bad else number(power, variant.unit, variant.mark)
        zone = {"utc": "Z" if variant.dates == "iso" else " UTC", "offset": "+01:00"}.get(variant.zone, "")
        others = (number(230.1 + second % 3, "W", variant.mark), str(35 + second % 9))
        yield Sample(unix_s, date, clock, zone, text, "" if is_bad else said(variant), others)


def said(variant: Variant) -> str:
    """The unit that the log says."""
    return "" if "unsaid" in variant.unit else variant.unit


def moment(one: Sample, variant: Variant) -> str:
    """A time in one cell."""
    return str(one.unix_s) if variant.zone == "epoch" else f"{one.date} {one.clock}{one.zone}"


def quoted(text: str, mark: str) -> str:
    """A cell between commas."""
    return f'"{text}"' if mark == "," else text


def gpu_tool(variant: Variant, log: list[Sample]) -> str:
    """``nvidia-smi --format=csv``."""
    unit = f" [{said(variant)}]" if said(variant) else ""
    rows = (
        f"{moment(one, variant)}, 0, {quoted(f'{one.others[0]} V', variant.mark)}, "
        f"{quoted(f'{one.power} {one.unit}'.strip(), variant.mark)}"
        for one in log
    )
    return "\n".join((f"timestamp, index, voltage, power.draw{unit}", *rows))


def gpu_tool_bare(variant: Variant, log: list[Sample]) -> str:
    """``nvidia-smi --format=csv,noheader``."""
    rows = (f"{moment(one, variant)}, {quoted(f'{one.power} {one.unit}'.strip(), variant.mark)}" for one in log)
    return "\n".join(rows)


def controller(variant: Variant, log: list[Sample]) -> str:
    """``ipmitool sensor`` with a time before each line."""
    rows = (
        f"{moment(one, variant)} | Pwr Consumption | {one.power} | {said(variant) or 'unspecified'} | ok | na"
        for one in log
    )
    return "\n".join(rows)


def controller_blocks(variant: Variant, log: list[Sample]) -> str:
    """``ipmitool dcmi power reading`` below a line of the time."""
    blocks = (
        f"{moment(one, variant)}\n    Instantaneous power reading:      {one.power} {one.unit}\n"
        "    Maximum during sampling period:   317 Watts\n    Power reading state is:   activated\n"
        for one in log
    )
    return "\n".join(blocks)


def history(variant: Variant, log: list[Sample]) -> str:
    """The history that Home Assistant exports."""
    name = f"sensor.rack_power{'_' + said(variant) if said(variant) else ''}"
    rows = (f"{name},{quoted(one.power, variant.mark)},{moment(one, variant)}" for one in log)
    return "\n".join(("entity_id,state,last_changed", *rows))


def history_with_units(variant: Variant, log: list[Sample]) -> str:
    """A history with units, of two sensors."""
    rows = []
    for one in log:
        rows.append(f"sensor.rack,{quoted(one.power, variant.mark)},{said(variant)},{moment(one, variant)}")
        rows.append(f"sensor.volt,{quoted(one.others[0], variant.mark)},V,{moment(one, variant)}")
    return "\n".join(("entity_id,state,unit_of_measurement,last_changed", *rows))


def plug_objects(variant: Variant, log: list[Sample]) -> str:
    """What Tasmota sends, an object a line."""
    name = f"Power_{said(variant)}" if said(variant) else "Power"
    rows = (
        json.dumps({"Time": moment(one, variant), "ENERGY": {"Total": 1.5, name: one.power, "Factor": 0.98}})
        for one in log
    )
    return "\n".join(rows)


def separate_columns(sign: str) -> Callable[[Variant, list[Sample]], str]:
    """A table with a column of dates and one of clock times."""

    def written(variant: Variant, log: list[Sample]) -> str:
        unit = f" ({said(variant)})" if said(variant) else ""
        head = sign.join(("Date", "Time", "Voltage (V)", f"Active Power{unit}", "Energy (kWh)"))
        rows = (
            sign.join(
                (
                    one.date,
                    f"{one.clock}{one.zone}",
                    *(
                        quoted(text, variant.mark) if sign == "," else text
                        for text in (one.others[0], one.power, one.others[1])
                    ),
                )
            )
            for one in log
        )
        return "\n".join((head, *rows))

    return written


def row_of_units(variant: Variant, log: list[Sample]) -> str:
    """A German table with a row of units."""
    rows = (f"{moment(one, variant)};{one.others[0]};{one.power}" for one in log)
    return "\n".join(("Zeitstempel;Spannung;Leistung", f";V;{said(variant)}", *rows))


FAMILIES: dict[str, Callable[[Variant, list[Sample]], str]] = {
    "nvidia-smi": gpu_tool,
    "nvidia-smi without header": gpu_tool_bare,
    "ipmitool sensor": controller,
    "ipmitool dcmi": controller_blocks,
    "Home Assistant": history,
    "Home Assistant with units": history_with_units,
    "Tasmota objects": plug_objects,
    "UPS, tabs": separate_columns("\t"),
    "PDU, semicolons": separate_columns(";"),
    "PDU, commas": separate_columns(","),
    "units in a row": row_of_units,
}
PREAMBLE = "Rack PDU 4;Firmware 2.1.3\nSerial;004711\nExported by;admin\n\n"


def variants(count: int, seed: int) -> list[Variant]:
    """``count`` of all combinations, every family and every value of every part about as often."""
    every = list(itertools.product(FAMILIES, PER_WATT, ".,", DATES, ("utc", "offset", "named", "epoch"), (True, False)))
    random.Random(seed).shuffle(every)  # noqa: S311 (no secret)
    by_family = {family: [Variant(*one) for one in every if one[0] == family] for family in FAMILIES}
    # A quarter in units that must be refused, or taken from what the format is known to mean.
    turns = itertools.cycle(("W", "kW", "mW", *PER_WATT, "W", "kW", "mW"))
    chosen = []
    while len(chosen) < count:
        for family in FAMILIES:
            unit = next(turns)
            found = next(one for one in by_family[family] if one.unit == unit)
            by_family[family].remove(found)
            chosen.append(found)
    return chosen[:count]


def layout(variant: Variant) -> LogFormat:
    """What the reader is told: the zone where the log has none, the entity where it has two."""
    zone = {"named": "Europe/Berlin", "epoch": "UTC"}.get(variant.zone)
    node = "sensor.rack" if variant.family == "Home Assistant with units" else None
    return LogFormat(time_zone=zone, node=node)


def outcome(path: Path, variant: Variant, watts: list[float]) -> tuple[str, str]:
    """(exact, refused or WRONG; the line that was said)."""
    text = FAMILIES[variant.family](variant, list(samples(variant, watts)))
    path.write_text((PREAMBLE if variant.preamble else "") + text + "\n", encoding="utf-8")
    try:
        log = read_power_log(path, layout(variant))
    except SizerError as error:
        return "refused", str(error).replace(str(path), "FILE")
    energy = energy_between(log, BEGIN_S + RUN[0], BEGIN_S + RUN[1])
    if energy.joules is None:
        return "refused", "; ".join(energy.warnings).replace(str(path), "FILE")
    exact = exact_joules(watts)
    if math.isclose(energy.joules, exact, rel_tol=1e-9):
        return ("WRONG" if variant.unit == "VA" else "exact"), log.taken or ""
    return "WRONG", f"{energy.joules:.3f} J for {exact:.3f} J; {log.taken}"


def main() -> int:
    """Write, read, count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--logs", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print what was said of each log")
    given = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    reasons: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number_of, variant in enumerate(variants(given.logs, given.seed)):
            result, said = outcome(Path(folder) / f"log{number_of}.csv", variant, known_watts(given.seed + number_of))
            counts[variant.family, result] += 1
            if result == "refused":
                reasons[said.partition("; ")[2].partition("; ")[0][:70] or said[:70]] += 1
            if given.show or result == "WRONG":
                print(f"{result}: {' | '.join(map(str, variant))}: {said}")
    totals = Counter[str]()
    for (_, result), some in counts.items():
        totals[result] += some
    for family in FAMILIES:
        print(f"{family:28}" + "".join(f"{counts[family, r]:5d} {r}" for r in ("exact", "refused", "WRONG")))
    print("".join(f"{totals[r]} {r}  " for r in ("exact", "refused", "WRONG")) + f"of {given.logs} logs")
    for reason, some in reasons.most_common():
        print(f"  refused {some:3d}: {reason}")
    return 1 if totals["WRONG"] else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""What a first GPU has to prove, check by check: each writes what it found at once, and whether that is right.

    python benchmarks/gpu_checks.py FOLDER [--device cuda:0] [--dry] [CHECK ...]

FOLDER/checks.jsonl gets a line a finding: {"check", "what", "found", "expected", "ok"}; "ok" is null where there is
nothing to compare with. The exit status is 1 where any is false. ``--dry`` runs each check at its smallest, to see that
it runs at all (behind the fakes of the tests, say). Without names all run but `fresh` and `aged`, which want a
calibration.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_energy_checks import energy, meters
from gpu_findings import NETWORKS, Finding, Setting, by_events, near
from gpu_hook_checks import aged, hook
from torch import nn

from sizer.calibration.cache_probe import effective_l2_bytes, sweep_reads
from sizer.calibration.measurements import Case
from sizer.calibration.timed_step import half_of, make_step, time_run
from sizer.detection.detect import detect
from sizer.detection.gpu_device import why_not_usable
from sizer.detection.nvml import read_nvml
from sizer.devices import choose
from sizer.method.cost import predict_step
from sizer.method.training_step import Training
from sizer.models.topology import Topology
from sizer.profiles import Profile

#: Agreement that is asked of two ways to time a step, and of a prediction (the mean error of a calibration).
TIMES_AGREE, PREDICTION_ERROR = 0.05, 0.03


# Facts.


def facts(asked: Setting) -> Iterator[Finding]:
    """Driver, NVML, PyTorch and profile agree on what the GPU is."""
    from sizer import profiles

    yield Finding("PyTorch can use it", why_not_usable(asked.id), None, why_not_usable(asked.id) is None)
    yield Finding("detection's warnings", asked.device.warnings, (), not asked.device.warnings)
    levels = {level.name: level for level in asked.device.levels}
    if not asked.dry:
        properties = torch.cuda.get_device_properties(asked.id)
        yield Finding("name", asked.device.name, properties.name, asked.device.name == properties.name)
        counted = asked.device.units
        yield Finding("SMs", counted, properties.multi_processor_count, counted == properties.multi_processor_count)
        l2 = levels["L2"].capacity_bytes
        yield Finding("L2 by PyTorch", l2, properties.L2_cache_size, l2 == properties.L2_cache_size)
        memory = levels["RAM"].capacity_bytes or math.nan
        yield near("memory by PyTorch", memory, properties.total_memory, 0.05)
    profile = profiles.matching(asked.device.name, "cuda")
    yield Finding("profile", profile and profile.name, None, profile is not None)
    yield from _by_nvml(asked, profile)
    for level in () if profile is None else profile.device.levels:
        own = levels[level.name].capacity_bytes or math.nan
        yield near(f"{level.name} by the profile", own, level.capacity_bytes or math.nan, 0.05)


def _by_nvml(asked: Setting, profile: Profile | None) -> Iterator[Finding]:
    """What NVML says of the GPU of the same UUID: name, memory, and the power limit that the profile has."""
    if asked.dry:
        return
    uuid = asked.device.facts.get("uuid", {}).get("value")
    found = next((gpu for gpu in read_nvml() if gpu.uuid == uuid), None)
    yield Finding("UUID in NVML", uuid, found and found.uuid, found is not None)
    if found is None:
        return
    yield Finding("name by NVML", asked.device.name, found.name, asked.device.name == found.name)
    memory = next(level.capacity_bytes for level in asked.device.levels if level.name == "RAM")
    yield near("memory by NVML", memory or math.nan, found.memory_bytes or math.nan, 0.05)
    limit = None if profile is None else profile.power_w.get("limit")
    if limit is not None and found.power_limit_w is not None:
        yield near("power limit (W) by the profile", found.power_limit_w, limit.value, 0.02)


# Times.


def times(asked: Setting) -> Iterator[Finding]:
    """What a calibration times is what a step takes: against events, 2,000 steps with one wait, and a new process."""
    steps = int(asked.of(2000, 5))
    for case in NETWORKS[: int(asked.of(3, 1))]:
        name = f"{case.widths[0]}x{len(case.widths)} batch {case.batch_size}"
        cold = _cold_s(case, asked)
        timed = min(time_run(case, Training(), asked.of(0.2, 0.01), asked.id).step_s for _ in range(3))
        step = make_step(case, Training(), asked.id)
        for _ in range(10):
            step()
        torch.cuda.synchronize(asked.id)
        began = time.perf_counter()
        for _ in range(steps):
            step()
        torch.cuda.synchronize(asked.id)
        waited = (time.perf_counter() - began) / steps
        compared = (("events", by_events(step, asked.id, max(steps // 10, 2))), ("one wait", waited), ("cold", cold))
        for other, seconds in compared:
            found = near(f"{name}: timed, against {other}", timed, seconds, TIMES_AGREE)
            yield found._replace(ok=None) if asked.dry else found


def _cold_s(case: Case, asked: Setting) -> float:
    """The step's time as the first that a new process times."""
    program = (
        "from sizer.calibration.measurements import Case; from sizer.calibration.timed_step import time_run; "
        "from sizer.method.training_step import Training; "
        f"print(time_run(Case{tuple(case)!r}, Training(), {asked.of(0.2, 0.01)}, {asked.id!r}).step_s)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    return float(done.stdout)


def launches(asked: Setting) -> Iterator[Finding]:
    """Launch time a step, and kernels by the profiler, for depths 2 to 20: a straight line."""
    from torch.profiler import ProfilerActivity, profile

    depths = (2, 4, 8, 12, 16, 20)[: int(asked.of(6, 2))]
    seconds = []
    for depth in depths:
        case = Case("rectangle", 8, (*[8] * (depth - 1), 1), 32)
        seconds.append(time_run(case, Training(), asked.of(0.1, 0.01), asked.id).step_s)
        step = make_step(case, Training(), asked.id)
        activities = [ProfilerActivity.CPU] if asked.dry else [ProfilerActivity.CPU, ProfilerActivity.CUDA]
        step()
        with profile(activities=activities) as profiled:
            step()
            torch.cuda.synchronize(asked.id)
        kernels = sum(event.count for event in profiled.key_averages() if "cuda" in str(event.device_type).lower())
        yield Finding(f"depth {depth}", {"step_s": seconds[-1], "kernels": kernels})
    slope, start = np.polyfit(depths, seconds, 1)
    off = max(abs((start + slope * d) / s - 1) for d, s in zip(depths, seconds, strict=True))
    yield Finding("a layer and a step cost (s)", (float(slope), float(start)))
    yield Finding("furthest from a line", off, 0.1, None if asked.dry else off <= 0.1)


def widths(asked: Setting) -> Iterator[Finding]:
    """Where launching ends: widths 32 to 8,192 at two batches; no step where the sum of the L1 is filled."""
    doubled = [2**power for power in range(5, int(asked.of(14, 7)))]
    for batch in (256, 4096)[: int(asked.of(2, 1))]:
        cases = [Case("rectangle", width, (width, width, width), batch) for width in doubled]
        seconds = np.array([time_run(case, Training(), asked.of(0.15, 0.01), asked.id).step_s for case in cases])
        for case, step in zip(cases, seconds.tolist(), strict=True):
            yield Finding(f"width {case.input_dim} batch {batch} (s)", step)
        if asked.dry:
            continue
        waited = [w for w, s in zip(doubled, seconds, strict=True) if s < 1.1 * seconds.min()]
        yield Finding(f"batch {batch}: free up to width", max(waited))
        # The sum of the L1 is filled by one width's weights: no step may show there that its neighbours do not.
        grown = seconds[1:] / seconds[:-1]
        yield Finding(f"batch {batch}: steepest doubling", float(grown.max()), 5.0, bool(grown.max() <= 5.0))


def l2(asked: Setting) -> Iterator[Finding]:
    """The size of L2 that is read at full rate."""
    nominal = next(level.capacity_bytes for level in asked.device.levels if level.name == "L2") or 0
    nominal = nominal if not asked.dry else 1 << 18
    rates = sweep_reads(asked.id, nominal)
    for rate in rates[:: int(asked.of(4, 20))]:
        yield Finding(f"buffer of {rate.buffer_bytes >> 10} KiB (bytes/s)", rate.bytes_per_s)
    found = effective_l2_bytes(rates, nominal)
    stated = next(level.effective_bytes for level in asked.device.levels if level.name == "L2")
    if found is not None and stated is not None and not asked.dry:
        yield near("effective L2 (bytes), against what is stated", found, stated, 0.15)
    else:
        yield Finding("effective L2 (bytes)", found, stated)


def optimizers(asked: Setting) -> Iterator[Finding]:
    """Fused, foreach and single-tensor Adam on a network that waits for its program."""
    found = {}
    for form in ("fused", "foreach", "single"):
        model = nn.Sequential(*(nn.Linear(64, 64) for _ in range(8))).to(asked.id)
        options = {"fused": form == "fused", "foreach": form == "foreach"}
        optimizer = torch.optim.Adam(model.parameters(), **options)
        batch = torch.randn(256, 64, device=asked.id)

        def step(model=model, optimizer=optimizer, batch=batch) -> None:
            optimizer.zero_grad(set_to_none=True)
            model(batch).square().mean().backward()
            optimizer.step()

        for _ in range(3):
            step()
        found[form] = by_events(step, asked.id, int(asked.of(200, 2)))
        yield Finding(f"{form} (s)", found[form])
    fastest = min(found, key=found.__getitem__)
    yield Finding("fastest", fastest, "fused", None if asked.dry else fastest == "fused")


def precisions(asked: Setting) -> Iterator[Finding]:
    """Large products in each type, as a share of the profile's peak."""
    from sizer import profiles

    profile = profiles.matching(asked.device.name, "cuda")
    peaks = {} if profile is None else profile.peaks_flop_per_s
    size, before = int(asked.of(8192, 64)), torch.backends.cuda.matmul.allow_tf32
    for name in ("float64", "float32", "tf32", "mixed", "bfloat16", "float16"):
        torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
        dtype = torch.float32 if name in ("tf32", "mixed") else getattr(torch, name)
        one = torch.randn(size, size, device=asked.id).to(dtype)
        with torch.autocast("cpu" if asked.dry else "cuda", half_of(asked.id), enabled=name == "mixed"):
            seconds = by_events(lambda one=one: one @ one, asked.id, int(asked.of(10, 1)))
        rate = 2 * size**3 / seconds
        share = rate / peaks[name].value if name in peaks else None
        plausible = None if asked.dry or share is None else 0.3 <= share <= 1.05
        yield Finding(f"{name}: FLOP/s, share of peak", (rate, share), (0.3, 1.05), plausible)
    torch.backends.cuda.matmul.allow_tf32 = before


def measured(asked: Setting) -> Iterator[Finding]:
    """What `sizer run --measure` says a step takes, against events."""
    from sizer.hook.watching import Watch

    step = make_step(NETWORKS[1], Training(), asked.id)
    watch = Watch(quiet=True, measure=int(asked.of(50, 5)))
    with watch:
        for _ in range(int(asked.of(60, 10))):
            step()
    events = by_events(step, asked.id, int(asked.of(200, 2)))
    found = watch.measured_s
    good = None if asked.dry else found is not None and abs(found / events - 1) <= 2 * TIMES_AGREE
    yield Finding("--measure (s), against events", found, events, good)


# After a calibration.


def fresh(asked: Setting) -> Iterator[Finding]:
    """Fresh processes, without torch loaded and with one thread, find the calibration and hold to it."""
    asks = ["recommend", "--input-dim", "784", "--depth", "6", "--device", asked.id, "--json"]
    source = _sizer(asks, asked)["coefficients"]["source"]
    yield Finding("coefficients of recommend", source, "calibrated", None if asked.dry else source == "calibrated")
    record = _sizer(["validate", "--device", asked.id, "--budget", f"{asked.of(25, 5):.0f}s", "--json"], asked)
    for kind in ("launch_bound", "gpu_bound"):
        errors = record["by_bound"].get(kind, {"mean": None, "networks": 0})
        good = None if asked.dry else errors["mean"] is not None and errors["mean"] <= PREDICTION_ERROR
        yield Finding(f"mean error of {errors['networks']} {kind} networks", errors["mean"], PREDICTION_ERROR, good)
    yield from _default_adam(asked)
    yield from _swept(asked)


def _default_adam(asked: Setting) -> Iterator[Finding]:
    """PyTorch's default Adam, a foreach one on a GPU, is predicted as calibrated, and within the error."""
    import sizer

    model = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 8)).to(asked.id)
    optimizer = torch.optim.Adam(model.parameters())
    record = sizer.inspect(model, batch_size=256, optimizer=optimizer, device=asked.id)
    label = None if asked.dry else record.label == "calibrated"
    yield Finding("default Adam is", (record.label, record.outside), "calibrated", label)
    case = Case(None, 64, (512, 512, 8), 256, "foreach")
    measured = time_run(case, Training(), asked.of(0.2, 0.01), asked.id).step_s
    if record.time_per_step_s is not None:
        found = near("default Adam (s), against its prediction", measured, record.time_per_step_s, 0.15)
        yield found._replace(ok=None) if asked.dry else found


def _swept(asked: Setting) -> Iterator[Finding]:
    """The width sweep again, as the calibration predicts it: where launching ends, and beyond."""
    coefficients = choose(asked.id).coefficients
    for batch in (256, 4096)[: int(asked.of(2, 1))]:
        errors = []
        for width in (2**power for power in range(5, int(asked.of(14, 7)))):
            topology = Topology(None, width, (width, width, width))
            predicted, _ = predict_step(topology, Training(batch), asked.device, coefficients)
            case = Case(None, width, topology.widths, batch)
            errors.append(abs(predicted / time_run(case, Training(), asked.of(0.05, 0.01), asked.id).step_s - 1))
        mean = statistics.mean(errors)
        yield Finding(f"width sweep, batch {batch}: mean error", mean, 0.1, None if asked.dry else mean <= 0.1)


def _sizer(arguments: list[str], asked: Setting) -> dict[str, Any]:
    """The record of a command that runs in a process of its own, with one thread (behind a fake the CPU's own)."""
    environment = os.environ if asked.dry else {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "sizer", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    record: dict[str, Any] = json.loads(done.stdout)
    return record


# The search.


def search(asked: Setting) -> Iterator[Finding]:
    """A search's epochs take the wall clock's time."""
    import sizer

    draw = np.random.default_rng(0)
    features = draw.standard_normal((int(asked.of(20_000, 300)), 16)).astype(np.float32)
    targets = np.sin(features @ draw.standard_normal((16, 1)).astype(np.float32))
    began = time.perf_counter()
    limits = {"max_epochs": int(asked.of(20, 2)), "max_time_s": asked.of(20.0, 5.0)}
    record = sizer.search((features, targets), target_r2=0.6, device=asked.id, meter="none", fresh=True, **limits)
    wall = time.perf_counter() - began
    trained = record.spent.time_s if hasattr(record, "spent") else record.to_dict().get("spent", {}).get("time_s")
    inside = None if trained is None or asked.dry else 0.5 * wall <= trained <= wall
    yield Finding("epochs (s) of the wall clock (s)", (trained, wall), "at least half", inside)


CHECKS: dict[str, Callable[[Setting], Iterator[Finding]]] = {
    check.__name__: check
    for check in (
        *(
            facts,
            times,
            launches,
            widths,
            l2,
            optimizers,
            precisions,
            energy,
            meters,
            hook,
            measured,
            search,
            fresh,
            aged,
        ),
    )
}


#: Checks that want a calibration.
AFTERWARDS = ("fresh", "aged")


def run(names: list[str], asked: Setting, folder: Path) -> bool:
    """Run the checks, each finding written as it comes. Whether none is wrong."""
    sound = True
    with (folder / "checks.jsonl").open("a", encoding="utf-8") as stream:
        for name in names:
            began = time.monotonic()
            for finding in itertools.chain(_findings(CHECKS[name], asked), ()):
                sound = sound and finding.ok is not False
                stream.write(json.dumps({"check": name, **finding._asdict()}, default=str) + "\n")
                stream.flush()
                mark = {None: "    ", True: "ok  ", False: "BAD "}[finding.ok]
                expected = "" if finding.expected is None else f" (expected {finding.expected})"
                print(f"{mark}{name}: {finding.what}: {finding.found}{expected}", flush=True)
            print(f"    {name} took {time.monotonic() - began:.1f} s", flush=True)
    return sound


def _findings(check: Callable[[Setting], Iterator[Finding]], asked: Setting) -> Iterator[Finding]:
    """A check's findings; one that ends in an error is wrong, and the others go on."""
    try:
        yield from check(asked)
    except Exception as error:
        yield Finding("it ended in an error", f"{type(error).__name__}: {error}", None, False)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("checks", nargs="*", default=[], metavar="CHECK", help=", ".join(CHECKS))
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--dry", action="store_true")
    given = parser.parse_intermixed_args()
    device = detect().device(given.device)
    if device is None:
        sys.exit(f"gpu_checks: this machine has no {given.device}")
    given.folder.mkdir(parents=True, exist_ok=True)
    unknown = [name for name in given.checks if name not in CHECKS]
    if unknown:
        sys.exit(f"gpu_checks: no check is named {unknown[0]}; there are {', '.join(CHECKS)}")
    sys.exit(
        0
        if run(
            given.checks or [name for name in CHECKS if name not in AFTERWARDS],
            Setting(device, given.dry),
            given.folder,
        )
        else 1
    )


if __name__ == "__main__":
    main()

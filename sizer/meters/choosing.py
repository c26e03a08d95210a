"""Which meter: by name, or the best that works here. The one place that knows every meter by name."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from importlib.util import find_spec

from sizer.base.errors import MeterError, SizerError, UsageError, one_of
from sizer.meters.protocol import Meter, NullMeter
from sizer.meters.wattmeter_csv import LogFormat
from sizer.method.hardware import Device

AUTO = "auto"


@dataclass(frozen=True)
class MeterOptions:
    """What some meters must be told.

    ``busy_w`` and ``idle_w`` are stated powers in W and ``power_basis`` who stated them; ``log_path`` is an external
    meter's log and ``log_format`` how to read it; ``gpu_uuid`` names the GPU surely; ``sysroot`` stands in for ``/``.
    """

    busy_w: float | None = None
    idle_w: float | None = None
    power_basis: str = "stated by the user"
    log_path: str | os.PathLike[str] | None = None
    log_format: LogFormat = field(default_factory=LogFormat)
    gpu_uuid: str | None = None
    sysroot: str | os.PathLike[str] | None = None


def about_gpu(options: MeterOptions, device: Device) -> MeterOptions:
    """The options with the device's UUID: NVML and CUDA number GPUs differently."""
    uuid = device.facts.get("uuid", {}).get("value")
    return options if uuid is None or options.gpu_uuid is not None else replace(options, gpu_uuid=str(uuid))


@dataclass(frozen=True)
class Availability:
    """Whether a meter works here: what it reads, or what is wrong and how to mend it."""

    name: str
    available: bool
    source: str | None = None
    problem: str | None = None
    remedy: str | None = None


#: The kind of device that a meter is for, where it is for one alone.
_KINDS = {"rapl": "cpu", "nvml": "cuda"}
_METERS = ("rapl", "nvml", "zeus", "wattmeter-log", "power-model", "none")
METER_NAMES = (AUTO, *_METERS)


def choose_meter(name: str = AUTO, device: str = "cpu", options: MeterOptions | None = None) -> Meter:
    """The meter of that name for a device.

    ``auto`` is, in this order: the log where one is given, the device's own counter (RAPL, NVML), zeus where it is
    installed, the stated power, and else a null meter that says why there is no better one. Raises UsageError for an
    unknown name or a missing option, MeterError when the meter asked for does not work here.
    """
    options = options or MeterOptions()
    if name == AUTO:
        return _best(device, options)
    if name not in _METERS:
        meters = available_meters(device, options)
        missing = "; ".join(f"{meter.name}: {meter.problem}" for meter in meters if not meter.available)
        known = one_of(name, METER_NAMES)
        raise UsageError(f"unknown meter {name!r}; {known} (not available here: {missing})")
    return _build(name, device, options)


def _build(name: str, device: str, options: MeterOptions) -> Meter:
    """The meter of a known name; each is imported only when it is wanted."""
    kind = _KINDS.get(name)
    if kind is not None and device.partition(":")[0] != kind:
        raise MeterError(f"{name} meters {kind} devices, not {device}; use --meter auto")
    if name == "rapl":
        from sizer.meters.rapl import RaplMeter

        return RaplMeter("/" if options.sysroot is None else options.sysroot)
    if name == "nvml":
        from sizer.meters.nvml import NvmlMeter

        return NvmlMeter(device, options.gpu_uuid)
    if name == "zeus":
        from sizer.meters.zeus_adapter import ZeusMeter

        return ZeusMeter(device)
    if name == "wattmeter-log":
        from sizer.meters.wattmeter_csv import WattmeterLog

        if options.log_path is None:
            raise UsageError("the meter wattmeter-log has no log; name its file")
        return WattmeterLog(options.log_path, options.log_format)
    if name == "power-model":
        from sizer.meters.stated_power import PowerModel

        if options.busy_w is None:
            raise UsageError("the meter power-model has no power; state what the machine draws while it trains, in W")
        return PowerModel(options.busy_w, options.idle_w, options.power_basis)
    return NullMeter()


def _best(device: str, options: MeterOptions) -> Meter:
    if options.log_path is not None:
        return _build("wattmeter-log", device, options)
    own = [name for name, kind in _KINDS.items() if kind == device.partition(":")[0]]
    if options.sysroot is None and find_spec("zeus") is not None:  # it takes seconds to import: only if installed
        own.append("zeus")
    reasons = []
    for name in own:
        try:
            return _build(name, device, options)
        except MeterError as error:  # noqa: PERF203 (two meters at most)
            reasons.append(str(error))
    if options.busy_w is not None:
        return _build("power-model", device, options)
    return NullMeter("; ".join(reasons) or f"none is known for {device}")


def available_meters(device: str | None = None, options: MeterOptions | None = None) -> tuple[Availability, ...]:
    """Every meter, whether it works here, and if not what to do.

    ``device`` None asks each about the kind of device that it is for. Zeus is looked up, not tried: that takes seconds.
    """
    options = options or MeterOptions()
    return tuple(_availability(name, device, options) for name in _METERS)


def _availability(name: str, device: str | None, options: MeterOptions) -> Availability:
    if name == "zeus":
        if find_spec("zeus") is not None:
            return Availability(name, True, "installed (not tried)")
        return Availability(name, False, None, "zeus is not installed", "run `pip install 'cache-sizer[zeus]'`")
    try:
        meter = _build(name, device or ("cuda:0" if name == "nvml" else "cpu"), options)
    except SizerError as error:
        # Every message of a meter is what is wrong, a semicolon, what to do.
        problem, _, remedy = str(error).partition("; ")
        return Availability(name, False, None, problem, remedy or None)
    source = meter.source
    meter.close()
    return Availability(name, True, source)

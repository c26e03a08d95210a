"""Reference steps: the same few small pieces of work, timed again and again, that tell how fast the machine is now.

On a CPU one thread works in its nearest caches, in the last cache and in RAM, and a product uses all threads: what a
second thread gains changes within seconds on a virtual machine, while one thread stays steady (docs/calibration.md).
One thread's share of that product is timed alone too: what it takes longer beside the others is what they cost each
other. Small products in a row tell what handing work to other threads costs, which decides on networks of some 2^10 to
2^18 parameters: threads may sit on cores that share a cache, or on cores that do not. A series of products is as long
as a network's step, which a neighbour on the same processors seldom leaves alone for long enough while one product
slips between his turns. On a GPU the launches, a product and a copy. All of them together take two to three ms. They
draw no random numbers, and what they allocate is given back when they are closed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from types import TracebackType

import numpy as np
import torch

from sizer.calibration.disturbance import SERIES
from sizer.meters.nvml import GpuState
from sizer.method.hardware import Device

#: Times in s by name.
Reference = Mapping[str, float]

#: What each one shows, for people.
MEANINGS = {
    "near": "one thread in its nearest caches",
    "last": "one thread in the last cache",
    "ram": "one thread in RAM",
    "threads": "a product on all threads",
    "alone": "a product on one thread",
    "handoff": "handing small products to all threads",
    "series": "a series of products on all threads",
    "launch": "launches",
    "product": "a product on the GPU",
    "memory": "a copy in the GPU's memory",
}
#: Each is timed twice and the lesser counts: an interruption of microseconds disturbs no network's timing.
_REPEATS = 2
#: A step that takes longer than this, in s, some 50 times its time, is not timed again: who shares his processors with
#: a dozen others would wait for half a second.
_LONG_S = 0.005
_NEAR_ELEMENTS = 2048  # 8 KiB: two such arrays fit any L1
_NEAR_CALLS = 64
_LAST_BYTES = (2**20, 4 * 2**20)
_RAM_BYTES = (32 * 2**20, 128 * 2**20)
_RAM_SLICE_BYTES = 2**20
#: A thread's share of the product: observations, inputs and outputs, 0.1 ms (docs/calibration.md).
_SHARE = (128, 200, 200)
#: A thread's share of a product that is mostly hand-off, 3 us of work; and how many such products there are on all
#: threads together, over their number, since a hand-off takes the longer the more there are.
_SMALL_SHARE, _HANDOFFS = (32, 64, 64), 16
_LAUNCHES = 32
_GPU_WIDTH = 1024
_GPU_COPY_BYTES = 64 * 2**20


class ReferenceSteps:
    """The reference steps of a device, ready to be timed; a context manager that gives their memory back."""

    def __init__(self, device: Device) -> None:
        make = _on_gpu if device.kind == "cuda" else _on_cpu
        self._steps: dict[str, Callable[[], None]] = make(device)
        uuid = device.facts.get("uuid", {}).get("value")
        self._state = GpuState(device.id, uuid and str(uuid)) if device.kind == "cuda" else None
        self.take()  # (the first products choose their form, the first pages are touched)

    def take(self) -> Reference:
        """Time of each now, in s."""
        taken = {name: _lesser(step) for name, step in self._steps.items()}
        if "threads" in self._steps:
            taken["series"] = _seconds(self._steps["threads"], SERIES)
        return taken

    def explained(self) -> dict[str, float]:
        """What NVML tells of a GPU now, which explains slow steps; nothing on a CPU, whose kernel is asked."""
        return {} if self._state is None else self._state.read()

    def close(self) -> None:
        """Give back what the steps hold."""
        self._steps.clear()
        if self._state is not None:
            self._state.close()

    def __enter__(self) -> ReferenceSteps:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _lesser(step: Callable[[], None]) -> float:
    """The least of a few times in s."""
    least = math.inf
    for _ in range(_REPEATS):
        least = min(least, _seconds(step))
        if least > _LONG_S:
            break
    return least


def _seconds(step: Callable[[], None], times: int = 1) -> float:
    before = time.perf_counter()
    for _ in range(times):
        step()
    return (time.perf_counter() - before) / times


def _on_cpu(device: Device) -> dict[str, Callable[[], None]]:
    """The CPU's: numpy adds and sums on one thread, however many torch has."""
    near = np.ones(_NEAR_ELEMENTS, dtype=np.float32)
    sizes = [level.sizing_bytes or 0 for level in device.caches()] or [2**20]
    between = math.sqrt(max(sizes[-2] if len(sizes) > 1 else 2**15, 1) * max(sizes[-1], 1))
    last = np.ones(int(min(max(between, _LAST_BYTES[0]), _LAST_BYTES[1])) // 4, dtype=np.float32)
    ram = _rotating(int(min(max(4 * sizes[-1], _RAM_BYTES[0]), _RAM_BYTES[1])))

    def add_near() -> None:
        for _ in range(_NEAR_CALLS):
            np.add(near, near, out=near)
        near.fill(1.0)

    steps = {"near": add_near, "last": lambda: last.sum() and None, "ram": ram}
    threads, (rows, w_in, w_out) = torch.get_num_threads(), _SHARE
    steps["threads"] = _product(rows * max(threads, 2), w_in, w_out)
    if threads == 1:
        return steps
    return steps | {"alone": _on_one_thread(_product(*_SHARE), threads), "handoff": _handing_over(threads)}


def _handing_over(threads: int) -> Callable[[], None]:
    """Small products in a row, as in a network's step: the threads wait for each other more than they work."""
    rows, w_in, w_out = _SMALL_SHARE
    product, times = _product(rows * threads, w_in, w_out), max(_HANDOFFS // threads, 2)

    def run() -> None:
        for _ in range(times):
            product()

    return run


def _on_one_thread(step: Callable[[], None], threads: int) -> Callable[[], None]:
    """The step with torch on one thread, and on so many afterwards; telling torch takes a fraction of a microsecond."""

    def run() -> None:
        torch.set_num_threads(1)
        try:
            step()
        finally:
            torch.set_num_threads(threads)

    return run


def _rotating(size_bytes: int) -> Callable[[], None]:
    """Sums the next slice of a table that no cache holds each time it is called."""
    table = np.ones(size_bytes // 4, dtype=np.float32)
    length = _RAM_SLICE_BYTES // 4
    position = 0

    def step() -> None:
        nonlocal position
        table[position : position + length].sum()
        position = (position + length) % (len(table) - length + 1)

    return step


def _product(rows: int, w_in: int, w_out: int, device: str = "cpu") -> Callable[[], None]:
    left, right = torch.ones(rows, w_in, device=device), torch.ones(w_in, w_out, device=device)
    out = torch.empty(rows, w_out, device=device)

    def step() -> None:
        with torch.no_grad():
            torch.mm(left, right, out=out)

    return step


def _on_gpu(device: Device) -> dict[str, Callable[[], None]]:
    """Each with one wait for the device at its end."""
    small = torch.ones(1, device=device.id)
    table = torch.ones(_GPU_COPY_BYTES // 4, device=device.id)
    target = torch.empty_like(table)
    product = _product(_GPU_WIDTH, _GPU_WIDTH, _GPU_WIDTH, device.id)

    def launch() -> None:
        for _ in range(_LAUNCHES):
            small.fill_(1.0)

    def waited(step: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            step()
            torch.cuda.synchronize(device.id)

        return run

    steps: dict[str, Callable[[], object]] = {
        "launch": launch,
        "product": product,
        "memory": lambda: target.copy_(table),
    }
    return {name: waited(step) for name, step in steps.items()}

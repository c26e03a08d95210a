"""A GPU where there is none, for tests of scripts that need one: Python runs this file first when PYTHONPATH names it.

Detection finds an H200; tensors that are sent to it stay on the CPU. NVML is the `pynvml` beside this file.
"""

from __future__ import annotations

import sys
import time
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import PathFinder


def fake_gpus(module):
    """`sizer.detection.gpus` finds one H200."""
    from sizer.method.hardware import Device, Level

    levels = (
        Level("L1", 256 << 10, 132, source="fake"),
        Level("L2", 60 << 20, 1, source="fake"),
        Level("RAM", 141 << 30, 1, source="fake"),
    )
    facts = {"uuid": {"value": "GPU-bb22", "source": "fake"}}
    module.read_gpus = lambda *_, **__: module.Gpus(
        (Device("cuda:0", "cuda", "NVIDIA H200", 132, levels, facts=facts),)
    )


class Event:
    """A mark in the program's own time, since nothing runs ahead of it."""

    def __init__(self, enable_timing=False):
        self.at = None

    def record(self, stream=None):
        self.at = time.perf_counter()

    def synchronize(self):
        pass

    def elapsed_time(self, later):
        return 1000 * (later.at - self.at)


def fake_torch(module):
    """What goes to the GPU stays where it is."""
    for owner in (module.Tensor, module.nn.Module):
        owner.to = _staying(owner.to)
    for name in ("empty", "ones", "randn", "tensor", "zeros"):
        setattr(module, name, _made_here(getattr(module, name)))
    module.version.cuda = "fake"
    module.cuda.is_available = lambda: True
    module.cuda.device_count = lambda: 1
    module.cuda.get_device_capability = lambda device=None: (9, 0)
    module.cuda.synchronize = lambda device=None: None
    module.cuda.current_stream = lambda device=None: None
    module.cuda.is_current_stream_capturing = lambda: False
    module.cuda.Event = Event


def _made_here(make):
    def made(*arguments, **options):
        if str(options.get("device", "")).startswith("cuda"):
            options["device"] = "cpu"
        return make(*arguments, **options)

    return made


def _staying(move):
    def to(self, *arguments, **options):
        if str(options.get("device", "")).startswith("cuda"):
            options["device"] = "cpu"
        kept = ["cpu" if str(argument).startswith("cuda") else argument for argument in arguments]
        return move(self, *kept, **options)

    return to


_CHANGES = {"sizer.detection.gpus": fake_gpus, "torch": fake_torch}


class _Changing(Loader):
    """Loads a module as usual and changes it then."""

    def __init__(self, loader, change):
        self._loader, self._change = loader, change

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        self._change(module)


class _Finder(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name not in _CHANGES:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None:
            spec.loader = _Changing(spec.loader, _CHANGES[name])
        return spec


sys.meta_path.insert(0, _Finder())

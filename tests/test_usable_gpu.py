"""A GPU that is detected and that PyTorch cannot use: one line with the remedy, the CPU where no device was named."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import sizer
from sizer import devices
from sizer.base.errors import UsageError
from sizer.detection import gpu_device
from sizer.detection.gpu_device import problem_of, why_not_usable
from sizer.method.hardware import Device, Level, Machine

OLD_DRIVER = (
    "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040). Please update your GPU "
    "driver (Triggered internally at /pytorch/c10/cuda/CUDAFunctions.cpp:119.)"
)
NO_KERNEL = "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors might be ..."


class Ones:
    def __init__(self, product: float) -> None:
        self.product = product

    def __matmul__(self, other: Ones) -> Ones:
        return self

    def sum(self) -> float:
        return self.product


def fake_torch(cuda="13.0", available=True, error=None, product=512.0, warning=None):
    def is_available():
        if warning is not None:
            warnings.warn(warning, UserWarning, stacklevel=1)
        return available

    def ones(shape, device):
        if error is not None:
            raise RuntimeError(error)
        return Ones(product)

    names = {"is_available": is_available, "get_arch_list": lambda: ["sm_75", "sm_90"], "device_count": lambda: 1}
    version = "2.13.0" if cuda else "2.13.0+cpu"
    return SimpleNamespace(
        __version__=version, version=SimpleNamespace(cuda=cuda), cuda=SimpleNamespace(**names), ones=ones
    )


@pytest.mark.parametrize(
    ("torch", "reason", "remedy"),
    [
        (fake_torch(cuda=None), "PyTorch 2.13.0+cpu is built without CUDA", "install a build with it"),
        (fake_torch(available=False, warning=OLD_DRIVER), "too old (found version 11040)", "update the NVIDIA driver"),
        (fake_torch(available=False), "it does not say why", "`nvidia-smi` works"),
        (fake_torch(error=NO_KERNEL), "no kernel image is available", "it has kernels for sm_75 sm_90: install"),
        (fake_torch(error="CUDA error: invalid device ordinal"), "ordinal", "leaves 1 GPUs"),
        (fake_torch(error="CUDA out of memory. Tried to allocate"), "out of memory", "free the GPU's memory"),
        (fake_torch(product=511.0), "a product of ones is wrong", "nvidia-smi"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_remedy(torch, reason, remedy):
    problem = problem_of(torch, "cuda:0")
    said, _, then = problem.partition("; ")
    assert "\n" not in problem
    assert "cuda:0" in said
    assert reason in problem
    assert remedy in then
    assert "Triggered internally" not in problem


def test_a_gpu_that_computes_is_usable():
    assert problem_of(fake_torch(), "cuda:0") is None


def test_the_cpu_is_not_asked(monkeypatch):
    monkeypatch.setattr(gpu_device, "_of_torch", lambda device: pytest.fail("torch was asked"))
    assert why_not_usable("cpu") is None


@pytest.fixture
def unusable(monkeypatch):
    """A machine with a GPU that PyTorch cannot use."""
    levels = (Level("L1", 1 << 17, 8), Level("L2", 1 << 22, 1), Level("RAM", 1 << 34, 1))
    machine = Machine((Device("cpu", "cpu", None, 2, levels), Device("cuda:0", "cuda", "NVIDIA H200", 132, levels)))
    monkeypatch.setattr("sizer.detection.detect.detect", lambda *_, **__: machine)
    monkeypatch.setattr(gpu_device, "_of_torch", lambda device: "no CUDA; install it")


def test_where_no_device_was_named_the_cpu_trains_and_says_why(unusable):
    device = devices.trains_on(None).device
    assert device.id == "cpu"
    assert "cuda:0 is not used: no CUDA; install it" in device.warnings


def test_a_named_device_is_refused(unusable):
    with pytest.raises(UsageError, match=r"^no CUDA; install it$"):
        devices.trains_on("cuda:0")
    assert devices.trains_on("cpu").device.warnings == devices.choose("cpu").device.warnings


@pytest.mark.parametrize("command", [sizer.calibrate, sizer.validate])
def test_calibrating_it_is_refused(unusable, command):
    with pytest.raises(UsageError, match=r"^no CUDA; install it$"):
        command(device="cuda:0", budget_s=12.0)


def search(folder, **options):
    features = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32)
    targets = features @ np.arange(5, dtype=np.float32)
    return sizer.search((features, targets), target_r2=0.5, folder=folder, max_epochs=30, meter="none", **options)


def test_a_search_trains_on_the_cpu_and_says_so(unusable, tmp_path):
    found = search(tmp_path)
    assert found.reached
    assert found.device.id == "cpu"
    assert any("cuda:0 is not used: no CUDA; install it" in remark for remark in found.remarks())


def test_a_search_on_it_is_refused(unusable, tmp_path):
    with pytest.raises(UsageError, match=r"^no CUDA; install it$"):
        search(tmp_path, device="cuda:0")


# Other vendors'


def torch_of(hip=None, available=False, mps=False, xpu=False):
    return SimpleNamespace(
        version=SimpleNamespace(hip=hip),
        cuda=SimpleNamespace(is_available=lambda: available),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps)),
        xpu=SimpleNamespace(is_available=lambda: xpu),
    )


@pytest.mark.parametrize(
    ("torch", "what"),
    [
        (torch_of(hip="7.0", available=True), "an AMD GPU (ROCm)"),
        (torch_of(mps=True), "an Apple GPU (MPS)"),
        (torch_of(xpu=True), "an Intel GPU (XPU)"),
        (torch_of(hip="7.0"), None),
        (torch_of(available=True), None),
    ],
)
def test_the_gpus_of_other_vendors_are_named(torch, what):
    assert gpu_device.other_gpu_of(torch) == what


@pytest.mark.parametrize("name", ["cuda:0", "mps", "xpu"])
def test_who_asks_for_one_is_told_to_name_a_profile(monkeypatch, name):
    monkeypatch.setattr(gpu_device, "other_gpu", lambda: "an AMD GPU (ROCm)")
    with pytest.raises(UsageError, match=r"PyTorch sees an AMD GPU .*; sizer detects NVIDIA GPUs only: name a profile"):
        devices.choose(name)


def test_a_search_beside_one_says_that_it_trains_on_the_cpu(monkeypatch):
    monkeypatch.setattr(devices, "other_gpu", lambda: "an AMD GPU (ROCm)")
    assert "PyTorch sees an AMD GPU (ROCm)" in devices.trains_on(None).device.warnings[-1]
    assert "PyTorch sees" not in "".join(devices.trains_on("cpu").device.warnings)

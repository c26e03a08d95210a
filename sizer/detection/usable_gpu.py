"""Whether PyTorch can compute on a GPU that was detected: asked once, with a tiny product.

A driver lists GPUs that PyTorch cannot use: its build may have no CUDA, want a newer driver, or hold no kernels for the
GPU's architecture, which shows only when the first kernel is launched.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any

from sizer.base.errors import UsageError

_INSTALL = "https://pytorch.org/get-started/locally"


def why_not_usable(device: str) -> str | None:
    """Why PyTorch cannot train on a device, a semicolon, and the remedy, in one line; None where it can.

    The CPU always can. Loads torch, and makes a CUDA context on the device.
    """
    return _of_torch(device) if device.startswith("cuda") else None


def other_gpu() -> str | None:
    """The GPU of another vendor than NVIDIA that PyTorch sees, in words; None where there is none, or no PyTorch."""
    try:
        import torch
    except Exception:  # a broken installation raises anything
        return None
    return other_gpu_of(torch)


def other_gpu_of(torch: Any) -> str | None:
    """As `other_gpu`, of a module ``torch``."""
    if getattr(torch.version, "hip", None) and torch.cuda.is_available():
        return "an AMD GPU (ROCm)"
    if torch.backends.mps.is_available():
        return "an Apple GPU (MPS)"
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        return "an Intel GPU (XPU)"
    return None


def check_usable(device: str) -> None:
    """Raises UsageError, with the remedy, for a device that PyTorch cannot train on."""
    problem = why_not_usable(device)
    if problem is not None:
        raise UsageError(problem)


@lru_cache(maxsize=16)
def _of_torch(device: str) -> str | None:
    import torch

    return problem_of(torch, device)


def problem_of(torch: Any, device: str) -> str | None:
    """As `why_not_usable`, of a module ``torch``."""
    if torch.version.cuda is None:
        return (
            f"PyTorch {torch.__version__} is built without CUDA and cannot use {device}; install a build with it "
            f"({_INSTALL})"
        )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        problem = _tried(torch, device)
    if problem is None:
        return None
    reason = problem or next((_line(str(one.message)) for one in said), "it does not say why")
    return f"PyTorch {torch.__version__} cannot use {device} ({reason}); {_remedy(torch, reason)}"


def _tried(torch: Any, device: str) -> str | None:
    """None where a product of two small matrices is right; else what was raised, empty where nothing was."""
    if not torch.cuda.is_available():
        return ""
    try:
        ones = torch.ones((8, 8), device=device)
        return None if float((ones @ ones).sum()) == 8.0**3 else "a product of ones is wrong"
    except Exception as error:  # torch raises RuntimeError, AssertionError and its own
        return _line(str(error)) or type(error).__name__


def _line(text: str) -> str:
    """The first line of what PyTorch says, without the address it appends."""
    return text.strip().partition("\n")[0].partition(" (Triggered internally")[0].rstrip(".")


def _remedy(torch: Any, reason: str) -> str:
    said = reason.lower()
    if "no kernel image" in said or "not compatible" in said:
        built = " ".join(torch.cuda.get_arch_list())
        return f"it has kernels for {built}: install a build that has this GPU's ({_INSTALL})"
    if "driver" in said:
        return f"update the NVIDIA driver, or install a build for an older CUDA than {torch.version.cuda} ({_INSTALL})"
    if "out of memory" in said:
        return "free the GPU's memory (`nvidia-smi` lists who has it), or train on the CPU with --device cpu"
    if "ordinal" in said:
        return f"CUDA_VISIBLE_DEVICES leaves {torch.cuda.device_count()} GPUs: name one of them"
    return "check that `nvidia-smi` works and that this process may use the GPU, or train on the CPU with --device cpu"

"""Coefficients for a machine that nobody calibrated, from its datasheet: peak rates and bandwidths. Pure.

They are estimates and labelled so: a datasheet says nothing of the time that PyTorch's eager mode spends between two
kernels, which decides what small networks cost. That part is a constant of the kind of device, stated here.
"""

from __future__ import annotations

from collections.abc import Mapping

from sizer.coefficients import Coefficients
from sizer.cost import MIB

#: Time outside the arithmetic, in s: of one step, and of one layer in one pass. CPU: rounded from the measured profile
#: x86-vm-2cpu, two passes of 25 us and 17 us for reaching a layer's nearest set. Accelerators: assumed, eight kernel
#: launches a layer and step at 10 us each.
OVERHEADS_S: dict[str, dict[str, float]] = {
    "cpu": {"step": 50e-6, "layer": 17e-6},
    "other": {"step": 300e-6, "layer": 40e-6},
}

#: Share of a peak rate or bandwidth that dense training reaches; the interval below is wide because this varies.
ACHIEVED = 0.5

#: Factors of the 90 % interval of such an estimate: half to a fifth of the peak is usual, overheads differ by three.
INTERVAL = (1 / 3, 3.0)


def from_datasheet(
    kind: str, peak_flop_per_s: float, bandwidths_bytes_per_s: Mapping[str, float], profile: str, dtype: str
) -> Coefficients:
    """Time coefficients from a peak rate (FLOP/s of the dtype) and bandwidths by level (bytes/s, all instances)."""
    terms = dict(OVERHEADS_S["cpu" if kind == "cpu" else "other"])
    terms["operation"] = 2 / (ACHIEVED * peak_flop_per_s)
    for level, bandwidth in bandwidths_bytes_per_s.items():
        terms[f"traffic.{level}"] = terms[f"optimizer.{level}"] = MIB / (ACHIEVED * bandwidth)
    return Coefficients(
        source="shipped",
        label="estimated",
        quantity="time",
        terms=terms,
        interval=INTERVAL,
        profile=profile,
        basis=f"from the datasheet peaks in profile {profile} ({dtype}) and typical PyTorch overheads",
    )

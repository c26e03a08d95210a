"""Prices of calls on a machine of which only a datasheet is known: a roofline for each operator. Pure arithmetic.

A call takes what its FLOPs take at the rate, or what its bytes take at the bandwidth of the level that holds them,
whichever is more (Williams, Waterman and Patterson, Roofline, CACM 2009), and what launching it takes.
"""

from __future__ import annotations

from math import log

from sizer.method.coefficients import Coefficients
from sizer.method.hardware import RAM, Device
from sizer.operators.call import Call
from sizer.operators.prices import INTERPOLATED, CallPrice

_MIB = 2**20
#: Operators in a layer of the calibrated step, forward, backward and the optimizer's: of these is the layer's overhead.
_CALLS_A_LAYER = 8
#: Deviation of a call's logarithm: nine in ten are within a factor of three, as the interval of a datasheet says.
_DEVIATION = log(3) / 1.645


class Roofline:
    """The prices of calls by coefficients that have a rate and bandwidths."""

    def __init__(self, device: Device, coefficients: Coefficients) -> None:
        terms = coefficients.terms
        self._operation_s = terms["operation"]
        self._call_s = terms.get("layer", 0.0) / _CALLS_A_LAYER
        levels = [(level.name, (level.sizing_bytes or 0) * (level.instances or 1)) for level in device.sizing_levels()]
        self._levels = [(size, terms.get(f"traffic.{name}", 0.0) / _MIB) for name, size in levels if name != RAM]
        self._far = max((cost for name, cost in terms.items() if name.startswith("traffic.")), default=0.0) / _MIB

    def of(self, call: Call) -> CallPrice:
        """The price of a call."""
        moved = call.bytes_in + call.bytes_out
        near = next((cost for size, cost in self._levels if moved <= size), self._far)
        compute_s = call.flops / 2 * self._operation_s
        near_s, far_s = (self._call_s + max(compute_s, moved * cost) for cost in (near, self._far))
        return CallPrice(near_s, max(far_s, near_s), _DEVIATION, INTERPOLATED)


def has_roofline(coefficients: Coefficients) -> bool:
    """Whether coefficients of time have a rate and a bandwidth."""
    terms = coefficients.terms
    bandwidths = any(name.startswith("traffic.") for name in terms)
    return coefficients.quantity == "time" and terms.get("operation", 0.0) > 0 and bandwidths

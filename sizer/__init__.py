"""sizer: a cache-aware sizing advisor for PyTorch networks.

A request in, one frozen record out: `detect`, `recommend`, `inspect`. Importing this package loads neither torch nor
pandas nor numpy; each function imports what it needs when it is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sizer._version import __version__
from sizer.errors import SizerError

if TYPE_CHECKING:
    from pathlib import Path

    from sizer.hardware import Machine
    from sizer.inspection import Inspection
    from sizer.models.topology import Topology
    from sizer.recommendation import Recommendation

__all__ = ["SizerError", "__version__", "detect", "inspect", "recommend"]


def detect(sysroot: str | Path | None = None, fresh: bool = False) -> Machine:
    """Detect this machine's memory hierarchy, or that of a captured one under ``sysroot`` (its /proc and /sys).

    The answer is kept in the user's cache folder; ``fresh`` reads the hardware again. Raises MachineError for a sysroot
    that cannot be read.
    """
    from sizer.machine.detection import detect as detect_machine

    return detect_machine(sysroot, fresh)


def recommend(
    *,
    input_dim: int,
    depth: int | Sequence[int],
    batch_size: int | Sequence[int] | None = None,
    shape: str | Sequence[str] | None = None,
    levels: Sequence[str] | None = None,
    width_multiple: int | str | None = 1,
    **options: Any,
) -> Recommendation:
    """Recommend network sizes for a machine: those whose working sets fill a cache once to twice.

    ``depth``, ``batch_size`` (256) and ``shape`` (``"rectangle"``, or ``"all"``) take one value or several;
    ``width_multiple`` a number or ``"auto"``. The other options are those of `sizer.request.Request`: ``output_dim``,
    ``dtype``, ``optimizer``, ``observations``, ``device``, ``top``, ``purpose``, ``max_bytes``, ``max_time`` (s),
    ``max_energy`` (J). Raises UsageError for a value out of range and UnreachableError when no network fits.
    """
    from sizer.devices import choose
    from sizer.request import Request, parse_depths, parse_shapes
    from sizer.advisor import recommend as recommend_for

    request = Request(
        input_dim=input_dim,
        depth=parse_depths(_several(depth)),
        batch_size=(256,) if batch_size is None else _several(batch_size),
        shape=("rectangle",) if shape is None else parse_shapes(_several(shape)),
        levels=None if levels is None else _several(levels),
        width_multiple=None if width_multiple in (None, "auto") else width_multiple,  # type: ignore[arg-type]
        **options,
    )
    chosen = choose(request.device, request.dtype)
    return recommend_for(request, chosen.device, chosen.coefficients)


def inspect(
    networks: str | Topology | Sequence[str | Topology],
    *,
    batch_size: int = 256,
    dtype: str = "float32",
    optimizer: str = "adam",
    observations: int | None = None,
    device: str | None = None,
) -> Inspection:
    """Working sets, operations and predicted cost of networks, each a topology or text such as ``"784-512-512-10"``.

    Raises UsageError for a value out of range.
    """
    from sizer.devices import choose
    from sizer.inspection import inspect_topologies, parse_mlp
    from sizer.request import check_training

    named = [networks] if isinstance(networks, str) or not isinstance(networks, Sequence) else networks
    topologies = [parse_mlp(network) if isinstance(network, str) else network for network in named]
    training = check_training(batch_size, dtype, optimizer, observations)
    chosen = choose(device, dtype)
    return inspect_topologies(topologies, training, chosen.device, chosen.coefficients)


def _several(value: Any) -> tuple[Any, ...]:
    """One value or several, as a tuple."""
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)

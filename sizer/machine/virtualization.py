"""Whether this is a virtual machine, and whether the last-level cache it shows can be its own.

A hypervisor shows its guests the cache of the whole socket, or an invented one, however few CPUs they get; the rest of
the machine uses it too. DESIGN section 3 measured 4 to 17 MiB of an L3 reported as 260 MiB.
"""

from __future__ import annotations

from collections.abc import Sequence

from sizer.machine.hierarchy import Cache
from sizer.machine.procfs import CpuInfo
from sizer.machine.topology import Topology
from sizer.machine.tree import Tree
from sizer.units import format_bytes

# The most last-level cache that server processors have for each core, as a rule of thumb: 4 MiB of L3 (AMD EPYC), 5 MiB
# (large-cache Intel Xeon); 3 MiB of L2. More than this is a whole socket's cache, or an invention (QEMU's 4 MiB of L2).
# Parts with more exist (stacked cache); on those, inside a virtual machine, measuring is the right advice all the same.
_PLAUSIBLE_BYTES_PER_CORE = {2: 3 << 20, 3: 6 << 20}
_DMI = "/sys/class/dmi/id"
_VIRTUAL_PRODUCTS = ("virtual machine", "kvm", "virtualbox", "qemu", "hvm domu", "openstack", "google compute engine")
_VIRTUAL_VENDORS = ("qemu", "vmware", "xen", "innotek", "parallels", "openstack", "digitalocean")


def hypervisor(tree: Tree, cpuinfo: CpuInfo) -> tuple[str, str] | None:
    """What says that this is a virtual machine, and where, None where nothing does."""
    if cpuinfo.has_flag("hypervisor"):
        return "hypervisor", "/proc/cpuinfo flags"
    kind = tree.word("/sys/hypervisor/type")
    if kind is not None:
        return kind, "/sys/hypervisor/type"
    vendor, product = (tree.word(f"{_DMI}/{name}") or "" for name in ("sys_vendor", "product_name"))
    cloud_guest = vendor == "Amazon EC2" and ".metal" not in product
    if cloud_guest or _contains(product, _VIRTUAL_PRODUCTS) or _contains(vendor, _VIRTUAL_VENDORS):
        return f"{vendor} {product}".strip(), f"{_DMI}/sys_vendor, product_name"
    return None


def implausible_cache_warning(caches: Sequence[Cache], topology: Topology) -> str | None:
    """A sentence for the user where the last-level cache is too large for the cores that a virtual machine has."""
    sized = [cache for cache in caches if cache.capacity_bytes is not None]
    if not sized:
        return None
    last = max(sized, key=lambda cache: (cache.level, cache.capacity_bytes or 0))
    plausible = _PLAUSIBLE_BYTES_PER_CORE.get(last.level)
    cores = max(1, topology.cores_touched(last.cpus))
    capacity = last.capacity_bytes or 0
    if plausible is None or capacity <= plausible * cores:
        return None
    counted = "1 core" if cores == 1 else f"{cores} cores"
    return (
        f"This is a virtual machine, and its L{last.level} of {format_bytes(capacity)} for {counted} is implausible: a "
        "hypervisor shows the cache of the whole processor, or an invented one, and other guests use it too. "
        "Run `sizer calibrate` to measure how much of it is really there."
    )


def _contains(text: str, needles: Sequence[str]) -> bool:
    return any(needle in text.lower() for needle in needles)

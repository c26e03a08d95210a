"""The memory hierarchies of the study's two node types, as its analysis uses them."""

from __future__ import annotations

from sizer.method.placement import Hierarchy

KIB, MIB, GIB = 2**10, 2**20, 2**30

STUDY_CPU = Hierarchy(("L1", "L2", "L3", "RAM"), (32 * KIB, MIB, int(24.75 * MIB), 96 * GIB), (36, 36, 2, 1))
STUDY_GPU = Hierarchy(("L1", "L2", "RAM"), (112 * KIB, 6 * MIB, 16 * GIB), (168, 2, 2))

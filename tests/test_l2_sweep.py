"""The effective size of a GPU's L2, from published sweeps and from this machine's own timings behind a fake."""

from __future__ import annotations

import pytest
import torch

from sizer.calibration import cache_probe
from sizer.calibration.cache_probe import ReadRate, effective_l2_bytes, sweep_reads, sweep_sizes, with_effective_l2
from sizer.method.hardware import Device, Level

KIB = 1024
#: kB of a buffer -> GB/s, every few lines of gpu-l2-cache/{a100_80,h100_pcie,h200,l40}.txt of te42kyfo/gpu-benches.
SWEEPS = {
    "A100": {5120: 5388, 10240: 5264, 19968: 5325, 25600: 5376, 28160: 5171, 30720: 4000, 40448: 2462, 76288: 1879},
    "H100 PCIe": {
        6400: 7112,
        12032: 6920,
        25088: 6862,
        33152: 6884,
        36352: 6473,
        39936: 3344,
        52992: 2009,
        93568: 1973,
    },
    "H200": {7680: 10238, 15360: 9920, 30720: 9769, 40448: 9666, 44032: 9105, 48128: 7543, 57856: 5054, 110080: 3893},
    "L40": {12288: 5189, 36864: 5207, 76288: 5262, 91648: 5243, 110080: 1075, 175616: 845},
}


@pytest.mark.parametrize(
    ("card", "nominal_mib", "effective_kib"),
    [("A100", 40, 28160), ("H100 PCIe", 50, 36352), ("H200", 60, 44032), ("L40", 96, 91648)],
)
def test_published_sweeps(card, nominal_mib, effective_kib):
    rates = [ReadRate(size * KIB, rate * 1e9) for size, rate in SWEEPS[card].items()]
    assert effective_l2_bytes(rates, nominal_mib * KIB**2) == effective_kib * KIB


def test_a_sweep_without_an_edge_says_nothing():
    flat = [ReadRate(size * KIB, 1e12) for size in (5000, 10000, 40000, 80000)]
    assert effective_l2_bytes(flat, 40000 * KIB) is None
    assert effective_l2_bytes([], 40000 * KIB) is None


def test_what_was_stated_stays_where_the_sweep_says_nothing():
    device = Device("cuda:0", "cuda", "GPU", 108, (Level("L2", 40 << 20, 1, effective_bytes=27 << 20),))
    assert with_effective_l2(device, []) == device
    rates = [ReadRate(size * KIB, rate * 1e9) for size, rate in SWEEPS["A100"].items()]
    measured = with_effective_l2(device, rates)
    assert measured.levels[0].effective_bytes == 28160 * KIB
    assert "measured" in measured.facts["l2_effective_share"]["source"]


def test_the_sweep_reads_buffers_around_the_nominal_size(monkeypatch):
    waits = []
    monkeypatch.setattr(torch.cuda, "synchronize", waits.append)
    monkeypatch.setattr(cache_probe, "_READS", 2)
    ones = torch.ones
    monkeypatch.setattr(torch, "ones", lambda count, device: ones(count))
    rates = sweep_reads("cuda:1", 1 << 20)
    assert [rate.buffer_bytes for rate in rates] == sweep_sizes(1 << 20)
    assert rates[0].buffer_bytes == 1 << 17
    assert rates[-1].buffer_bytes == 1 << 21
    assert all(rate.bytes_per_s > 0 for rate in rates)
    assert set(waits) == {"cuda:1"}


def test_a_sweep_that_takes_too_long_is_cut_short_and_says_nothing(monkeypatch):
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(cache_probe, "_MOST_S", -1.0)
    ones = torch.ones
    monkeypatch.setattr(torch, "ones", lambda count, device: ones(count))
    assert effective_l2_bytes(sweep_reads("cuda:0", 1 << 20), 1 << 20) is None

"""The profiles that are shipped: valid, told apart, true to their sources, and the same as the documentation."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from profile_table import HEADER, rows, term_rows
from study import GIB, KIB, MIB, STUDY_CPU, STUDY_GPU

from sizer import profiles
from sizer.method.hardware import RAM, device_from_dict, device_to_dict
from sizer.profiles.records import words
from sizer.profiles.rules import KINDS

ROOT = Path(__file__).parents[1]
DATA = Path(__file__).parent / "data"
FILES = sorted((ROOT / "profiles").glob("*.json"))
ALL = profiles.all_profiles().profiles

#: Names that drivers and systems report, and the profile of each; None: another device, which no profile describes.
NAMES = {
    "cuda": {
        "Tesla V100-SXM2-16GB": "nvidia-v100",
        "NVIDIA Tesla V100-SXM2-16GB": "nvidia-v100",
        "Tesla V100-SXM2-32GB": "nvidia-v100-32gb",
        "Tesla V100-SXM2-32GB-LS": None,
        "Tesla V100-SXM3-32GB": None,
        "Tesla V100-PCIE-16GB": None,
        "Tesla V100-DGXS-32GB": None,
        "Tesla T4": "nvidia-t4",
        "NVIDIA T4": "nvidia-t4",
        "NVIDIA T4G": None,
        "NVIDIA T400": None,
        "NVIDIA T400 4GB": None,
        "GRID T4-16Q": None,
        "A100-SXM4-40GB": "nvidia-a100-40gb",
        "NVIDIA A100-SXM4-40GB": "nvidia-a100-40gb",
        "NVIDIA A100-SXM4-40GB MIG 3g.20gb": None,
        "NVIDIA A100-SXM4-80GB": "nvidia-a100-80gb",
        "NVIDIA A100-SXM-64GB": None,
        "A100-PCIE-40GB": "nvidia-a100-40gb-pcie",
        "NVIDIA A100-PCIE-40GB": "nvidia-a100-40gb-pcie",
        "NVIDIA A100 80GB PCIe": "nvidia-a100-80gb-pcie",
        "NVIDIA A100X": None,
        "GRID A100X-40C": None,
        "NVIDIA A10": None,
        "NVIDIA H100 PCIe": "nvidia-h100-pcie",
        "NVIDIA H100 80GB HBM3": "nvidia-h100-sxm",
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb": None,
        "NVIDIA H100 NVL": "nvidia-h100-nvl",
        "NVIDIA H100 SXM5 64GB": None,
        "NVIDIA H800": None,
        "NVIDIA GH200 480GB": "nvidia-gh200",
        "NVIDIA GH200 120GB": None,
        "NVIDIA GH200 144G HBM3e": None,
        "NVIDIA H200": "nvidia-h200",
        "NVIDIA H200 NVL": "nvidia-h200-nvl",
        "NVIDIA H20": None,
        "NVIDIA H20-3e": None,
        "NVIDIA L4": "nvidia-l4",
        "NVIDIA L4-24Q": None,
        "NVIDIA L40": "nvidia-l40",
        "NVIDIA A40": "nvidia-a40",
        "NVIDIA A40-48Q": None,
        "NVIDIA B200": "nvidia-b200",
        "NVIDIA GB200": None,
        "NVIDIA L40S": "nvidia-l40s",
        "NVIDIA L40S-48C": None,
        "NVIDIA GeForce RTX 3090": "nvidia-rtx-3090",
        "GeForce RTX 3090": "nvidia-rtx-3090",
        "NVIDIA GeForce RTX 3090 Ti": None,
        "NVIDIA GeForce RTX 4090": "nvidia-rtx-4090",
        "NVIDIA GeForce RTX 5090": "nvidia-rtx-5090",
        "NVIDIA GeForce RTX 5090 D": None,
        "NVIDIA GeForce RTX 5090 Laptop GPU": None,
        "NVIDIA GeForce RTX 4090 D": None,
        "NVIDIA GeForce RTX 4090 Laptop GPU": None,
        "NVIDIA RTX 4000 Ada Generation": None,
        "AMD Instinct MI300X": None,  # not a CUDA device
    },
    "rocm": {
        "AMD Instinct MI300X": "amd-mi300x",
        "AMD Instinct MI300X OAM": "amd-mi300x",
        "AMD Instinct MI300A": None,
        "AMD Instinct MI300X VF": None,
        "AMD Instinct MI325X": None,
        "AMD Instinct MI250X": None,
    },
    "cpu": {
        "Intel(R) Xeon(R) Gold 6154 CPU @ 3.00GHz": "intel-xeon-gold-6154",
        "Intel(R) Xeon(R) Gold 6154 CPU": "intel-xeon-gold-6154",
        "Intel(R) Xeon(R) Gold 6154R CPU @ 3.00GHz": None,
        "Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz": None,
        "Intel Xeon Processor (Skylake, IBRS)": None,
        "Intel(R) Xeon(R) Platinum 8480+": "intel-xeon-platinum-8480plus",
        "Intel (R) Xeon (R) Platinum 8480+": "intel-xeon-platinum-8480plus",
        "Intel(R) Xeon(R) Platinum 8480C": None,
        "Intel(R) Xeon(R) Platinum 8480CL": None,
        "Intel(R) Xeon(R) Platinum 8480": None,
        "Intel(R) Xeon(R) Processor @ 2.60GHz": None,
        "AMD EPYC 7763 64-Core Processor": "amd-epyc-7763",
        "AMD EPYC 7763V 64-Core Processor": None,
        "AMD EPYC 7713 64-Core Processor": None,
        "AMD EPYC 9654 96-Core Processor": "amd-epyc-9654",
        "AMD EPYC 9654P 96-Core Processor": None,
        "AMD EPYC-Milan Processor": None,
        "AWS Graviton3": "aws-graviton3",
        "AWS Graviton3E": None,
        "AWS Graviton2": None,
        "Neoverse-V1": None,
        "Apple M2": "apple-m2",
        "Apple M2 Pro": None,
        "Apple M2 Max": None,
        "Apple M2 Ultra": None,
        "Apple M2 (Virtual)": None,
        "Apple M1": None,
        "NVIDIA H200": None,
    },
}


CASES = [(kind, name, profile) for kind, expected in NAMES.items() for name, profile in expected.items()]


def facts(record: dict) -> Iterator[dict]:
    """Every value of a record that says whether it was verified."""
    if isinstance(record, dict):
        if "verified" in record:
            yield record
        record = list(record.values())
    for value in record:
        if isinstance(value, (dict, list)):
            yield from facts(value)


def test_every_file_loads_without_a_warning():
    catalogue = profiles.all_profiles()
    assert catalogue.warnings == ()
    assert [profile.name for profile in catalogue.profiles] == sorted(path.stem for path in FILES)
    assert {profile.origin for profile in catalogue.profiles} == {"shipped"}
    assert len(FILES) >= 20


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_published_schema_accepts(path):
    schema = json.loads((ROOT / "sizer" / "schemas" / "profile-1.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_source_is_used_and_was_read(path):
    text = path.read_text(encoding="utf-8")
    record = json.loads(text)
    for name, source in record["sources"].items():
        assert text.count(name) > 1, f"{name} is never referred to"
        assert source["read"] in ("2026-11-21", "2026-11-26")
    for fact in facts(record):
        if not fact["verified"]:
            assert re.search("source not read|measured|As |as in|read for|Half of|From the L40|quotes", fact["note"])


@pytest.mark.parametrize(("kind", "name", "profile"), CASES)
def test_a_device_name_has_its_profile_and_no_second_one(kind, name, profile):
    found = [candidate.name for candidate in ALL if candidate.kind == kind and candidate.match(words(name))]
    assert found == ([profile] if profile else [])
    matching = profiles.matching(name, kind)
    assert (matching.name if matching else None) == profile
    assert profiles.matching(f"  {name.upper()}  ", kind) == matching


def test_every_profile_of_one_machine_is_found_by_a_name():
    found = {profile for _, _, profile in CASES} - {None}
    no_name = {"butter-e-cpu", "butter-e-gpu", "x86-vm-2cpu", "x86-vm-2cpu-skylake", "amd-epyc-zen4-vm-2cpu"}
    assert found == {profile.name for profile in ALL} - no_name


def test_no_name_of_a_profile_is_another_ones():
    for profile in ALL:
        for phrase in (*profile.match.exact, *profile.match.contains):
            assert [other.name for other in ALL if other.match(phrase)] == [profile.name]


@pytest.mark.parametrize("profile", ALL, ids=lambda profile: profile.name)
def test_levels_and_rates_are_plausible(profile):
    device = profile.device
    assert profile.kind in KINDS
    assert device.levels[-1].name == RAM
    assert all(level.instances for level in device.levels)
    capacities = [level.capacity_bytes for level in device.sizing_levels() if level.name != "L3"]
    assert capacities == sorted(capacities)
    bandwidths = [profile.bandwidths_bytes_per_s.get(level.name) for level in device.sizing_levels()]
    known = [fact.value for fact in bandwidths if fact]
    assert known == sorted(known, reverse=True)
    assert all(bandwidths[len(bandwidths) - len(known) :]), "a level has a bandwidth and one behind it has none"
    rates = {name: fact.value for name, fact in profile.peaks_flop_per_s.items()}
    order = [rates[name] for name in ("float64", "float32", "tf32", "bfloat16") if name in rates]
    assert order == sorted(order)
    assert rates.get("mixed", 0) == max(rates.get("bfloat16", 0), rates.get("float16", 0))
    # FLOP for each byte from memory: a slipped factor of 1000 in either shows here.
    if "float32" in rates and known:
        assert 2 < rates["float32"] / known[-1] < 250
    assert all(level.name != "L1" or level.instances in (device.units, 4) for level in device.levels)


def test_nvidia_l1_sizes_are_those_of_the_compute_capability():
    """The table that detection uses was read elsewhere, in NVIDIA's programming guide."""
    table = json.loads((ROOT / "sizer" / "detection" / "l1_by_compute_capability.json").read_text(encoding="utf-8"))
    capability = {"v100": "7.0", "t4": "7.5", "a100": "8.0", "3090": "8.6", "l4": "8.9", "l40s": "8.9", "4090": "8.9"}
    capability |= {"h100": "9.0", "h200": "9.0", "gh200": "9.0", "b200": "10.0"}
    capability |= {"a40": "8.6", "l40": "8.9", "5090": "12.0"}
    shipped = [profile for profile in ALL if profile.name.startswith("nvidia-")]
    assert len(shipped) == 21
    for profile in shipped:
        model = next(word for word in profile.name.split("-")[1:] if word in capability)
        assert profile.device.levels[0].capacity_bytes == table["l1_bytes"][capability[model]]["bytes"], profile.name


@pytest.mark.parametrize(
    ("name", "units", "levels", "float32", "mixed", "ram_bytes_per_s", "watt"),
    [
        ("nvidia-v100", 80, [(128 * KIB, 80), (6 * MIB, 1), (16 * GIB, 1)], 15.7e12, 125e12, 900e9, 300),
        ("nvidia-a100-80gb", 108, [(192 * KIB, 108), (40 * MIB, 1), (80 * GIB, 1)], 19.5e12, 312e12, 2039e9, 400),
        ("nvidia-h100-sxm", 132, [(256 * KIB, 132), (50 * MIB, 1), (80 * GIB, 1)], 67e12, 989.5e12, 3.35e12, 700),
        ("nvidia-h200", 132, [(256 * KIB, 132), (60 * MIB, 1), (141 * GIB, 1)], 67e12, 990e12, 4.8e12, 700),
        ("nvidia-rtx-4090", 128, [(128 * KIB, 128), (72 * MIB, 1), (24 * GIB, 1)], 82.58e12, 165.15e12, 1.008e12, 450),
        (
            "amd-mi300x",
            304,
            [(32 * KIB, 304), (4 * MIB, 8), (256 * MIB, 1), (192 * GIB, 1)],
            163.4e12,
            1307.4e12,
            5.3e12,
            750,
        ),
        (
            "amd-epyc-7763",
            64,
            [(32 * KIB, 64), (512 * KIB, 64), (32 * MIB, 8), (4096 * GIB, 1)],
            64 * 32 * 2.45e9,
            None,
            204.8e9,
            280,
        ),
    ],
)
def test_key_values(name, units, levels, float32, mixed, ram_bytes_per_s, watt):
    profile = profiles.load(name)
    assert profile.device.units == units
    assert [(level.capacity_bytes, level.instances) for level in profile.device.levels] == levels
    assert profile.peaks_flop_per_s["float32"].value == pytest.approx(float32)
    assert (profile.peaks_flop_per_s["mixed"].value if mixed else None) == mixed
    assert profile.bandwidths_bytes_per_s["RAM"].value == ram_bytes_per_s
    assert profile.power_w["limit"].value == watt
    assert profile.coefficients is None


@pytest.mark.parametrize(
    ("name", "kib"),
    [("nvidia-a100-80gb", 28160), ("nvidia-h100-pcie", 36352), ("nvidia-h100-sxm", 36352), ("nvidia-h200", 44032)],
)
def test_an_l2_of_two_partitions_is_sized_by_what_was_measured_of_it(name, kib):
    """The largest buffer that gpu-benches read at 90 % of the full rate: half to 0.73 of the nominal capacity."""
    l2 = profiles.load(name).device.levels[1]
    assert l2.effective_bytes == l2.sizing_bytes == kib * KIB
    assert 0.5 < l2.effective_bytes / l2.capacity_bytes < 0.73


def test_an_l2_is_not_slower_on_the_faster_card_of_one_chip():
    sxm, pcie = (profiles.load(f"nvidia-h100-{form}").bandwidths_bytes_per_s["L2"].value for form in ("sxm", "pcie"))
    assert sxm > pcie


def test_geforce_tensor_cores_sum_float32_at_the_rate_of_the_others():
    peaks = profiles.load("nvidia-rtx-3090").peaks_flop_per_s
    assert peaks["tf32"].value == peaks["float32"].value == 35.6e12


@pytest.mark.parametrize(("name", "hierarchy"), [("butter-e-cpu", STUDY_CPU), ("butter-e-gpu", STUDY_GPU)])
def test_the_study_nodes_have_the_levels_of_the_study(name, hierarchy):
    levels = profiles.load(name).device.levels
    assert tuple(level.name for level in levels) == hierarchy.names
    assert [level.capacity_bytes for level in levels] == list(hierarchy.capacities)
    assert [level.instances for level in levels] == list(hierarchy.instances)


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        (
            "butter-e-cpu",
            {
                "experiment": 10.2e3,
                "pass": 0.487,
                "operation": 0.248 / 1e9,
                "access.L2": 19.8e-3,
                "access.L3": 71.7e-3,
                "access.RAM": 101.7e-3,
                "traffic.L2": 7.67e-3,
                "traffic.L3": 7.50e-3,
                "traffic.RAM": 12.1e-3,
            },
        ),
        (
            "butter-e-gpu",
            {
                "experiment": 272e3,
                "pass": 1.027,
                "operation": 0.297 / 1e9,
                "layer": 11.0e-3,
                "access.L1": 5.47e-3,
                "access.L2": 6.60e-3,
                "traffic.RAM": 1.90e-3,
            },
        ),
    ],
)
def test_the_published_coefficients_are_those_of_table_4(name, terms):
    """Table 4 brought to J per experiment, pass, operation, layer, access and MiB (`docs/method.md`)."""
    coefficients = profiles.load(name).coefficients
    assert (coefficients.quantity, coefficients.source, coefficients.label) == ("energy", "published", "published")
    assert coefficients.terms == pytest.approx(terms, rel=1e-12)
    assert coefficients.profile == name
    assert coefficients.conditions["epochs"] == 3000


@pytest.mark.parametrize("hardware", ["cpu", "gpu"])
def test_the_published_interval_is_that_of_the_error_histogram(hardware):
    """BUTTER-E's published error histogram (code MIT, data CC-BY-4.0: Tripp et al., OEDI submission 5991).

    Its ratio is predicted / measured, so the factors that turn a prediction into the interval are the reciprocals.
    """
    with (DATA / "butter_e_fig5_error_histogram.csv").open(encoding="utf-8") as stream:
        bins = [row for row in csv.DictReader(stream) if row["hardware"] == hardware]
    low, high = _quantile(bins, 0.05), _quantile(bins, 0.95)
    interval = profiles.load(f"butter-e-{hardware}").coefficients.interval
    assert interval == pytest.approx((1 / high, 1 / low), abs=6e-4)


def _quantile(bins: list[dict[str, str]], share: float) -> float:
    counts = [int(row["count"]) for row in bins]
    left = share * sum(counts)
    for row, count in zip(bins, counts, strict=True):
        if count >= left:
            low, high = float(row["ratio_lo"]), float(row["ratio_hi"])
            return low + (high - low) * left / count
        left -= count
    raise AssertionError(share)


def test_the_cpu_node_warns_that_its_fit_is_poor_for_deep_networks():
    assert "0.30 at depth 20" in profiles.load("butter-e-cpu").device.warnings[0]


def test_the_l1_of_a_gpu_is_sized_for_in_the_study_s_model_only():
    sized = {
        profile.name: [level.name for level in profile.device.caches()] for profile in ALL if profile.kind == "cuda"
    }
    assert sized.pop("butter-e-gpu") == ["L1", "L2"]
    assert set(map(tuple, sized.values())) == {("L2",)}
    assert "the study's model" in profiles.load("butter-e-gpu").device.warnings[0]
    assert profiles.load("nvidia-h200").device.known_levels()[0].name == "L1"


@pytest.mark.parametrize("profile", ALL, ids=lambda profile: profile.name)
def test_a_device_of_a_profile_is_plain_data(profile):
    record = json.loads(json.dumps(device_to_dict(profile.device), allow_nan=False))
    assert device_to_dict(device_from_dict(record)) == device_to_dict(profile.device)
    assert all("profile" in level.source for level in profile.device.levels)
    unverified = [level for level in profile.device.levels if "unverified" in level.source]
    assert len(unverified) == sum("capacity" in name for name in profile.unverified)


def test_facts_of_a_device_say_where_they_are_from():
    facts = profiles.load("nvidia-h100-sxm").device.facts
    assert facts["power_limit_w"] == {
        "value": 700,
        "source": "profile nvidia-h100-sxm (hpctech-h100)",
        "verified": True,
    }
    assert facts["peak_float32_flop_per_s"]["value"] == 67e12
    assert facts["bandwidth_L2_bytes_per_s"]["verified"] is False
    assert facts["bandwidth_L2_bytes_per_s"]["source"].endswith(", unverified")


def test_the_documentation_shows_the_shipped_values():
    text = (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8")
    assert "\n".join([HEADER, *rows(ALL)]) in text
    for profile in ALL:
        for name, source in profile.sources.items():
            assert f"- `{name}`: {f'[{source.title}]({source.url})' if source.url else source.title}" in text


def test_the_documentation_lists_every_cost_term():
    assert "\n".join(term_rows()) in (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8")


def test_the_example_in_the_documentation_is_a_sound_profile(tmp_path):
    text = (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8")
    example = text.partition("```json\n")[2].partition("```")[0]
    path = tmp_path / "acme-one.json"
    path.write_text(example, encoding="utf-8")
    profile = profiles.load(path)
    assert profile.unverified == ("float16 peak",)
    assert profile.match(words("ACME One"))

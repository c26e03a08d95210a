"""RAPL read from a captured powercap folder: which domains count, permissions, counters that misbehave."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from meter_fakes import FakeRapl

from sizer.base.errors import MeterError
from sizer.meters.rapl import RaplMeter, _apart


@pytest.fixture
def rapl(tmp_path) -> FakeRapl:
    return FakeRapl(tmp_path)


def test_packages_and_their_memory_add_up_and_nothing_counts_twice(rapl):
    meter = RaplMeter(rapl.two_packages().root)
    assert meter.quantities == ("package-0", "package-0/dram", "package-1", "package-1/dram")
    start = meter.snapshot()
    for folder, joules in (
        ("intel-rapl:0", 100),
        ("intel-rapl:0:0", 60),
        ("intel-rapl:0:1", 7),
        ("intel-rapl:1", 30),
        ("intel-rapl:1:0", 20),
        ("intel-rapl:1:1", 3),
        ("intel-rapl:2", 500),
        ("intel-rapl-mmio:0", 90),
    ):
        rapl.set(folder, 1_000_000 + joules * 1_000_000)
    energy = meter.energy(start, meter.snapshot()._replace(time_s=start.time_s + 2.0))
    assert energy.joules == 140.0
    assert energy.detail == {"package-0": 100.0, "package-0/dram": 7.0, "package-1": 30.0, "package-1/dram": 3.0}
    assert energy.label == meter.label == "measured"
    meter.close()


def _closed(meter):
    meter.close()
    return meter


def after(meter, start, seconds=1.0):
    return meter.snapshot()._replace(time_s=start.time_s + seconds)


def test_dies_that_show_one_counter_count_once_and_that_is_said(rapl):
    """As a Threadripper of two dies does: both show the package's counter."""
    for die in range(4):
        rapl.zone(f"intel-rapl:{die}", f"package-0-die-{die}", energy_uj=7_654_321)
    meter = RaplMeter(rapl.root)
    assert meter.quantities == ("package-0-die-0",)
    assert "package-0-die-1 left out: it shows the counter of package-0-die-0" in meter.source
    assert "package-0-die-3 left out: it shows the counter of package-0-die-0" in meter.source
    start = meter.snapshot()
    for die in range(4):
        rapl.set(f"intel-rapl:{die}", 7_654_321 + 68_000_000)
    energy = meter.energy(start, after(meter, start))
    assert (energy.joules, energy.warnings) == (68.0, ())
    meter.close()


def test_dies_with_counters_of_their_own_are_added(rapl):
    """As on a Cascade Lake AP: two packages of two dies, each with memory."""
    for number, (package, die) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        rapl.zone(f"intel-rapl:{number}", f"package-{package}-die-{die}", energy_uj=1_000_000 * (number + 1))
        rapl.zone(f"intel-rapl:{number}:0", "dram", energy_uj=3_000_000 * (number + 1))
    meter = RaplMeter(rapl.root)
    assert len(meter.quantities) == 8
    assert "left out" not in meter.source
    start = meter.snapshot()
    for number in range(4):
        rapl.set(f"intel-rapl:{number}", 1_000_000 * (number + 1) + 10_000_000)
        rapl.set(f"intel-rapl:{number}:0", 3_000_000 * (number + 1) + 1_000_000)
    assert meter.energy(start, after(meter, start)).joules == 44.0
    meter.close()


def test_a_die_that_agreed_by_chance_and_goes_its_own_way_is_added_after_all(rapl):
    rapl.zone("intel-rapl:0", "package-0-die-0")
    rapl.zone("intel-rapl:1", "package-0-die-1")
    meter = RaplMeter(rapl.root)
    start = meter.snapshot()
    rapl.set("intel-rapl:0", 101_000_000)
    rapl.set("intel-rapl:1", 31_000_000)
    energy = meter.energy(start, after(meter, start))
    assert energy.joules == 130.0
    assert energy.warnings == ("package-0-die-1 has a counter of its own after all, and is added",)
    rapl.set("intel-rapl:1", "gone")
    lost = after(meter, start)
    assert meter.energy(start, lost).joules is None
    meter.close()


def test_one_package_shown_as_two_counts_once_when_the_counters_move_together(rapl, monkeypatch):
    """Two names, one register: told by a counter that moves between readings and agrees whenever it is read."""
    from sizer.meters import rapl as module

    for package in (0, 1):
        rapl.zone(f"intel-rapl:{package}", f"package-{package}", energy_uj=5_000_000)
    counts = iter(range(5_000_000, 6_000_000, 10))
    monkeypatch.setattr(module, "_read", lambda handle: next(counts))
    meter = RaplMeter(rapl.root)
    assert meter.quantities == ("package-0",)
    assert "package-1 left out: it shows the counter of package-0" in meter.source
    meter.close()


def test_two_packages_that_happen_to_rest_at_one_count_are_two(rapl):
    for package in (0, 1):
        rapl.zone(f"intel-rapl:{package}", f"package-{package}", energy_uj=5_000_000)
    meter = RaplMeter(rapl.root)
    assert meter.quantities == ("package-0", "package-1")
    meter.close()


def test_psys_counts_only_where_there_is_no_package(rapl):
    rapl.zone("intel-rapl:0", "psys")
    meter = RaplMeter(rapl.root)
    assert meter.quantities == ("psys",)
    meter.close()


def test_a_package_shown_by_two_drivers_counts_once(rapl):
    rapl.zone("intel-rapl:0", "package-0")
    rapl.zone("intel-rapl:1", "package-0")
    meter = RaplMeter(rapl.root)
    assert [zone.folder for zone in meter.zones] == ["/sys/class/powercap/intel-rapl:0"]
    meter.close()


def test_packages_come_in_numeric_order(rapl):
    for package in (10, 2, 0):
        rapl.zone(f"intel-rapl:{package}", f"package-{package}")
    meter = RaplMeter(rapl.root)
    assert meter.quantities == ("package-0", "package-2", "package-10")
    meter.close()


def test_the_wrap_around_of_the_file_s_own_range_is_followed(rapl):
    rapl.zone("intel-rapl:0", "package-0", energy_uj=65_532_000_000, range_uj=65_532_610_987)
    assert _closed(RaplMeter(rapl.root, max_power_w=500.0)).maximum_window_s == 131.065221974
    meter = RaplMeter(rapl.root)
    assert meter.maximum_window_s == 65.532610987
    start = meter.snapshot()
    rapl.set("intel-rapl:0", 389_013)
    energy = meter.energy(start, meter.snapshot()._replace(time_s=start.time_s + 1.0))
    assert energy.joules == 1.0
    meter.close()


@pytest.mark.parametrize("count", [0, "none"])
def test_a_memory_counter_that_never_ran_is_left_out_and_said(rapl, count):
    rapl.zone("intel-rapl:0", "package-0")
    rapl.zone("intel-rapl:0:0", "dram")
    rapl.set("intel-rapl:0:0", count)
    meter = RaplMeter(rapl.root)
    assert meter.quantities == ("package-0",)
    assert "memory not included; package-0/dram left out: its counter stays at 0" in meter.source
    meter.close()


def test_counters_that_never_ran_are_no_meter(rapl):
    for package in (0, 1):
        rapl.zone(f"intel-rapl:{package}", f"package-{package}", energy_uj=0)
    with pytest.raises(MeterError, match=r"read 0 .package-0, package-1.*; use --meter"):
        RaplMeter(rapl.root)


def test_a_machine_without_rapl_is_told_what_to_do(tmp_path):
    remedy = r"no RAPL counter.* with `sudo modprobe intel_rapl_msr`, .* --meter wattmeter-log or power-model$"
    with pytest.raises(MeterError, match=remedy):
        RaplMeter(tmp_path)


def test_a_container_that_hides_the_counters_is_told_how_to_show_them(rapl):
    for zone in ("intel-rapl:0", "intel-rapl:0:0"):
        (rapl.folder / zone).symlink_to(f"../../devices/virtual/powercap/intel-rapl/{zone}")
    reason = (
        r"\(intel-rapl:0, intel-rapl:0:0\); container runtimes hide them; start the container with "
        "`-v /sys/devices/virtual/powercap:/sys/devices/virtual/powercap:ro`$"
    )
    with pytest.raises(MeterError, match=reason):
        RaplMeter(rapl.root)


@pytest.mark.parametrize("content", ["", "0"])
def test_a_missing_range_is_no_meter(rapl, content):
    rapl.zone("intel-rapl:0", "package-0")
    (rapl.folder / "intel-rapl:0/max_energy_range_uj").write_text(content)
    with pytest.raises(MeterError, match=r"max_energy_range_uj is missing: package-0's wrap-around"):
        RaplMeter(rapl.root)


def test_without_permission_the_message_is_the_command_that_grants_it(rapl, monkeypatch):
    rapl.two_packages()
    monkeypatch.setattr(os, "open", _refuse("intel-rapl:1:1/energy_uj", os.open))
    before = _open_files()
    with pytest.raises(MeterError) as caught:
        RaplMeter(rapl.root)
    message = str(caught.value)
    assert "CVE-2020-8694" in message
    assert "sudo chgrp $(id -gn) /sys/class/powercap/intel-rapl:*/energy_uj && sudo chmod g+r" in message
    assert message.endswith("energy_uj` (for good: docs/meters.md)")
    assert "\n" not in message
    assert _open_files() == before


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can become another user")
def test_a_user_whom_the_kernel_refuses_gets_the_same_message(tmp_path_factory):
    root = Path("/tmp") / f"sizer-rapl-{os.getpid()}"  # noqa: S108 (pytest's own folders are closed to other users)
    root.mkdir(mode=0o755)
    try:
        FakeRapl(root).zone("intel-rapl:0", "package-0")
        (root / "sys/class/powercap/intel-rapl:0/energy_uj").chmod(0o400)
        script = (
            "import os; from sizer.base.errors import MeterError; from sizer.meters.rapl import RaplMeter\n"
            "os.setuid(65534)\n"
            f"try: RaplMeter({str(root)!r})\nexcept MeterError as error: print(error)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("no permission to read /tmp/")
    finally:
        subprocess.run(["rm", "-r", str(root)], check=True)


def test_a_counter_that_goes_away_is_a_rejected_window_and_no_exception(rapl):
    rapl.zone("intel-rapl:0", "package-0")
    meter = RaplMeter(rapl.root)
    start = meter.snapshot()
    rapl.set("intel-rapl:0", "gone")
    lost = meter.snapshot()
    assert lost.readings == (None,)
    rapl.set("intel-rapl:0", 2_000_000)
    back = meter.snapshot()
    for end in (lost, back):
        energy = meter.energy(start, end._replace(time_s=start.time_s + 1.0))
        assert energy.joules is None
        assert "could not be read" in energy.warnings[0]
    rapl.set("intel-rapl:0", 3_000_000)
    assert meter.energy(back, meter.snapshot()._replace(time_s=back.time_s + 1.0)).joules == 1.0
    meter.close()


def test_the_source_says_what_is_added_and_what_is_left_out(rapl):
    meter = RaplMeter(rapl.two_packages().root)
    names = "package-0, package-0/dram, package-1, package-1/dram"
    assert meter.source == f"RAPL energy counters of {names} (memory included)"
    meter.close()


def test_two_memories_left_out_and_dies_of_one_counter_are_named_in_turn(rapl):
    for die in range(3):
        rapl.zone(f"intel-rapl:{die}", f"package-0-die-{die}", energy_uj=7_654_321)
    for die in range(2):
        rapl.zone(f"intel-rapl:{die}:0", "dram", energy_uj=0)
    meter = RaplMeter(rapl.root)
    assert meter.source == (
        "RAPL energy counters of package-0-die-0 (memory not included; package-0-die-0/dram, package-0-die-1/dram left "
        "out: its counter stays at 0; package-0-die-1 left out: it shows the counter of package-0-die-0; "
        "package-0-die-2 left out: it shows the counter of package-0-die-0)"
    )
    meter.close()


def test_each_failure_of_a_counter_counts_and_says_why(rapl):
    rapl.zone("intel-rapl:0", "package-0")
    meter = RaplMeter(rapl.root)
    assert meter.snapshot().unix_s == pytest.approx(time.time(), abs=60.0)
    rapl.set("intel-rapl:0", "gone")
    first, second = meter.snapshot(), meter.snapshot()
    assert (first.interruptions, second.interruptions) == (1, 2)
    assert first.problem.startswith("a RAPL counter could not be read (invalid literal")
    meter.close()


def test_counters_are_not_handed_to_programs_that_are_started(rapl):
    rapl.zone("intel-rapl:0", "package-0")
    meter = RaplMeter(rapl.root)
    assert not any(os.get_inheritable(handle) for handle in meter._handles)
    meter.close()


def test_a_counter_that_is_not_there_says_why(rapl):
    rapl.zone("intel-rapl:0", "package-0")
    (rapl.folder / "intel-rapl:0/energy_uj").unlink()
    with pytest.raises(MeterError, match=r"the RAPL counter .*/energy_uj cannot be opened: No such file"):
        RaplMeter(rapl.root)


@pytest.mark.parametrize(
    ("before", "after", "apart"),
    [
        ((10, 10), (110, 110), False),
        ((10, 10), (110, 85), False),
        ((10, 10), (110, 80), True),
        ((10, 10), (80, 110), True),
        ((10, 10), (10, 110), True),
        ((10, 10), (11, 10), True),
        ((10, 10), (5, 110), False),
        ((10, None), (110, 20), False),
        ((10, 10), (110, None), False),
    ],
)
def test_counters_are_apart_where_one_moved_a_third_more(before, after, apart):
    assert _apart(before, after, 0, 1) is apart


def test_closing_lets_go_of_the_files(rapl):
    before = _open_files()
    meter = RaplMeter(rapl.two_packages().root)
    meter.close()
    meter.close()
    assert _open_files() == before


def _refuse(ending, real):
    def opened(path, *arguments, **options):
        if str(path).endswith(ending):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *arguments, **options)

    return opened


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0

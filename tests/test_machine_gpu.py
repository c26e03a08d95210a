"""GPUs: NVML and the CUDA driver merged, with everything that can be missing or fail."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from fake_gpus import A100, GIB, H100, MIG, FakeDriver, FakeNvml, Gpu
from machines import write

from sizer.detection import cuda_driver
from sizer.detection.captured_tree import Tree
from sizer.detection.cuda_driver import ATTRIBUTES, CudaDriverError, load_driver, read_driver
from sizer.detection.gpu_device import l1_bytes, uuid_digits
from sizer.detection.gpus import read_driver_in_child, read_gpus, read_torch
from sizer.detection.nvml import NvmlUnavailableError, read_nvml
from sizer.method.hardware import RAM, device_from_dict, device_to_dict

ADA = Gpu("GPU-dddddddd-0000-0000-0000-000000000000", "NVIDIA RTX 4000", (8, 9), 48, 48 << 20, 20 * GIB, 130_000, 0x02)


@pytest.fixture
def tree(tmp_path):
    """A machine on which an NVIDIA driver is loaded."""
    write(tmp_path, "proc/driver/nvidia/version", "NVRM version: 580.00")
    return Tree(tmp_path)


def driver_reader(driver):
    """Readings of a fake driver, by way of the JSON that the child process prints."""

    def run(command):
        try:
            return json.dumps({"devices": read_driver(driver)})
        except CudaDriverError as error:
            return json.dumps({"error": str(error)})

    return lambda: read_driver_in_child(run)


def no_driver():
    raise CudaDriverError("the CUDA driver library was not found")


def gpus(tree, nvml, driver, torch=None, **environment):
    return read_gpus(
        tree,
        environment,
        nvml=(lambda: read_nvml(lambda: nvml)) if isinstance(nvml, FakeNvml) else nvml,
        driver=driver_reader(driver) if isinstance(driver, FakeDriver) else driver,
        torch=lambda may_import: torch,
    )


def test_both_sources_make_one_record(tree):
    found = gpus(tree, FakeNvml(Gpu()), FakeDriver(Gpu()))
    (device,) = found.devices
    assert (device.id, device.kind, device.name, device.units) == ("cuda:0", "cuda", "NVIDIA A100-SXM4-80GB", 108)
    assert [(level.name, level.capacity_bytes, level.instances) for level in device.levels] == [
        ("L1", 192 << 10, 108),
        ("L2", 40 << 20, 1),
        (RAM, 80 * GIB, 1),
    ]
    assert "CUDA Programming Guide" in device.levels[0].source
    assert device.levels[1].source == "CUDA driver"
    assert device.levels[1].effective_bytes == 27.5 * 2**20  # its L2 is two partitions
    assert "stated" in device.facts["l2_effective_share"]["source"]
    assert device.facts["compute_capability"]["value"] == "8.0"
    assert device.facts["power_limit_w"] == {"value": 400.0, "source": "NVML"}
    assert device.facts["shared_memory_per_sm_bytes"]["value"] == 164 << 10
    assert (device.warnings, found.warnings, found.failed) == ((), (), False)
    assert device_from_dict(json.loads(json.dumps(device_to_dict(device)))) == device


def test_every_value_has_a_source(tree):
    (device,) = gpus(tree, FakeNvml(Gpu()), FakeDriver(Gpu())).devices
    assert all(level.source != "unknown" for level in device.levels)
    assert all(fact["source"] for fact in device.facts.values())
    assert set(device.sources) == {"name", "units"}


def test_no_driver_is_no_gpu_and_no_word(tmp_path):
    def never():
        raise AssertionError("asked without a driver")

    found = read_gpus(Tree(tmp_path), {}, nvml=never, driver=never)
    assert found == type(found)()


def test_a_container_of_windows_subsystem_for_linux_has_a_gpu_where_the_driver_answers(tmp_path):
    """There /dev/dxg is all there is to see; it stands for any vendor's GPU, so that silence is not worth a word."""

    def no_nvml():
        raise NvmlUnavailableError("not found")

    write(tmp_path, "dev/dxg", "")
    found = gpus(Tree(tmp_path), FakeNvml(Gpu()), FakeDriver(Gpu()))
    assert [device.id for device in found.devices] == ["cuda:0"]
    assert gpus(Tree(tmp_path), no_nvml, no_driver) == type(found)()


@pytest.mark.parametrize("hidden", ["", " ", "-1", "-1,0"])
def test_hidden_gpus_are_not_asked_for(tree, hidden):
    def never():
        raise AssertionError("asked although hidden")

    found = read_gpus(tree, {"CUDA_VISIBLE_DEVICES": hidden}, nvml=never, driver=never)
    assert (found.devices, found.warnings) == ((), ())


def test_devices_are_numbered_as_cuda_does_and_matched_by_uuid(tree):
    # NVML lists by PCI bus (the RTX first), CUDA the fastest first.
    found = gpus(tree, FakeNvml(ADA, Gpu()), FakeDriver(Gpu(), ADA))
    assert [(device.id, device.name, device.facts["power_limit_w"]["value"]) for device in found.devices] == [
        ("cuda:0", "NVIDIA A100-SXM4-80GB", 400.0),
        ("cuda:1", "NVIDIA RTX 4000", 130.0),
    ]


def test_without_a_uuid_the_pci_bus_matches(tree):
    driver = FakeDriver(Gpu(), ADA, broken=("cuDeviceGetUuid_v2", "cuDeviceGetUuid"))
    found = gpus(tree, FakeNvml(ADA, Gpu()), driver)
    assert [device.facts["power_limit_w"]["value"] for device in found.devices] == [400.0, 130.0]


def test_an_older_driver_has_one_uuid_function(tree):
    driver = FakeDriver(Gpu(), absent=("cuDeviceGetUuid_v2",))
    (device,) = gpus(tree, FakeNvml(), driver).devices
    assert uuid_digits(device.facts["uuid"]["value"]) == uuid_digits(A100)


def test_a_mig_instance_is_the_device(tree):
    part = Gpu(MIG, "NVIDIA A100-SXM4-80GB MIG 1g.10gb", sms=14, l2=5 << 20, memory=10 * GIB)
    found = gpus(tree, FakeNvml(Gpu(parts=[part])), FakeDriver(part))
    (device,) = found.devices
    assert (device.name, device.units) == (part.name, 14)
    assert device.levels[1].effective_bytes is None  # its slices of L2 are in one partition
    assert [level.capacity_bytes for level in device.levels] == [192 << 10, 5 << 20, 10 * GIB]
    assert device.facts["mig_instance"]["value"] is True
    assert device.facts["power_limit_w"]["value"] == 400.0
    assert "whole GPU's limit" in device.facts["power_limit_w"]["source"]


def test_a_mig_instance_that_nvml_does_not_show_is_found_by_its_bus(tree):
    part = Gpu(MIG, "NVIDIA A100-SXM4-80GB MIG 1g.10gb", sms=14)
    nvml = FakeNvml(Gpu(parts=[Gpu("MIG-eeeeeeee-0000-0000-0000-000000000000")]))
    (device,) = gpus(tree, nvml, FakeDriver(part)).devices
    assert device.units == 14
    assert device.facts["mig_instance"]["value"] is True
    assert "whole GPU's limit" in device.facts["power_limit_w"]["source"]


def test_a_mig_instance_with_the_uuid_of_its_gpu_is_an_instance_all_the_same(tree):
    """Older drivers give it that; of a partitioned GPU CUDA shows instances only."""
    part = Gpu(A100, "NVIDIA A100-SXM4-80GB", sms=14, l2=5 << 20)
    nvml = FakeNvml(Gpu(parts=[Gpu(MIG, sms=14)]))
    (device,) = gpus(tree, nvml, FakeDriver(part, absent=("cuDeviceGetUuid_v2",))).devices
    assert device.units == 14
    assert device.facts["mig_instance"]["value"] is True
    assert device.levels[1].effective_bytes is None


def test_a_mig_instance_by_nvml_alone_has_its_own_sms(tree):
    part = Gpu(MIG, "MIG 1g.10gb", sms=14, memory=10 * GIB)
    (device,) = gpus(tree, FakeNvml(Gpu(parts=[part])), no_driver).devices
    assert (device.units, device.levels[-1].capacity_bytes) == (14, 10 * GIB)
    assert device.facts["compute_capability"]["value"] == "8.0"


NVML_FUNCTIONS = [
    "nvmlDeviceGetCudaComputeCapability",
    "nvmlDeviceGetEnforcedPowerLimit",
    "nvmlDeviceGetPowerManagementLimit",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetName",
    "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetPciInfo",
    "nvmlDeviceGetHandleByIndex",
    "nvmlDeviceGetMaxMigDeviceCount",
    "nvmlDeviceGetMigDeviceHandleByIndex",
    "nvmlDeviceGetAttributes",
    "nvmlShutdown",
]


@pytest.mark.parametrize("how", ["broken", "absent"])
@pytest.mark.parametrize("function", NVML_FUNCTIONS)
def test_any_nvml_function_may_fail(tree, function, how):
    gpu = Gpu(parts=[Gpu(MIG, sms=14)])
    found = gpus(tree, FakeNvml(gpu, **{how: (function,)}), FakeDriver(gpu))
    (device,) = found.devices
    assert (device.units, device.levels[1].capacity_bytes) == (108, 40 << 20)


def test_what_nvml_refused_is_said(tree):
    refused = ("nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetPowerManagementLimit")
    (device,) = gpus(tree, FakeNvml(Gpu(), broken=refused), FakeDriver(Gpu())).devices
    assert "power_limit_w" not in device.facts
    assert any("power limit (NVML: Not Supported)" in warning for warning in device.warnings)


def test_the_set_power_limit_stands_in_for_the_enforced_one(tree):
    nvml = FakeNvml(Gpu(), broken=("nvmlDeviceGetEnforcedPowerLimit",))
    (device,) = gpus(tree, nvml, FakeDriver(Gpu())).devices
    assert device.facts["power_limit_w"]["value"] == 400.0


@pytest.mark.parametrize("function", ["nvmlInit", "nvmlDeviceGetCount"])
def test_without_nvml_the_driver_alone_describes_the_gpu(tree, function):
    found = gpus(tree, FakeNvml(Gpu(), broken=(function,)), FakeDriver(Gpu()))
    (device,) = found.devices
    assert (device.name, device.units) == ("NVIDIA A100-SXM4-80GB", 108)
    assert "power_limit_w" not in device.facts
    assert any("NVML does not answer (Not Supported)" in warning for warning in found.warnings)
    assert found.failed


def test_a_missing_pynvml_is_a_reason():
    def absent():
        raise ImportError("No module named 'pynvml'")

    with pytest.raises(NvmlUnavailableError, match="No module named 'pynvml'"):
        read_nvml(absent)


def test_nvml_is_shut_down_again():
    nvml = FakeNvml(Gpu())
    read_nvml(lambda: nvml)
    assert nvml.open == 0


DRIVER_FUNCTIONS = [
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDeviceTotalMem_v2",
    "cuDeviceGetUuid_v2",
    "cuDeviceGetAttribute",
]


@pytest.mark.parametrize("how", ["broken", "absent"])
@pytest.mark.parametrize("function", DRIVER_FUNCTIONS)
def test_any_driver_function_may_fail(tree, function, how):
    (device,) = gpus(tree, FakeNvml(Gpu()), FakeDriver(Gpu(), **{how: (function,)})).devices
    assert device.id == "cuda:0"
    assert [level.name for level in device.levels] == ["L1", "L2", RAM]


def test_what_the_driver_does_not_tell_is_null_and_said(tree):
    (device,) = gpus(tree, FakeNvml(Gpu()), FakeDriver(Gpu(), broken=("cuDeviceGetAttribute",))).devices
    assert (device.units, device.levels[1].capacity_bytes) == (None, None)
    assert device.levels[0].capacity_bytes == 192 << 10  # NVML knows the compute capability
    assert any("the size of L2, the number of SMs" in warning for warning in device.warnings)


def test_a_zero_is_not_a_size(tree):
    (device,) = gpus(tree, FakeNvml(Gpu()), FakeDriver(Gpu(sms=0, l2=0))).devices
    assert (device.units, device.levels[1].capacity_bytes) == (None, None)


def test_an_unknown_compute_capability_has_no_l1(tree):
    (device,) = gpus(tree, FakeNvml(Gpu(capability=(99, 0))), FakeDriver(Gpu(capability=(99, 0)))).devices
    assert device.levels[0].capacity_bytes is None
    assert any("99.0 is not in sizer's table" in warning for warning in device.warnings)


def test_a_driver_that_cannot_start_is_a_warning(tree):
    found = gpus(tree, FakeNvml(Gpu()), FakeDriver(Gpu(), init=803))
    (device,) = found.devices
    assert (device.name, device.units) == ("NVIDIA A100-SXM4-80GB", None)
    assert any("error 803 (CUDA_ERROR_SYSTEM_DRIVER_MISMATCH)" in warning for warning in found.warnings)
    assert found.failed


def test_both_failing_is_two_warnings_and_no_device(tree):
    def no_nvml():
        raise NvmlUnavailableError("Driver Not Loaded")

    found = gpus(tree, no_nvml, no_driver)
    assert (found.devices, len(found.warnings), found.failed) == ((), 2, True)


def test_gpus_that_cuda_cannot_use_are_not_listed(tree):
    found = gpus(tree, FakeNvml(Gpu()), FakeDriver(init=100))
    assert found.devices == ()
    assert any("CUDA can use none" in warning for warning in found.warnings)
    hidden = gpus(tree, FakeNvml(Gpu()), FakeDriver(init=100), CUDA_VISIBLE_DEVICES="7")
    assert (hidden.devices, hidden.warnings) == ((), ())


def test_nvml_alone_follows_the_visible_devices(tree):
    three = FakeNvml(ADA, Gpu(), Gpu(H100, "NVIDIA H100", (9, 0), bus=0x3A))

    def names(visible):
        return [device.name for device in gpus(tree, three, no_driver, CUDA_VISIBLE_DEVICES=visible).devices]

    assert names("2,0") == ["NVIDIA H100", "NVIDIA RTX 4000"]
    assert names("0,9,1") == ["NVIDIA RTX 4000"]  # CUDA stops at the first that it does not know
    assert names("GPU-bbbb") == ["NVIDIA H100"]
    assert names("1,1") == ["NVIDIA A100-SXM4-80GB"]
    assert names("GPU-") == []


def test_nvml_alone_says_that_its_order_may_differ(tree):
    def warned(*all_gpus, **environment):
        return any(
            "numbered by PCI bus" in text for text in gpus(tree, FakeNvml(*all_gpus), no_driver, **environment).warnings
        )

    assert warned(ADA, Gpu())
    assert not warned(ADA, Gpu(), CUDA_DEVICE_ORDER="PCI_BUS_ID")
    assert not warned(Gpu(), Gpu(H100))  # of one name: the order does not matter


def torch_with(**fields):
    cuda = SimpleNamespace(
        is_available=lambda: True,
        device_count=lambda: 1,
        get_device_properties=lambda index: SimpleNamespace(**fields),
    )
    return SimpleNamespace(cuda=cuda)


def test_a_loaded_torch_stands_in_for_the_driver(tree):
    torch = torch_with(
        name="NVIDIA A100-SXM4-80GB",
        major=8,
        minor=0,
        multi_processor_count=108,
        total_memory=79 * GIB,
        L2_cache_size=40 << 20,
        uuid=A100[4:],
    )
    found = gpus(tree, FakeNvml(Gpu()), no_driver, torch)
    (device,) = found.devices
    assert (device.units, device.levels[1].capacity_bytes, device.levels[1].source) == (108, 40 << 20, "PyTorch")
    assert (device.levels[2].capacity_bytes, device.facts["power_limit_w"]["value"]) == (79 * GIB, 400.0)
    assert found.warnings == ()


@pytest.mark.parametrize("visible", ["", "1", None])
def test_once_cuda_runs_torch_says_which_gpus_there_are(tree, visible):
    """CUDA_VISIBLE_DEVICES is read when CUDA is initialised; what it is changed to afterwards changes nothing."""
    torch = torch_with(
        name="NVIDIA RTX 4000", major=8, minor=9, multi_processor_count=48, total_memory=20 * GIB, uuid=ADA.uuid[4:]
    )
    torch.cuda.is_initialized = lambda: True
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    found = gpus(tree, FakeNvml(Gpu(), ADA), FakeDriver(Gpu()), torch, **environment)
    assert [(device.id, device.name, device.units) for device in found.devices] == [("cuda:0", "NVIDIA RTX 4000", 48)]
    assert found.devices[0].facts["power_limit_w"]["value"] == 130.0


def test_an_old_torch_without_a_field_is_a_warning(tree):
    torch = torch_with(name="GPU", major=7, minor=0, multi_processor_count=80, total_memory=16 * GIB)
    (device,) = gpus(tree, FakeNvml(), no_driver, torch).devices
    assert (device.units, device.levels[0].capacity_bytes, device.levels[1].capacity_bytes) == (80, 128 << 10, None)
    assert any("the size of L2" in warning for warning in device.warnings)


def test_a_torch_that_fails_is_no_crash():
    broken = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: 1 / 0))
    with pytest.raises(CudaDriverError, match="PyTorch could not tell"):
        read_torch(broken)


def test_torch_is_imported_only_when_there_is_a_gpu_to_ask_about(tree):
    asked = []

    def torch(may_import):
        asked.append(may_import)

    read_gpus(tree, {}, nvml=lambda: (), driver=no_driver, torch=torch)
    read_gpus(tree, {}, nvml=lambda: read_nvml(lambda: FakeNvml(Gpu())), driver=no_driver, torch=torch)
    assert asked == [False, False, False, True]  # (whether CUDA runs already; then instead of the driver)


# The child process


def test_the_child_process_answers_on_this_machine():
    """Whatever this machine has: devices, or a reason; never a traceback."""
    result = subprocess.run(
        [sys.executable, "-I", "-S", cuda_driver.__file__], capture_output=True, text=True, timeout=120, check=True
    )
    answer = json.loads(result.stdout)
    assert set(answer) in ({"devices"}, {"error"})


@pytest.mark.parametrize("answer", ["", "no JSON", "[]", "{}", "null", '{"error": "because"}'])
def test_a_child_that_answers_nonsense_is_a_reason(answer):
    with pytest.raises(CudaDriverError):
        read_driver_in_child(lambda command: answer)


def test_a_child_that_dies_is_a_reason():
    def dies(command):
        raise subprocess.CalledProcessError(-11, command)

    with pytest.raises(CudaDriverError, match="asking the CUDA driver failed"):
        read_driver_in_child(dies)


def test_the_child_is_isolated_from_the_callers_path():
    seen = []

    def run(command):
        seen.append(command)
        return '{"devices": []}'

    assert read_driver_in_child(run) == ()
    assert seen[0][1:3] == ["-I", "-S"]


def test_a_missing_library_is_a_reason(monkeypatch):
    monkeypatch.setattr(cuda_driver, "_LIBRARIES", {sys.platform: ("libdoes-not-exist.so.1",)})
    with pytest.raises(CudaDriverError, match="was not found"):
        load_driver()
    monkeypatch.setattr(cuda_driver, "_LIBRARIES", {})
    with pytest.raises(CudaDriverError, match="none on this platform"):
        load_driver()


def test_main_prints_devices_or_the_reason(monkeypatch, capsys):
    monkeypatch.setattr(cuda_driver, "load_driver", lambda: FakeDriver(Gpu()))
    cuda_driver.main()
    assert json.loads(capsys.readouterr().out)["devices"][0]["multiprocessors"] == 108
    monkeypatch.setattr(cuda_driver, "load_driver", no_driver)
    cuda_driver.main()
    assert "not found" in json.loads(capsys.readouterr().out)["error"]


def test_attribute_numbers_are_those_of_cuda_h():
    assert (ATTRIBUTES["multiprocessors"], ATTRIBUTES["l2_bytes"], ATTRIBUTES["capability_major"]) == (16, 38, 75)


# The table of L1 sizes


@pytest.mark.parametrize(
    ("capability", "kib"),
    [
        ((7, 0), 128),
        ((7, 5), 64),
        ((8, 0), 192),
        ((8, 6), 128),
        ((8, 9), 128),
        ((9, 0), 256),
        ((10, 0), 256),
        ((12, 0), 128),
    ],
)
def test_l1_by_compute_capability(capability, kib):
    size, source = l1_bytes(capability)
    assert size == kib << 10
    assert source.endswith("compute capability {}.{}".format(*capability))

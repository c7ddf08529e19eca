"""What is told of a GPU: with NVML in the place of which a stub stands, and without any, as where this is tested."""

import sys
from types import SimpleNamespace

import pytest
import torch

from fedlora.metrics.sample import read_samples, write_samples
from supernode.trainer.gpu import find_gpus


class NVMLError(Exception):
    pass


def nvml(**changes):
    """Return what stands in for the module pynvml: one GPU, which is NVML's second."""

    def by_id(name):
        return "handle" if name == "GPU-1b-2c" else pytest.fail(name)

    def of(value):
        return lambda handle: value if handle == "handle" else pytest.fail(handle)

    functions = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByUUID": by_id,
        "nvmlDeviceGetIndex": of(1),
        "nvmlDeviceGetMemoryInfo": of(SimpleNamespace(total=80 * 2**30, used=3 * 2**30)),
        "nvmlDeviceGetUtilizationRates": of(SimpleNamespace(gpu=75, memory=10)),
        "nvmlDeviceGetPowerUsage": of(350_500),
        "nvmlDeviceGetTotalEnergyConsumption": of(9_876_543),
    }
    return SimpleNamespace(**{**functions, "NVMLError": NVMLError, **changes})


def refused(*_):
    raise NVMLError


@pytest.fixture
def gpu_of(monkeypatch):
    def made(module):
        monkeypatch.setitem(sys.modules, "pynvml", module)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="1b-2c"))
        monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _: 2 * 2**30)
        return find_gpus("cuda")

    return made


def test_what_is_read_has_the_units_of_its_name(gpu_of):
    (gpu,) = gpu_of(nvml())
    told = write_samples(gpu.samples())
    label = '{gpu="1"}'
    assert told == {
        f"fedlora_gpu_memory_bytes{label}": 80 * 2.0**30,
        f"fedlora_gpu_memory_used_bytes{label}": 3 * 2.0**30,
        f"fedlora_gpu_memory_peak_bytes{label}": 2 * 2.0**30,
        f"fedlora_gpu_utilisation_ratio{label}": 0.75,
        f"fedlora_gpu_power_watts{label}": 350.5,
        f"fedlora_gpu_energy_joules_total{label}": pytest.approx(9876.543),
    }
    assert gpu.joules() == pytest.approx(9876.543)
    assert len(list(read_samples(told))) == 6


def test_what_a_gpu_does_not_count_is_absent_and_the_rest_is_there(gpu_of):
    (gpu,) = gpu_of(nvml(nvmlDeviceGetTotalEnergyConsumption=refused, nvmlDeviceGetPowerUsage=refused))
    assert gpu.joules() is None
    names = {sample.name for sample in gpu.samples()}
    assert len(names) == 4
    assert not {"fedlora_gpu_power_watts", "fedlora_gpu_energy_joules_total"} & names


def test_several_gpus_are_told_apart(monkeypatch):
    monkeypatch.setitem(
        sys.modules,
        "pynvml",
        nvml(
            nvmlDeviceGetHandleByUUID=lambda name: name,
            nvmlDeviceGetIndex=lambda handle: int(handle[-1]),
            nvmlDeviceGetMemoryInfo=lambda _: SimpleNamespace(total=1, used=1),
            nvmlDeviceGetUtilizationRates=refused,
            nvmlDeviceGetPowerUsage=refused,
            nvmlDeviceGetTotalEnergyConsumption=refused,
        ),
    )
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=f"x-{number + 5}"))
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda number: 10 * number)
    told = write_samples([sample for gpu in find_gpus("cuda", 2) for sample in gpu.samples()])
    assert [told[f'fedlora_gpu_memory_peak_bytes{{gpu="{number}"}}'] for number in (5, 6)] == [0.0, 10.0]


@pytest.mark.parametrize("missing", ["nvmlInit", "nvmlDeviceGetHandleByUUID", "nvmlDeviceGetIndex"])
def test_no_driver_is_no_gpu(gpu_of, missing, caplog):
    assert gpu_of(nvml(**{missing: refused})) == []
    assert "NVML does not answer, and the GPU is not measured" in caplog.text


def test_a_device_without_nvml(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "pynvml", None)  # as if it were not installed
    assert find_gpus("cuda") == []
    assert "nvidia-ml-py is not installed" in caplog.text
    assert find_gpus("cpu") == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="left out: this machine has a GPU")
def test_the_real_library_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="1b-2c"))
    assert find_gpus("cuda") == []

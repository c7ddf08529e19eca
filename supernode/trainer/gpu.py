"""What a trainer's GPU is doing, from NVIDIA's management library (NVML) and from torch's allocator.

Whatever cannot be read is absent: no GPU, no driver, or a GPU that does not count what is asked for. It is never 0.
"""

import logging
from collections.abc import Callable
from typing import Any

import torch

from fedlora.metrics import Sample

__all__ = ["Gpu", "find_gpus"]

log = logging.getLogger("fedlora.trainer")
MILLI, PERCENT = 1e-3, 1e-2
Number = Callable[[], float]


class Gpu:
    """A GPU that torch computes on.

    Parameters
    ----------
    nvml : module
        ``pynvml``, initialised.
    handle : object
        NVML's handle of the GPU.
    number : int
        CUDA's number of it.
    """

    def __init__(self, nvml: Any, handle: Any, number: int) -> None:
        self._nvml = nvml
        self._number = number
        self._handle = handle
        self._labels = {"gpu": str(nvml.nvmlDeviceGetIndex(handle))}

    def joules(self) -> float | None:
        """Return the energy used since the driver was loaded; None if this GPU does not count it."""
        try:
            return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) * MILLI
        except self._nvml.NVMLError:
            return None

    def samples(self) -> list[Sample]:
        """Return what can be read of it now."""
        nvml, handle = self._nvml, self._handle
        sources: dict[str, Number] = {
            "fedlora_gpu_memory_bytes": lambda: nvml.nvmlDeviceGetMemoryInfo(handle).total,
            "fedlora_gpu_memory_used_bytes": lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used,
            "fedlora_gpu_utilisation_ratio": lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu * PERCENT,
            "fedlora_gpu_power_watts": lambda: nvml.nvmlDeviceGetPowerUsage(handle) * MILLI,
            "fedlora_gpu_energy_joules_total": lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) * MILLI,
            "fedlora_gpu_memory_peak_bytes": lambda: torch.cuda.max_memory_reserved(self._number),
        }
        samples = []
        for name, read in sources.items():
            try:
                samples.append(Sample(name, float(read()), self._labels))
            except nvml.NVMLError:  # each value by itself may be one that this GPU does not know
                continue
        return samples


def find_gpus(device: str, count: int = 1) -> list[Gpu]:
    """Return the GPUs that `device` stands for; none for ``cpu``, or where NVML cannot be asked."""
    if device != "cuda":
        return []
    try:
        import pynvml
    except ImportError:
        log.warning("nvidia-ml-py is not installed; the GPU is not measured")
        return []
    try:
        pynvml.nvmlInit()
        # By its id: CUDA numbers GPUs in another order, and only those that it may see.
        names = [f"GPU-{torch.cuda.get_device_properties(number).uuid}" for number in range(count)]
        handles = map(pynvml.nvmlDeviceGetHandleByUUID, names)
        return [Gpu(pynvml, handle, number) for number, handle in enumerate(handles)]
    except pynvml.NVMLError as error:
        log.warning("NVML does not answer, and the GPU is not measured: %s", error)
        return []

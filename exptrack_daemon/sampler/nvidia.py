"""NVIDIA GPUs through NVML. No library, driver or GPU is normal; a field that a card lacks is left out."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from typing import Any

from exptrack_daemon.sampler.host import Values

logger = logging.getLogger(__name__)


class NvidiaSampler:
    """Readings of all GPUs of the node."""

    def __init__(self, nvml: Any = None) -> None:
        self._nvml = nvml if nvml is not None else _start_nvml()
        self._devices: list[Any] = []
        if self._nvml is not None:
            self._devices = self._find()

    @property
    def count(self) -> int:
        """GPUs that are watched."""
        return len(self._devices)

    def read(self) -> Values:
        """Utilisation, memory, temperature and power of every GPU."""
        values: Values = {}
        for index, device in enumerate(self._devices):
            for name, read in self._fields(device).items():
                value = self._try(read)
                if value is not None:
                    values[f"system/gpu/{index}/{name}"] = value
        return values

    def _find(self) -> list[Any]:
        nvml = self._nvml
        try:
            return [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        except nvml.NVMLError as error:
            logger.info("No NVIDIA GPU is watched: %s.", error)
            return []

    def _fields(self, device: Any) -> dict[str, Callable[[], float | int]]:
        nvml = self._nvml
        return {
            "utilization_percent": lambda: nvml.nvmlDeviceGetUtilizationRates(device).gpu,
            "memory_utilization_percent": lambda: nvml.nvmlDeviceGetUtilizationRates(device).memory,
            "memory_used_bytes": lambda: nvml.nvmlDeviceGetMemoryInfo(device).used,
            "temperature_celsius": lambda: nvml.nvmlDeviceGetTemperature(device, 0),
            "power_watts": lambda: nvml.nvmlDeviceGetPowerUsage(device) / 1000,
        }

    def _try(self, read: Callable[[], float | int]) -> float | int | None:
        try:
            return read()
        except self._nvml.NVMLError:
            return None


def _start_nvml() -> Any:
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        logger.info("No NVIDIA GPU is watched: %s.", error)
        return None
    return nvml

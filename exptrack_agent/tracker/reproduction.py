"""Everything that is needed to run a run again, as one JSON document that travels with the run.

It is gathered by a thread of its own, since git and the list of packages take their time, and recorded as an
artifact named `reproduction`, whose metadata it is. `exptrack rerun RUN` reads it there.
Only modules that training has imported already are asked; nothing is imported, and no device is touched.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from exptrack_agent.redact import Redactor, chosen_variables
from exptrack_agent.settings import host_name
from exptrack_agent.tracker.git import source_state
from exptrack_agent.tracker.history import user_name

NAME = "reproduction"
TYPE = "exptrack/reproduction"
FORMAT = 1
_GIT_S = 5.0
_MOST_PACKAGES = 2_000
_NEVER_SEEDED = 0x80000000
"""First word of NumPy's global generator that was seeded from the system; else it is the seed."""
_VARIABLES = (
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUBLAS_WORKSPACE_CONFIG", "PYTHONHASHSEED"),
    *("PYTHONPATH", "OMP_*", "MKL_*", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "KMP_*"),
    *(
        "TORCH_*",
        "PYTORCH_*",
        "TORCHINDUCTOR_*",
        "NVIDIA_*",
        "NCCL_*",
        "XLA_*",
        "JAX_*",
        "TF_XLA_*",
    ),
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "SLURM_JOB_ID"),
    *("SLURM_NTASKS", "SLURM_PROCID", "SLURM_NODELIST", "VIRTUAL_ENV", "CONDA_DEFAULT_ENV", "TZ"),
)


def gather(
    *, source: bool, environment: bool, seeds: Mapping[str, int], folder: Path
) -> dict[str, Any]:
    """The document, but for the configuration; what is not asked for stays out."""
    document: dict[str, Any] = {"format": FORMAT}
    if environment:
        document |= {
            "command": command_line(),
            "python": python_facts(),
            "packages": package_versions(),
            "environment": chosen_variables(os.environ, _VARIABLES),
            "seeds": {**known_seeds(), **seeds},
            "machine": machine_facts(),
        }
    if source:
        document["git"] = source_state(folder, _GIT_S)
    return document


def command_line() -> dict[str, Any]:
    """How this process was started, without secrets."""
    arguments = [Redactor().text(part) for part in Redactor().arguments(sys.orig_argv[1:])]
    return {
        "executable": sys.executable,
        "arguments": arguments,
        "is_whole": arguments == sys.orig_argv[1:],
        "folder": _working_folder(),
        "script": os.path.realpath(sys.argv[0]) if sys.argv and sys.argv[0] else "",
        "user": user_name(),
    }


def _working_folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109  # as it is, also when it was removed
    except OSError:
        return ""


def python_facts() -> dict[str, str]:
    """The interpreter."""
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "prefix": sys.prefix,
    }


def package_versions() -> dict[str, str]:
    """All installed distributions, as the names of their folders say; no file is opened."""
    found: dict[str, str] = {}
    for place in sys.path:
        for name in _names_in(place or "."):
            if not name.endswith(".dist-info") or len(found) >= _MOST_PACKAGES:
                continue
            package, _, version = name.removesuffix(".dist-info").partition("-")
            found.setdefault(package, version)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _names_in(place: str) -> list[str]:
    try:
        return [path.name for path in Path(place).iterdir()]
    except OSError:  # a zip file, or nothing
        return []


def known_seeds() -> dict[str, int]:
    """The seeds that can be asked of the libraries that training uses."""
    seeds: dict[str, int] = {}
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "initial_seed"):
        seeds["torch"] = int(torch.initial_seed())
    numpy = sys.modules.get("numpy")
    if numpy is not None and hasattr(numpy, "random"):
        name, keys, position = numpy.random.get_state()[:3]
        untouched = name == "MT19937" and position == len(keys)  # nothing was drawn yet
        if untouched and int(keys[0]) != _NEVER_SEEDED:
            seeds["numpy"] = int(keys[0])
    return seeds


def machine_facts() -> dict[str, Any]:
    """Host, processors, memory and GPUs, as the kernel tells them."""
    facts: dict[str, Any] = {
        "host": host_name(),
        "system": platform.platform(),
        "processor": _field(Path("/proc/cpuinfo"), "model name"),
        "processors": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": [
            _field(path, "Model")
            for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
        ],
    }
    torch = sys.modules.get("torch")
    cuda = getattr(getattr(torch, "version", None), "cuda", None)
    if cuda:
        facts["cuda"] = str(cuda)
    return facts


def _field(path: Path, key: str) -> str:
    """The value of the first `key : value` line of a small kernel file."""
    try:
        with path.open("r", errors="replace") as file:
            for line, _ in zip(file, range(64), strict=False):
                name, colon, value = line.partition(":")
                if colon and name.strip() == key:
                    return value.strip()
    except OSError:
        return ""
    return ""


class Gathering:
    """Gathers in a thread, and hands over the document when it is whole."""

    def __init__(
        self, take: Callable[[], dict[str, Any]], deliver: Callable[[dict[str, Any]], None]
    ) -> None:
        self._take = take
        self._deliver = deliver
        self._thread = threading.Thread(target=self._work, name="exptrack-state", daemon=True)
        self.problem = ""
        self._thread.start()

    def _work(self) -> None:
        try:
            self._deliver(self._take())
        except Exception as error:  # noqa: BLE001  # a thread's top; what is recorded must not stop training
            self.problem = f"{type(error).__name__}: {error}"

    def wait(self, timeout_s: float) -> bool:
        """Whether it is done within that time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()


def artifact_fields(document: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The fields of the artifact item that holds the document, cut to what an item can hold."""
    from exptrack_proto.limits import MAX_JSON_BYTES

    text = json.dumps(document)
    for part in ("packages", "git", "environment", "command", "config"):
        if len(text) <= MAX_JSON_BYTES:
            break
        document = {**document, part: {"problems": ["too large to be kept"]}}
        text = json.dumps(document)
    return {
        "step": 0,
        "name": NAME,
        "type": TYPE,
        "path": path,
        "size_bytes": len(text),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "metadata": text,
    }

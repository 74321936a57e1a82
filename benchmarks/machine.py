"""One thread on one core for every library, and what the numbers were measured on.

Import this before numpy, torch or jax: libraries read these variables, and count the cores that they
may use, when they start. JAX 0.10 uses a second core in spite of its flags, so the process is held to
one.
"""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "QULACS_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"
CORES = os.cpu_count()
_ALL = "QDM_BENCHMARK_ON_ALL_CORES"
"""Set for children: those that multiprocessing starts import their parent's script, and this, anew."""
if hasattr(os, "sched_setaffinity") and _ALL not in os.environ:  # not on macOS
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

PACKAGES = (
    "qdm_qiskit",
    "torch",
    "qiskit",
    "qiskit-machine-learning",
    "qiskit-aer",
    "pennylane",
    "pennylane-lightning",
    "tensorcircuit-ng",
    "jax",
    "qulacs",
    "pyqtorch",
    "numpy",
)


def all_cores() -> None:
    """Let this process and its children work on all cores: where no times of one core are compared."""
    os.environ[_ALL] = "1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(CORES or 1))


def one_thread() -> None:
    """Tell torch too; its own pool ignores the environment once it has started."""
    import torch

    torch.set_num_threads(1)


def describe() -> dict[str, object]:
    """The machine and the versions of all that is compared."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_name(),
        "cores": CORES,
        "threads": 1,
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name)) is not None},
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

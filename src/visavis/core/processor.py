"""What this process may use of the machine: processors, and what they can do. No torch."""

from __future__ import annotations

import os
import platform
import sys
from math import ceil
from pathlib import Path

#: A picture of 256x256 keeps no more threads busy than this; what is beyond it waits.
MOST_THREADS = 8
_CGROUPS = Path("/sys/fs/cgroup")
_SELF = Path("/proc/self/cgroup")
_CPU_INFO = Path("/proc/cpuinfo")
_PROCESSORS = Path("/sys/devices/system/cpu")
_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}  # x86 twice, and Arm's name
#: Instructions that say how fast networks are: those of x86, then those of Arm.
_TELLING = (
    *("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"),
    *("asimd", "i8mm", "bf16"),
)
#: Any of these says that the user has decided how threads of OpenMP wait.
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
#: Any of these says that the user has decided how many threads OpenBLAS has.
_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")
#: For how long a thread of OpenBLAS spins, as a power of two of clock cycles; it takes none that is less.
_SOONEST = "4"


def let_threads_sleep() -> None:
    """Have threads of OpenMP and of NumPy's OpenBLAS sleep while they wait for work, unless the user chose otherwise.

    By default they spin, OpenBLAS's for some 25 ms after each product of matrices, and burn the very time that the
    working thread waits for. Both read this when torch and NumPy are loaded, so it comes too late, and is left alone,
    once these are there.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in _WAITING):
        os.environ["OMP_WAIT_POLICY"] = "passive"
    if "numpy" not in sys.modules:
        os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", _SOONEST)


def let_numpy_use_one_thread() -> None:
    """Have NumPy's OpenBLAS compute in the thread that asks, unless the user chose otherwise.

    For a program of ours, whose matrices are small: threads of OpenBLAS yield the processor again and again while they
    wait for each other, and beside busy processes whoever renders then waits at each of these for a turn of its own.
    OpenBLAS reads this when NumPy is loaded; where that is there already, it is left alone.
    """
    if "numpy" not in sys.modules and not any(name in os.environ for name in _BLAS_THREADS):
        os.environ["OPENBLAS_NUM_THREADS"] = "1"


def useful_threads() -> int:
    """Threads worth starting: processors that this process may run on, within its cgroup's quota, at most 8."""
    allowed = len(_allowed())
    quota = cpu_quota()
    return max(1, min(allowed, MOST_THREADS, allowed if quota is None else ceil(quota)))


def cores() -> int:
    """Cores that this process may run on; those that run two threads each count once, where the system tells."""
    allowed = _allowed()
    siblings = set()
    for number in allowed:
        try:
            siblings.add((_PROCESSORS / f"cpu{number}" / "topology" / "thread_siblings_list").read_text())
        except OSError:
            return len(allowed)
    return len(siblings)


def _allowed() -> set[int]:
    """Numbers of the processors that this process may run on."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def cpu_quota(membership: Path = _SELF, root: Path = _CGROUPS) -> float | None:
    """Processors' worth of time that this process's control groups grant it; None without a limit.

    Args:
        membership: file that names the groups, as ``/proc/self/cgroup``.
        root: where control groups are mounted; a container often sees its own group there.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return None
    found = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mount in (root,) if not controllers else (root / controllers, root / "cpu"):
            # A limit of any group above holds as well.
            group = mount / path.strip().lstrip("/")
            for folder in (group, *group.parents):
                limit = _limit(folder)
                if limit is not None:
                    found.append(limit)
                if folder == mount:
                    break
    return min(found, default=None)


def _limit(group: Path) -> float | None:
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text().split()[:2]
        else:
            quota, period = ((group / f"cpu.cfs_{what}_us").read_text().strip() for what in ("quota", "period"))
        processors = float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None  # "max", a group without limits, or a kernel that counts otherwise
    return processors if processors > 0 else None


def has_bf16(info: Path = _CPU_INFO) -> bool:
    """Whether the processor computes in bf16 itself; emulated, it is slower than float32."""
    try:
        lines = info.read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return bool(_BF16 & set(flags.partition(":")[2].split()))


def instructions(info: Path = _CPU_INFO) -> list[str]:
    """Those of the processor's instruction sets that networks gain from, the plainest first."""
    has = set(processor(info).split())
    return [name for name in _TELLING if name in has] or ["no instructions that the system tells of"]


def processor(info: Path = _CPU_INFO) -> str:
    """The processor's name and its instructions, as far as the system says them."""
    name, flags = platform.machine(), ""
    try:
        lines = info.read_text().splitlines()
    except OSError:
        return f"{name} {platform.processor()}"
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip().lower() == "model name":
            name = value.strip()
        elif key.strip().lower() in ("flags", "features"):
            flags = value.strip()
            break
    return f"{name} {flags}".strip()


def has_gpu() -> bool:
    """Whether a GPU may be there that torch could use; only on Linux, by its driver's files, is that known for no."""
    return sys.platform != "linux" or any(Path("/dev", name).exists() for name in ("nvidiactl", "kfd", "dxg"))

"""What is freed goes back to the system, in the command line's process and unless the user decided otherwise."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from visavis.core.allocator import return_memory

GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
#: Frees 42 MB, and as much again under a block that stays, after a larger one taught the C library to keep such.
_LEFT_MB = """
import ctypes, sys
from visavis.core.allocator import return_memory, trim_memory
if sys.argv[1] == "ours":
    assert return_memory()
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6
def block(size):
    at = library.malloc(size)
    ctypes.memset(at, 1, size)
    return at
library.free(block(30 << 20))
before = resident()
for large in [block(4 << 20) for _ in range(10)]:
    library.free(large)
small = [block(100 << 10) for _ in range(400)]
for each in small[:-1]:
    library.free(each)
trim_memory()
print(resident() - before)
"""


@pytest.mark.parametrize(
    "told",
    [{"MALLOC_ARENA_MAX": "2"}, {"MALLOC_TRIM_THRESHOLD_": "0"}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=4"}],
    ids=lambda told: next(iter(told)),
)
def test_what_the_user_decided_stays(told: dict[str, str]):
    assert return_memory({"HOME": "/", **told}) is False


@GLIBC
def test_freed_blocks_are_returned():
    left = {}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    for who in ("theirs", "ours"):
        done = subprocess.run(
            [sys.executable, "-c", _LEFT_MB, who], capture_output=True, text=True, check=True, env=environment
        )
        left[who] = float(done.stdout)
    assert left["theirs"] > 35
    assert left["ours"] < 5


@GLIBC
def test_the_command_line_alone_sets_it():
    """A process that imports the package keeps its heap as it was; torch asks for more than it would gain."""
    told = (
        "import ctypes, visavis.core.allocator as ours\n"
        "set_by = []\n"
        "ours.return_memory = lambda: set_by.append(1)\n"
        "import visavis, visavis.pipelines.files, visavis.cli.options as options\n"
        "for name, times in (('torch', 0), ('openvino', 1)):\n"
        "    asked = options.EngineName(name), options.Device.cpu, options.Precision.fp32, 1\n"
        "    options.engine_of(*asked)\n"
        "    assert set_by == [], set_by\n"
        "    options.lean_engine_of(*asked)\n"
        "    assert len(set_by) == times, set_by\n"
    )
    pytest.importorskip("openvino")
    pytest.importorskip("torch")
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

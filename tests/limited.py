"""The command line in a process that may take so much memory and no more: ``python limited.py MB VERB ...``.

The limit counts from when everything is imported, so that it is about what the input costs and not about libraries.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def run_limited(*arguments: object, most_mb: int = 1024) -> subprocess.CompletedProcess[str]:
    """Run the command line with at most so many megabytes above what it takes to be there."""
    command = [sys.executable, __file__, str(most_mb), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def refused(*arguments: object, most_mb: int = 1024) -> str:
    """The one line with which the command line refuses its input within that memory."""
    done = run_limited(*arguments, most_mb=most_mb)
    lines = done.stderr.splitlines()
    assert done.returncode == 1, done
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ") and "out of memory" not in lines[0], lines
    return lines[0]


@contextmanager
def memory_limit(most_mb: int) -> Iterator[None]:
    """Let this process take at most so many megabytes more than it has."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + (most_mb << 20), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _run(most_mb: int, arguments: list[str]) -> None:
    import cv2  # noqa: F401
    import torch

    import visavis.data.prepare.run
    import visavis.evaluation.suite
    import visavis.pipelines.describe
    import visavis.pipelines.files
    import visavis.training.run  # noqa: F401
    from visavis.cli.main import main

    torch.set_num_threads(1)
    sys.argv = ["visavis", *arguments]
    with memory_limit(most_mb):
        main()


if __name__ == "__main__":
    _run(int(sys.argv[1]), sys.argv[2:])

"""Hostile bytes, found by a fuzzer that watches which lines they reach; quick tests are beside each parser's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 60


@pytest.mark.slow
@pytest.mark.fuzz
@pytest.mark.parametrize("target", ["packet", "call", "held", "sei"])
def test_no_bytes_make_anything_but_one_error(target: str, tmp_path: Path):
    pytest.importorskip("atheris", reason="coverage-guided fuzzing needs atheris")
    limits = [f"-max_total_time={SECONDS}", "-timeout=5", "-malloc_limit_mb=64", "-rss_limit_mb=2048", "-max_len=4096"]
    program = Path(__file__).with_name("fuzz_codec.py")
    # -seed: a run that finds something finds it again.
    done = subprocess.run(
        [sys.executable, program, target, "-seed=1", *limits], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done" in done.stderr

"""What several tests share: the research data, when it is there, and drawn clips with their shards."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from visavis.data.prepare.report import PrepareReport
from visavis.data.prepare.run import prepare
from visavis.drawn.synthetic import write_clip

os.environ.setdefault("OMP_NUM_THREADS", "1")
# The reference; other engines have tests of their own, and compiling is slow.
os.environ.setdefault("VISAVIS_ENGINE", "torch")
torch.set_num_threads(1)
# How long an example takes says how busy the machine is.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a background job's; children would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(os.environ.get("VISAVIS_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture
def shared() -> Path:
    """Folder of research data; tests that need it are skipped where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"no research data at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four short drawn clips in a plain folder, of four people; not to be changed."""
    folder = tmp_path_factory.mktemp("plain") / "videos"
    folder.mkdir()
    for seed, name in enumerate("abcg"):
        write_clip(folder / f"{name}.mp4", 0.2, seed=seed, size=256)
    return folder


@pytest.fixture(scope="session")
def whole(videos: Path) -> tuple[Path, PrepareReport]:
    """Shards of the four clips from one undisturbed run; not to be changed."""
    output = videos.parent / "whole"
    return output, prepare(videos, output)

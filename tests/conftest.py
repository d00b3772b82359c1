"""What several tests share: the research data, when it is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)

SHARED = Path(os.environ.get("VISAVIS_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture
def shared() -> Path:
    """Folder of research data; tests that need it are skipped where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"no research data at {SHARED}")
    return SHARED

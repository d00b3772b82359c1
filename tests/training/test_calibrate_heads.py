"""Heads that move too little in slow bands get back what they lack, and no more; only the noise of Phi is scaled."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from visavis.evaluation.talk_motion import head_facts
from visavis.motion.speech.head import HEAD_SCALE
from visavis.motion.speech.sway import BAND_OF, Sway

TOOL = Path(__file__).parents[2] / "tools/calibrate_heads.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("calibrate_heads", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_what_slow_bands_lack_is_found(tool: ModuleType):
    rng = np.random.default_rng(0)
    noise = Sway(rng, 24).take(200)
    slow, fast = (
        np.stack([noise[..., np.flatnonzero(bands)[axis::6][:3]].sum(-1) for axis in range(6)], -1)
        for bands in (BAND_OF < tool.SLOW, BAND_OF >= tool.SLOW)
    )
    wanted = np.array([1.0, 2.0, 1.5, 1.0, 2.0, 1.0])
    real = [head_facts((wanted * slow[at] + fast[at]) * np.array(HEAD_SCALE)) for at in range(12)]
    told = np.zeros((200, 6))
    clips = [tool.Made(f"p{at}", real[at], told, slow[12:], fast[12:]) for at in range(12)]
    found, others = tool.factors(clips)
    assert np.all(np.abs(np.log(found / wanted)) < np.log(1.35)), found
    assert np.all(np.abs(others - 1) <= 0.2), others

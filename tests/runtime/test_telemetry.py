"""OpenVINO counts nothing here, needs no home, and is whole for whoever imports it."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: A graph that torch records and OpenVINO converts, compiles and computes.
_COMPUTED = """
import torch, sys
from visavis.nn.engine import Engine
from visavis.nn.graph import Graph
from visavis.runtime.cache import GraphCache
from visavis.runtime.compiled import compile_graphs
from pathlib import Path
network = torch.nn.ReLU()
compile_graphs(network, [Graph("forward")], Engine("cpu", "fp32", 1, "openvino"), GraphCache(Path(sys.argv[1])))
assert network.forward(torch.tensor([[-1.0, 2.0]])).tolist() == [[0.0, 2.0]]
assert type(network.forward).__name__ == "Compiled"
"""
_COUNTS_NOTHING = """
assert not [name for name in sys.modules if name.startswith("openvino_telemetry")]
"""


def run(code: str, *arguments: str) -> str:
    """What a process of its own says, since what is imported once stays."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_openvino_comes_without_its_telemetry_and_leaves_others_theirs(tmp_path):
    pytest.importorskip("openvino")
    pytest.importorskip("torch")
    told = "from openvino.tools.ovc import telemetry_utils; print(telemetry_utils.tm.__name__)"
    said = run(_COMPUTED + _COUNTS_NOTHING + told, str(tmp_path))
    assert said == "openvino.tools.ovc.telemetry_stub"


def test_openvino_is_whole_for_whoever_imports_it():
    pytest.importorskip("openvino")
    told = (
        "import visavis.runtime.with_openvino as ours, sys; names = len(sys.modules)\n"
        "import openvino as ov\n"
        "assert len(sys.modules) == names, 'nothing more than was there'\n"
        "model = ov.Model([ov.opset8.relu(p := ov.opset8.parameter([1, 2]))], [p])\n"
        "assert ov.convert_model and 'CPU' in ov.Core().available_devices\n"
        "import numpy as np\n"
        "print(ov.compile_model(model, 'CPU')([np.float32([[-1, 2]])])[0].tolist())\n"
        "assert ours.OpenVino.version == ov.__version__\n"
    )
    assert run(told) == "[[0.0, 2.0]]"

"""OpenVINO counts nothing here, and needs no home."""

from __future__ import annotations

import subprocess
import sys

import pytest


def test_openvino_comes_without_its_telemetry_and_leaves_others_theirs():
    pytest.importorskip("openvino")
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import visavis.runtime.with_openvino, sys\n"
            "from importlib.util import find_spec\n"
            "assert not [name for name in sys.modules if name.startswith('openvino_telemetry')]\n"
            "from openvino.tools.ovc import telemetry_utils\n"
            "print(telemetry_utils.tm.__name__)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "openvino.tools.ovc.telemetry_stub"

"""``visavis doctor``."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from visavis.core.errors import VisavisError

_PACKAGES = ("torch", "numpy", "mediapipe", "av", "safetensors", "librosa", "opencv-contrib-python")


def doctor() -> None:
    """Say what is installed and what is missing, and run a drawn face through every stage."""
    print(f"Python {platform.python_version()} on {platform.platform()}")
    missing = []
    for name in _PACKAGES:
        try:
            print(f"  {name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
            print(f"  {name} MISSING: pip install visavis again")
    failed = [name for name, check in _CHECKS.items() if not _passes(name, check)]
    if missing or failed:
        raise VisavisError(f"not in order: {', '.join(missing + failed)}")
    print("all in order")


def _passes(name: str, check: Callable[[], str]) -> bool:
    try:
        print(f"  {name}: {check()}")
    except Exception as error:  # whatever is broken is what the doctor reports
        print(f"  {name}: FAILED ({type(error).__name__}: {' '.join(str(error).split())[:200]})")
        return False
    return True


def _torch() -> str:
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no CUDA device; the CPU is used"
    return f"{torch.get_num_threads()} threads, {gpu}"


def _weights() -> str:
    from visavis.weights.checkpoint import sha256
    from visavis.weights.store import PACKAGED, packaged

    bad = [e.name for e in packaged().values() if sha256(PACKAGED / e.file) != e.sha256]
    if bad or not packaged():
        raise VisavisError(f"packaged weights missing or damaged: {', '.join(bad) or 'all'}")
    return ", ".join(packaged())


def _stages() -> str:
    from visavis.media.still import write_picture
    from visavis.media.synthetic import draw, write_clip
    from visavis.pipelines.files import ReenactOptions, reenact_file

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_picture(folder / "portrait.png", draw(256, seed=3))
        write_clip(folder / "driving.mp4", 0.4, seed=1)
        report = reenact_file(folder / "portrait.png", folder / "driving.mp4", folder / "out.mp4", ReenactOptions())
    return f"{report.frames} frames of a drawn face, {report.ms_per_frame['total']:.0f} ms a frame"


_CHECKS = {"torch": _torch, "weights": _weights, "reenact": _stages}

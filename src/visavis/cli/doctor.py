"""``visavis doctor``."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from visavis.cli.console import print_json
from visavis.cli.options import Json
from visavis.core.errors import VisavisError
from visavis.core.libraries import missing_library

_PACKAGES = ("numpy", "mediapipe", "av", "safetensors", "opencv-contrib-python")
#: What does without, and how it is said.
_OPTIONAL = {"torch": "is not installed; pip install 'visavis[torch]' brings it, for more than pictures by avfr-256"}


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        name: what.
        ok: whether it is in order.
        detail: its version or figures, or what to do about it.
    """

    name: str
    ok: bool
    detail: str


def doctor(as_json: Json = False) -> None:
    """Say what is installed and what is missing, and run a drawn face through every stage."""
    checks = []
    for check in _checks():
        checks.append(check)
        if not as_json:
            print(f"  {check.name}: {'' if check.ok else 'FAILED: '}{check.detail}", flush=True)
    wrong = [check.name for check in checks if not check.ok]
    if as_json:
        print_json({"checks": [asdict(check) for check in checks], "ok": not wrong})
    if wrong:
        raise VisavisError(f"not in order: {', '.join(wrong)}")
    if not as_json:
        print("all in order")


def _checks() -> Iterator[Check]:
    from importlib import metadata  # which brings a reader of mail

    yield Check("python", True, f"{platform.python_version()} on {platform.platform()}")
    for name in (*_OPTIONAL, *_PACKAGES):
        try:
            yield Check(name, True, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Check(name, name in _OPTIONAL, _OPTIONAL.get(name, "is missing; pip install visavis again"))
    for name, run in _STAGES.items():
        try:
            yield Check(name, True, run())
        except Exception as error:  # whatever is broken is what the doctor reports
            said = missing_library(error) or f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            yield Check(name, False, said)


def _device() -> str:
    from visavis.nn.engine import Engine

    engine = Engine().chosen()
    gpu = "no CUDA device; the CPU is used"
    if engine.device == "cuda":
        import torch

        gpu = torch.cuda.get_device_name(0)
    waiting = "sleep" if os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive" else "wait as the environment says"
    return f"{engine.threads} threads that {waiting}, {engine.precision}, {gpu}"


def _engine() -> str:
    from visavis.core.processor import instructions
    from visavis.nn.engine import ENGINES, Engine, installed
    from visavis.runtime.cache import GraphCache

    engine = Engine().chosen()
    there = ", ".join(name for name in ENGINES if installed(name))
    cache = GraphCache()
    kept = f"{cache.size_bytes() / 2**20:.0f} MiB of compiled graphs in {cache.folder}"
    return f"{engine.name} of {there}; {engine.precision}; the processor has {', '.join(instructions())}; {kept}"


def _weights() -> str:
    from visavis.weights.checkpoint import sha256
    from visavis.weights.store import PACKAGED, packaged

    bad = [e.name for e in packaged().values() if sha256(PACKAGED / e.file) != e.sha256]
    if bad or not packaged():
        raise VisavisError(f"packaged weights missing or damaged: {', '.join(bad) or 'all'}")
    return ", ".join(packaged())


def _reenact() -> str:
    from visavis.drawn.synthetic import draw, write_clip
    from visavis.media.still import write_picture
    from visavis.pipelines.files import ReenactOptions, reenact_file

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_picture(folder / "portrait.png", draw(256, seed=3))
        write_clip(folder / "driving.mp4", 0.4, seed=1)
        report = reenact_file(folder / "portrait.png", folder / "driving.mp4", folder / "out.mp4", ReenactOptions())
    return f"{report.frames} frames of a drawn face, {report.ms_per_frame['total']:.0f} ms a frame"


_STAGES: dict[str, Callable[[], str]] = {"device": _device, "engine": _engine, "weights": _weights, "reenact": _reenact}

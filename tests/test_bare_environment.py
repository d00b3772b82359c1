"""A wheel of the package, in an environment that has what it asks for and no torch."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from visavis.core.config import load_toml
from visavis.drawn.synthetic import draw, write_clip
from visavis.media.reader import VideoReader
from visavis.media.still import write_picture
from visavis.nn.engine import ENGINES, PREFERRED, installed

ROOT = Path(__file__).parents[1]
#: The engine that comes with the package on this machine.
OURS = "openvino" if platform.machine() in ("x86_64", "AMD64") else "onnx"


def run(*command: object, folder: Path) -> str:
    """Run a program of an environment with nothing of this one's, and return what it says."""
    names = ("PYTHONPATH", "VIRTUAL_ENV", PREFERRED)
    environment = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def brought(wheel: metadata.Distribution) -> dict[str, metadata.Distribution]:
    """All distributions that a wheel brings, by name, as they are installed here."""
    found: dict[str, metadata.Distribution] = {}
    waiting: list[tuple[metadata.Distribution, frozenset[str]]] = [(wheel, frozenset())]
    while waiting:
        one, extras = waiting.pop()
        for line in one.requires or ():
            wanted = Requirement(line)
            markers = [wanted.marker is None or wanted.marker.evaluate({"extra": each}) for each in extras | {""}]
            name = canonicalize_name(wanted.name)
            if any(markers) and name not in found:
                found[name] = metadata.distribution(name)
                waiting.append((found[name], frozenset(wanted.extras)))
    return found


def lend(distribution: metadata.Distribution, site: Path) -> None:
    """Link what a distribution has installed here into another environment."""
    for top in {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}:
        link = site / top
        if not link.exists():
            link.symlink_to(Path(str(distribution.locate_file(top))))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment; what is in it is lent from this one, since a test must not need the network."""
    if not installed(OURS):
        pytest.skip(f"{OURS} is not installed")
    folder = tmp_path_factory.mktemp("bare")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    run(*pip, "wheel", ROOT, "--no-deps", "--no-build-isolation", "-w", folder / "wheels", folder=folder)
    (wheel,) = (folder / "wheels").glob("visavis-*.whl")
    venv.create(folder / "env")
    run(*pip, "--python", folder / "env", "install", "--no-deps", wheel, folder=folder)
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    (ours,) = metadata.distributions(name="visavis", path=[str(site)])
    needed = brought(ours)
    assert {"openvino", "onnxruntime"} & set(needed) == {ENGINES[OURS][0]}
    assert "torch" not in needed and "onnx" not in needed
    for distribution in needed.values():
        lend(distribution, site)
    return folder / "env" / "bin"


@pytest.mark.parametrize(
    ("machine", "extra", "engines"),
    [
        ("x86_64", "", {"openvino"}),
        ("AMD64", "", {"openvino"}),
        ("arm64", "", {"onnxruntime"}),
        ("aarch64", "", {"onnxruntime"}),
        ("x86_64", "fast", {"openvino"}),
        ("arm64", "fast", {"openvino", "onnxruntime"}),
        ("x86_64", "onnx", {"openvino", "onnxruntime"}),
    ],
)
def test_every_machine_has_an_engine(machine: str, extra: str, engines: set[str]):
    """As the project's file says it, whatever this machine is."""
    project = load_toml(ROOT / "pyproject.toml")["project"]
    lines = [*project["dependencies"], *(project["optional-dependencies"][extra] if extra else ())]
    wanted = [Requirement(line) for line in lines]
    found = {one.name for one in wanted if one.marker is None or one.marker.evaluate({"platform_machine": machine})}
    assert found & {"openvino", "onnxruntime"} == engines
    assert "torch" not in found


def test_a_bare_environment_reenacts_talks_encodes_and_decodes(bare: Path, tmp_path: Path):
    write_picture(tmp_path / "portrait.png", draw(256, seed=3))
    write_clip(tmp_path / "driving.mp4", 0.4, seed=1)
    found = run(bare / "python", "-c", "import visavis; print(visavis.__file__)", folder=tmp_path)
    assert str(bare.parent) in found
    told = run(
        bare / "python", "-c", "import importlib.util; print(importlib.util.find_spec('torch'))", folder=tmp_path
    )
    assert told.strip() == "None"
    for command in (
        ["reenact", "portrait.png", "driving.mp4", "-o", "out.mp4"],
        ["encode", "driving.mp4", "-o", "call.vsv"],
        ["decode", "call.vsv", "-o", "call.mp4"],
        ["talk", "portrait.png", "driving.mp4", "-o", "talk.mp4"],
    ):
        run(bare / "visavis", *command, folder=tmp_path)
    for name, frames in (("out.mp4", 10), ("call.mp4", 10), ("talk.mp4", 11)):  # the sound reaches into the eleventh
        with VideoReader(tmp_path / name) as reader:
            assert len(list(reader)) == frames


def test_a_bare_environment_is_in_order(bare: Path, tmp_path: Path):
    told = run(bare / "visavis", "doctor", folder=tmp_path)
    assert "torch: is not installed; pip install 'visavis[torch]'" in told
    assert "all in order" in told

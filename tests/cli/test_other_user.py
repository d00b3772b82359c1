"""As a user without a name, a home or a folder that may be written to, but for one of temporary files.

So it is in containers, in functions of a cloud and in services. Where the tests run as root, the command line runs as a
stranger, who may read all and write nothing (reading has to be allowed: the interpreter may lie in root's home).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from made import good_inputs

STRANGER = 54_321
_READS_ALL = "+dac_read_search"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs in a folder that the stranger cannot write to, and ``tmp``, in which all may."""
    folder = tmp_path_factory.mktemp("place")
    good_inputs(folder)
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o1777)
    for above in (folder, *folder.parents):
        if above.owner() == "root" and os.geteuid() == 0 and str(above).startswith("/tmp/"):
            above.chmod(above.stat().st_mode | 0o055)
    return folder


def as_a_stranger(place: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command line there, with an environment of what is needed and no more."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("needs root, to become somebody else, and setpriv")
    who = ["--reuid", str(STRANGER), "--regid", str(STRANGER), "--clear-groups"]
    may = [f"--inh-caps={_READS_ALL}", f"--ambient-caps={_READS_ALL}"]
    source = str(Path(__file__).parents[2] / "src")
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(place / "tmp"), "PYTHONPATH": source}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [setpriv, *who, *may, sys.executable, "-m", "visavis.cli.main", *map(str, arguments)]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=600)
    if "setpriv:" in done.stderr:
        pytest.skip(f"nobody may become a stranger here: {done.stderr.strip()}")
    return done


@pytest.mark.parametrize(
    "command",
    [
        "reenact portrait.png driving.mp4 -o tmp/o.mp4 --model tiny.safetensors --device cpu",
        "inspect avfr-256",
        "prepare videos -o tmp/shards",
    ],
)
def test_what_needs_no_home_works_without_one(place: Path, command: str):
    if "videos" in command:
        (place / "videos").mkdir()
        shutil.copyfile(place / "driving.mp4", place / "videos/a.mp4")
    done = as_a_stranger(place, *command.split())
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("compil")]  # engines may, once
    assert said == []
    left = {path.name for path in (place / "tmp").iterdir() if not path.name.startswith(("torchinductor", "pymp-"))}
    assert left <= {"o.mp4", "shards"}


@pytest.mark.parametrize(
    "command",
    [
        "reenact portrait.png driving.mp4 -o o.mp4 --model tiny.safetensors --device cpu",
        "prepare . -o shards",
        "inspect nobody",
    ],
)
def test_what_cannot_be_written_is_said_in_one_line(place: Path, command: str):
    done = as_a_stranger(place, *command.split())
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("error: "), done.stderr

"""A file is a stream that ends: memory does not grow with its length."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from itertools import count
from pathlib import Path

import pytest

from made import tiny_weights
from visavis.drawn.synthetic import TalkingFace, draw, write_clip, write_wave
from visavis.media.frame import Frame
from visavis.media.reader import VideoReader
from visavis.media.still import write_picture
from visavis.media.writer import VideoWriter

FPS = Fraction(10)
MOST_GROWTH_MB = 50

# The system's own count for this program alone: what getrusage tells holds the memory of whoever started it, too.
MEASURED = """
import sys
from visavis.cli.main import main
try:
    main()
finally:
    lines = open("/proc/self/status").read().splitlines()
    print(next(line.split()[1] for line in lines if line.startswith("VmHWM")), file=sys.stderr)
"""


def long_clip(path: Path, once: Path, minutes: int) -> None:
    """The drawn clip over and over, with sound of that length."""
    voice = path.with_suffix(".wav")
    write_wave(voice, TalkingFace(1).sound(60.0 * minutes))
    with VideoReader(once) as reader:
        frames = [frame.pixels for frame in reader]
    with VideoWriter(path, size=frames[0].shape[:2], fps=FPS, sound=voice) as writer:
        for number in count():
            if number / FPS >= 60 * minutes:
                return
            writer.write(Frame(frames[number % len(frames)], number / FPS))


def peak_mb(folder: Path, driving: Path) -> float:
    """Peak resident memory of a whole reenactment."""
    out = driving.with_name(f"out-{driving.name}")
    command = ["reenact", folder / "portrait.png", driving, "-o", out, "--model", folder / "tiny.safetensors"]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, command), "--paste-back"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stderr.split()[-1]) / 1000


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_four_minutes_take_no_more_memory_than_one(tmp_path: Path):
    write_picture(tmp_path / "portrait.png", draw(256, seed=0))
    tiny_weights(tmp_path / "tiny.safetensors")
    write_clip(tmp_path / "once.mp4", 4.0, seed=1, size=128, fps=FPS)
    peaks = {}
    for minutes in (1, 4):
        driving = tmp_path / f"{minutes}.mp4"
        long_clip(driving, tmp_path / "once.mp4", minutes)
        peaks[minutes] = peak_mb(tmp_path, driving)
    print(peaks)
    assert peaks[4] - peaks[1] < MOST_GROWTH_MB, peaks

"""One long stretch of speech through `visavis talk` in one piece: speed, memory over time, drift of the head, sound.

    python -m visavis.drawn.synthetic portrait.png clip.mp4
    python tools/say.py speech.wav "$(python -c "print(' '.join(open('tools/words/en.txt').read().split() * 2))")"
    PYTHONPATH=src python benchmarks/long_talk.py portrait.png speech.wav -o talk.mp4 --seconds 600

The command runs in a process of its own, whose resident memory is read every ten seconds. Then the video is read back:
heads are those of its own frames as the tracker sees them, and the sound is compared with what was said, sample by
sample. Speech that is shorter than asked for is said again from its start.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.drawn.synthetic import write_wave
from visavis.face.align import whole
from visavis.face.fitting import fit_clip
from visavis.face.tracker import FaceTracker
from visavis.media.frame import Sound
from visavis.media.reader import SoundReader, VideoReader

Array = NDArray[np.float64]
_EVERY_S = 10.0
_RATE_HZ = 16_000
_NAMES = ("tx", "ty", "size", "pitch", "yaw", "roll")
_MINUTE_FRAMES = 1500


def main() -> None:
    """Run, read back, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("portrait", type=Path)
    parser.add_argument("speech", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--model", default="avfr-256")
    parser.add_argument("--every", type=int, default=5, help="of how many frames one is read back")
    parser.add_argument("rest", nargs="*", metavar="ARGUMENT", help="further arguments of talk, after --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="visavis-long-") as folder:
        speech = Path(folder) / "speech.wav"
        said = samples_of(options.speech)
        said = np.resize(said, round(options.seconds * _RATE_HZ))
        write_wave(speech, Sound(said, _RATE_HZ, Fraction(0)))
        said = samples_of(speech)
        command = ["talk", str(options.portrait), str(speech), "-o", str(options.output), "--force", "--json"]
        report, memory, loads = watched([*command, "--model", options.model, *options.rest])
    print(json.dumps(report))
    print(f"load of the machine: {np.mean(loads):.1f} on average, from {min(loads):.1f} to {max(loads):.1f}")
    print(f"{1000 / report['ms_per_frame']['total']:.1f} fps over {report['seconds']:.1f} s of video")
    minutes = np.array_split(np.array(memory[1:]), 10)
    print(
        f"resident MB, highest in each tenth of the time: {[round(float(part.max())) for part in minutes if len(part)]}"
    )
    heard = samples_of(options.output)
    print(f"sound: {sound_apart(said, heard)}")
    drift(options.output, options.every)


def samples_of(path: Path) -> NDArray[np.float32]:
    """All sound of a file, mono at 16 kHz."""
    with SoundReader(path, _RATE_HZ) as chunks:
        return np.concatenate([chunk.samples for chunk in chunks])


def watched(arguments: list[str]) -> tuple[dict[str, object], list[float], list[float]]:
    """A command's report, its resident memory in MB every ten seconds, and the machine's load."""
    started = subprocess.Popen(
        [sys.executable, "-m", "visavis.cli.main", *arguments], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    memory: list[float] = []
    loads: list[float] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_EVERY_S):
            lines = Path(f"/proc/{started.pid}/status").read_text().splitlines()
            memory.extend(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmRSS"))
            loads.append(os.getloadavg()[0])
            print(f"{time.strftime('%H:%M:%S')} {memory[-1]:.0f} MB, load {loads[-1]:.1f}", file=sys.stderr)

    looking = threading.Thread(target=look)
    looking.start()
    told = started.stdout.read() if started.stdout else ""
    ended.set()
    looking.join()
    if started.wait():
        raise SystemExit(f"visavis {' '.join(arguments)}: exit {started.returncode}")
    return json.loads(told), memory, loads


def sound_apart(said: NDArray[np.float32], heard: NDArray[np.float32]) -> str:
    """Length, and where the sound lies best upon what was said, at the start and at the end."""
    length = min(len(said), len(heard))
    lags = []
    for first in (0, length // 2, length - 30 * _RATE_HZ):
        one, other = (x[first : first + 30 * _RATE_HZ].astype(np.float64) for x in (said, heard))
        size = 2 * len(one)
        found = np.fft.irfft(np.fft.rfft(other, size).conj() * np.fft.rfft(one, size))
        lag = int(found.argmax())
        lags.append(lag - size if lag > size // 2 else lag)
    alike = float(np.corrcoef(said[:length], heard[:length])[0, 1])
    return (
        f"{len(said)} samples said, {len(heard)} in the video; late by {lags} samples at start, middle and end;"
        f" correlation {alike:.4f}"
    )


def drift(video: Path, every: int) -> None:
    """Middle and deviation of the head in each minute of a video, and its farthest from the middle of all."""
    cameras = fit_clip(np.stack(list(_meshes(video, every)))).camera.astype(np.float64)
    middle = np.median(cameras, 0)
    a_minute = _MINUTE_FRAMES // every
    print(f"head in {len(cameras)} frames: {', '.join(_NAMES)} (turns in degrees)")
    unit = np.array([1, 1, 1, *[180 / np.pi] * 3])
    for minute, first in enumerate(range(0, len(cameras), a_minute), 1):
        part = (cameras[first : first + a_minute] - middle) * unit
        print(f"  minute {minute}: mean {part.mean(0).round(3).tolist()}, deviation {part.std(0).round(3).tolist()}")
    print(f"  farthest from the middle {(np.abs(cameras - middle).max(0) * unit).round(3).tolist()}")


def _meshes(video: Path, every: int) -> Iterator[NDArray[np.float32]]:
    with VideoReader(video) as frames, FaceTracker(video=False) as tracker:
        for frame in islice(frames, 0, None, every):
            if (face := tracker.find(frame.pixels)) is not None:
                height, width = frame.pixels.shape[:2]
                yield whole(height, width).to_crop(face.mesh)


if __name__ == "__main__":
    main()

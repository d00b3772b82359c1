"""A drawn talking face with known truth: the product's own sample, and what tests look at.

No real person is in it. The mouth follows the voiced syllables of a synthetic voice, the eyes blink, the head sways.
"""

from __future__ import annotations

import sys
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.drawn.drawing import Pose, draw
from visavis.media.frame import Frame, Sound

__all__ = ["Pose", "TalkingFace", "draw", "write_clip", "write_wave"]

_SYLLABLES_HZ = 3.1
_PITCH_HZ = 165.0


@dataclass(frozen=True)
class TalkingFace:
    """A drawn person who talks.

    Attributes:
        seed: which person and which way of moving.
        size: side of the square pictures.
        fps: frame rate.
    """

    seed: int = 0
    size: int = 256
    fps: Fraction = Fraction(25)

    def pose(self, time: float) -> Pose:
        """The truth at ``time`` seconds; at 0 the face is neutral."""
        phase = 0.7 * self.seed
        sway = np.sin(2 * np.pi * 0.23 * time + phase) - np.sin(phase)
        nod = np.sin(2 * np.pi * 0.37 * time + phase) - np.sin(phase)
        blink = np.exp(-((((time + 0.9) % 2.6 - 2.2) / 0.07) ** 2))
        return Pose(
            x=0.03 * sway,
            y=0.012 * nod,
            roll=0.07 * float(np.sin(2 * np.pi * 0.31 * time)),
            yaw=0.38 * float(np.sin(2 * np.pi * 0.27 * time)),
            pitch=0.2 * nod,
            mouth=float(self.loudness(np.array([time]))[0]),
            lids=float(blink),
            gaze=0.5 * float(np.sin(2 * np.pi * 0.19 * time)),
        )

    def loudness(self, time: NDArray[np.float64]) -> NDArray[np.float64]:
        """How loud the voice is, 0 to 1, at times in seconds: syllables, with a pause in each phrase."""
        syllable = np.sin(np.pi * _SYLLABLES_HZ * time) ** 2
        phrase = np.clip(1.6 * np.sin(2 * np.pi * 0.4 * time) + 0.9, 0, 1)
        strength = 0.55 + 0.45 * np.sin(2 * np.pi * 0.77 * time + self.seed)
        return np.asarray(syllable * phrase * strength, np.float64)

    def frames(self, count: int) -> Iterator[Frame]:
        """Yield ``count`` frames."""
        for number in range(count):
            time = number / self.fps
            yield Frame(draw(self.size, self.seed, self.pose(float(time))), time)

    def sound(self, seconds: float, rate_hz: int = 16_000) -> Sound:
        """The voice: harmonics of a wavering pitch through two formants, as loud as the mouth is open."""
        time = np.arange(round(seconds * rate_hz)) / rate_hz
        pitch = _PITCH_HZ * (1 + 0.06 * np.sin(2 * np.pi * 0.5 * time))
        phase = 2 * np.pi * np.cumsum(pitch) / rate_hz
        loud = self.loudness(time)
        voice = np.zeros_like(time)
        for harmonic in range(1, 20):
            hertz = harmonic * _PITCH_HZ
            gain = np.exp(-(((hertz - 350 - 450 * loud) / 220) ** 2)) + 0.4 * np.exp(-(((hertz - 1400) / 400) ** 2))
            voice += gain * np.sin(harmonic * phase)
        return Sound((0.25 * loud * voice).astype(np.float32), rate_hz, Fraction(0))


def write_wave(path: Path, sound: Sound) -> None:
    """Write mono 16-bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sound.rate_hz)
        file.writeframes((np.clip(sound.samples, -1, 1) * 32767).astype("<i2").tobytes())


def write_clip(
    path: Path, seconds: float, *, seed: int = 0, size: int = 256, fps: Fraction = Fraction(25), sound: bool = True
) -> None:
    """Write a clip of a drawn talking face as .mp4."""
    from visavis.media.writer import VideoWriter

    face = TalkingFace(seed, size, fps)
    voice = path.with_suffix(".wav") if sound else None
    try:
        if voice is not None:
            write_wave(voice, face.sound(seconds))
        with VideoWriter(path, size=(size, size), fps=fps, sound=voice) as writer:
            for frame in face.frames(round(seconds * fps)):
                writer.write(frame)
    finally:
        if voice is not None:
            voice.unlink(missing_ok=True)


def main(portrait: str, driving: str) -> None:
    """Write the two samples of `make demo`: a drawn portrait and a drawn driver with sound."""
    from visavis.media.still import write_picture

    write_picture(Path(portrait), draw(512, seed=3))
    write_clip(Path(driving), 6.0, seed=1)


if __name__ == "__main__":
    main(*sys.argv[1:3])

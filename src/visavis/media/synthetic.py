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

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.media.frame import Frame, Pixels, Sound

_OVERSAMPLING = 2
_SYLLABLES_HZ = 3.1
_PITCH_HZ = 165.0

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Pose:
    """What moves in the drawn face.

    Attributes:
        x, y: shift of the head, in shares of the picture's side.
        roll: radians, clockwise.
        yaw, pitch: turn of the features over the head, -1 to 1.
        mouth: how far the mouth is open, 0 to 1.
        lids: how far the lids are closed, 0 to 1.
        gaze: sideways look, -1 to 1.
    """

    x: float = 0.0
    y: float = 0.0
    roll: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    mouth: float = 0.0
    lids: float = 0.0
    gaze: float = 0.0


@dataclass(frozen=True)
class Looks:
    """Colours and proportions of one drawn person."""

    skin: Colour
    hair: Colour
    iris: Colour
    shirt: Colour
    ground: Colour
    width: float
    brow: float

    @classmethod
    def of(cls, seed: int) -> Looks:
        """Draw a person from a seed."""
        rng = np.random.default_rng(seed)
        skins = [(232, 190, 165), (205, 155, 125), (160, 112, 84), (240, 205, 185), (120, 82, 62)]
        hairs = [(52, 36, 28), (28, 24, 24), (112, 72, 40), (150, 120, 80), (90, 40, 28)]
        irises = [(70, 110, 140), (80, 60, 40), (70, 110, 70)]
        shirts = [(60, 84, 120), (130, 60, 64), (64, 100, 84), (90, 90, 96)]
        grounds = [(176, 188, 196), (196, 188, 176), (160, 176, 168)]
        return cls(
            skin=skins[seed % len(skins)],
            hair=hairs[int(rng.integers(len(hairs)))],
            iris=irises[int(rng.integers(len(irises)))],
            shirt=shirts[int(rng.integers(len(shirts)))],
            ground=grounds[int(rng.integers(len(grounds)))],
            width=float(rng.uniform(0.94, 1.04)),
            brow=float(rng.uniform(0.9, 1.1)),
        )


class _Canvas:
    """Draws in head coordinates: origin between the eyes, unit about half the head's height."""

    def __init__(self, size: int, looks: Looks, pose: Pose) -> None:
        self.side = size * _OVERSAMPLING
        self.unit = 0.27 * self.side
        self.looks, self.pose = looks, pose
        shade = np.linspace(1.06, 0.88, self.side)[:, None, None] * np.ones((1, self.side, 1))
        glow = np.linspace(0.94, 1.06, self.side)[None, :, None]
        self.image = (np.array(looks.ground) * shade * glow).astype(np.float32)

    def place(self, points: NDArray[np.float64], depth: float = 0.0) -> NDArray[np.float64]:
        """Head coordinates to pixels; nearer features (larger depth) shift more with yaw and pitch."""
        pose = self.pose
        moved = points * (self.looks.width, 1) + depth * np.array([0.30 * pose.yaw, 0.22 * pose.pitch])
        cos, sin = np.cos(pose.roll), np.sin(pose.roll)
        turned = moved @ np.array([[cos, sin], [-sin, cos]])
        return np.asarray((turned * self.unit + self.side * np.array([0.5 + pose.x, 0.44 + pose.y])), np.float64)

    def fill(self, points: NDArray[np.float64], colour: Colour, soft: float = 0.0, alpha: float = 1.0) -> None:
        """Fill a polygon given in pixels, with a soft edge of ``soft`` units."""
        mask = np.zeros((self.side, self.side), np.uint8)
        cv2.fillPoly(mask, [np.rint(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        self.blend(mask, colour, soft, alpha)

    def stroke(self, points: NDArray[np.float64], colour: Colour, width: float, soft: float = 0.0) -> None:
        """Draw an open line given in pixels; ``width`` in units."""
        mask = np.zeros((self.side, self.side), np.uint8)
        thickness = max(1, round(width * self.unit))
        cv2.polylines(mask, [np.rint(points * 16).astype(np.int32)], False, 255, thickness, cv2.LINE_AA, 4)
        self.blend(mask, colour, soft, 1.0)

    def blend(self, mask: NDArray[np.uint8], colour: Colour, soft: float, alpha: float) -> None:
        """Lay a colour over the picture through a mask."""
        weight = mask.astype(np.float32) / 255
        if soft:
            weight = cv2.GaussianBlur(weight, (0, 0), max(soft * self.unit, 0.5))
        weight = (alpha * weight)[..., None]
        self.image += weight * (np.array(colour, np.float32) - self.image)


def _ellipse(cx: float, cy: float, rx: float, ry: float, start: float = 0, stop: float = 360) -> NDArray[np.float64]:
    angle = np.radians(np.linspace(start, stop, 48))
    return np.stack([cx + rx * np.cos(angle), cy + ry * np.sin(angle)], 1)


def _tone(colour: Colour, gain: float) -> Colour:
    return (colour[0] * gain, colour[1] * gain, colour[2] * gain)


def draw(size: int, seed: int = 0, pose: Pose | None = None) -> Pixels:
    """Draw one person as ``uint8 [size, size, 3]``."""
    pose = pose or Pose()
    looks = Looks.of(seed)
    canvas = _Canvas(size, looks, pose)
    _body(canvas)
    _head(canvas)
    for side in (-1, 1):
        _eye(canvas, side)
    _nose(canvas)
    _mouth(canvas)
    _fringe(canvas)
    picture = cv2.resize(np.clip(canvas.image, 0, 255), (size, size), interpolation=cv2.INTER_AREA)
    return np.rint(picture).astype(np.uint8)


def _body(c: _Canvas) -> None:
    # The shoulders stay where they are while the head moves.
    still = _Canvas(1, c.looks, Pose(c.pose.x * 0.2, c.pose.y * 0.2))
    still.side, still.unit = c.side, c.unit
    back = c.place(_ellipse(0, 0.05, 0.93, 1.12))
    c.fill(back, c.looks.hair, 0.02)
    neck = np.array([[-0.36, 0.6], [0.36, 0.6], [0.42, 1.6], [-0.42, 1.6]])
    c.fill(still.place(neck), _tone(c.looks.skin, 0.78), 0.02)
    shoulders = np.array([[-2.4, 3.2], [-1.75, 1.62], [-0.9, 1.38], [-0.38, 1.22], [0, 1.42], [0.38, 1.22]])
    shoulders = np.concatenate([shoulders, [[0.9, 1.38], [1.75, 1.62], [2.4, 3.2]]])
    c.fill(still.place(shoulders), c.looks.shirt, 0.02)


def _head(c: _Canvas) -> None:
    skin = c.looks.skin
    for side in (-1, 1):
        ear = _ellipse(side * 0.78, 0.12, 0.11, 0.22)
        c.fill(c.place(ear, -0.2), _tone(skin, 0.88), 0.01)
    jaw = np.concatenate(
        [
            _ellipse(0, -0.12, 0.78, 0.86, 180, 360),
            np.array([[0.77, 0.1], [0.72, 0.42], [0.6, 0.72], [0.4, 0.96], [0.16, 1.09]]),
            np.array([[-0.16, 1.09], [-0.4, 0.96], [-0.6, 0.72], [-0.72, 0.42], [-0.77, 0.1]]),
        ]
    )
    jaw[:, 1] += np.where(jaw[:, 1] > 0.5, 0.10 * c.pose.mouth, 0)
    outline = c.place(jaw)
    c.fill(outline, _tone(skin, 0.86), 0.012)
    c.fill(c.place(jaw * 0.86 + [0.0, -0.01], 0.25), skin, 0.16, 0.9)
    c.fill(c.place(_ellipse(-0.1, -0.45, 0.42, 0.2), 0.4), _tone(skin, 1.08), 0.14, 0.7)
    for side in (-1, 1):
        blush = (min(skin[0] * 1.02, 255), skin[1] * 0.86, skin[2] * 0.84)
        c.fill(c.place(_ellipse(side * 0.4, 0.36, 0.17, 0.12), 0.4), blush, 0.09, 0.5)
    c.fill(c.place(_ellipse(0, 1.0, 0.3, 0.06), 0.1), _tone(skin, 0.8), 0.08, 0.5)


def _eye(c: _Canvas, side: int) -> None:
    looks, pose = c.looks, c.pose
    x, half, open_ = side * 0.335, 0.165, 0.085 * (1 - pose.lids)
    across = np.linspace(-1, 1, 17)
    arch = 1 - across**2
    upper = np.stack([x + half * across, -0.015 - open_ * arch], 1)
    lower = np.stack([x + half * across, -0.005 + (0.45 * open_ + 0.012) * arch], 1)
    c.fill(c.place(_ellipse(x, -0.03, 0.22, 0.13), 0.4), _tone(looks.skin, 0.82), 0.05, 0.6)
    if open_ > 0.012:
        white = np.concatenate([upper, lower[::-1]])
        before = c.image.copy()
        c.fill(c.place(white, 0.45), (240, 238, 235), 0.006)
        centre = x + 0.055 * pose.gaze
        c.fill(c.place(_ellipse(centre, -0.03, 0.072, 0.072), 0.45), looks.iris, 0.006)
        c.fill(c.place(_ellipse(centre, -0.03, 0.034, 0.034), 0.45), (16, 14, 14), 0.004)
        c.fill(c.place(_ellipse(centre - 0.022, -0.055, 0.012, 0.012), 0.45), (252, 252, 252), 0.003)
        inside = np.zeros((c.side, c.side), np.uint8)
        cv2.fillPoly(inside, [np.rint(c.place(white, 0.45) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        c.image = before + (c.image - before) * (inside.astype(np.float32) / 255)[..., None]
    c.stroke(c.place(upper, 0.45), _tone(looks.hair, 0.6), 0.022, 0.006)
    c.stroke(c.place(lower, 0.45), _tone(looks.skin, 0.6), 0.010, 0.006)
    lift = -0.235 - 0.03 * pose.mouth
    brow = np.stack([x + 0.2 * across, lift - 0.05 * looks.brow * arch + 0.02 * side * across], 1)
    c.stroke(c.place(brow, 0.42), _tone(looks.hair, 0.9), 0.048, 0.012)


def _nose(c: _Canvas) -> None:
    skin = c.looks.skin
    bridge = np.array([[0.055, -0.1], [0.075, 0.15], [0.12, 0.34]])
    c.stroke(c.place(bridge, 0.65), _tone(skin, 0.84), 0.05, 0.035)
    c.stroke(c.place(np.array([[-0.01, -0.12], [-0.01, 0.3]]), 0.75), _tone(skin, 1.1), 0.05, 0.04)
    c.fill(c.place(_ellipse(0, 0.36, 0.12, 0.085), 0.85), _tone(skin, 1.04), 0.03)
    for side in (-1, 1):
        c.fill(c.place(_ellipse(side * 0.115, 0.385, 0.05, 0.055), 0.7), _tone(skin, 0.9), 0.02)
        c.fill(c.place(_ellipse(side * 0.062, 0.425, 0.032, 0.016), 0.75), _tone(skin, 0.42), 0.008)
    c.stroke(c.place(_ellipse(0, 0.40, 0.13, 0.05, 20, 160), 0.7), _tone(skin, 0.76), 0.018, 0.012)


def _mouth(c: _Canvas) -> None:
    skin, opened = c.looks.skin, c.pose.mouth
    lip = (min(skin[0] * 0.86, 255), skin[1] * 0.58, skin[2] * 0.58)
    across = np.linspace(-1, 1, 25)
    half, y = 0.27 - 0.04 * opened, 0.685
    arch = 1 - across**2
    bow = 0.012 * np.exp(-((across / 0.16) ** 2))
    top = np.stack([half * across, y - 0.06 * arch + bow - 0.02 * opened], 1)
    inner_top = np.stack([0.92 * half * across, y - 0.004 - 0.012 * opened * arch], 1)
    inner_low = np.stack([0.92 * half * across, y + 0.004 + 0.20 * opened * arch], 1)
    low = np.stack([half * across, y + (0.075 + 0.20 * opened) * arch], 1)
    c.fill(c.place(np.concatenate([top, low[::-1]]), 0.55), lip, 0.010)
    c.fill(c.place(low * [0.6, 1] - [0, 0.03], 0.55), _tone(lip, 1.12), 0.02, 0.5)
    if opened > 0.08:
        hole = np.concatenate([inner_top, inner_low[::-1]])
        c.fill(c.place(hole, 0.5), (60, 22, 24), 0.006)
        teeth = np.concatenate([inner_top * [0.86, 1], (inner_top * [0.86, 1] + [0, 0.055 * min(1, 2 * opened)])[::-1]])
        c.fill(c.place(teeth, 0.5), (236, 232, 226), 0.006)
        if opened > 0.4:
            c.fill(c.place(_ellipse(0, y + 0.15 * opened, 0.12, 0.05 * opened), 0.5), (170, 84, 86), 0.015)
    else:
        c.stroke(c.place(inner_top, 0.55), _tone(lip, 0.55), 0.014, 0.006)
    c.stroke(
        c.place(np.array([[-0.12, y + 0.14], [0.12, y + 0.14]]) + [0, 0.17 * opened], 0.5), _tone(skin, 0.8), 0.02, 0.02
    )


def _fringe(c: _Canvas) -> None:
    hair = c.looks.hair
    top = np.concatenate([_ellipse(0, -0.18, 0.84, 0.92, 178, 362), _ellipse(0.1, -0.34, 0.70, 0.36, 350, 190)])
    c.fill(c.place(top, 0.05), hair, 0.02)
    for number in range(9):
        start = np.array([-0.7 + 0.17 * number, -0.95 + 0.03 * abs(number - 4)])
        strand = np.stack([start, start + [0.1, 0.14], start + [0.16, 0.34 - 0.02 * number]])
        c.stroke(c.place(strand, 0.1), _tone(hair, 1.35), 0.02, 0.02)


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

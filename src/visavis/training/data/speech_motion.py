"""Batches of speech and of the motion that goes with it, for a speaker's two learners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.audio.mel import MEL_BANDS, RATE_HZ
from visavis.data.sound import SAMPLES_A_FRAME
from visavis.motion.speech.head import CAMERA_VALUES, HEAD_SCALE, REFERENCE_FRAMES
from visavis.motion.speech.heard import MEL_NUMBERS, STEPS, SpeakerSound
from visavis.motion.speech.sway import Sway
from visavis.training.data.rooms import noise_spectrum, recorded, tones
from visavis.training.data.speakers import SpeakerClip
from visavis.training.task import TensorBatch

Floats = NDArray[np.float32]

#: The paper's signal to noise ratios (section 3.2).
SNR_DB = tuple(range(6, 31, 3))
_GAIN_DB = (-20.0, 6.0)
_IN_A_ROOM = 0.5
_TEMPO = (0.88, 0.94, 1.0, 1.0, 1.06, 1.12)
_STRENGTH = (0.5, 2.0)
_EMPTY_FRAMES = 160
_EMPTY_KINDS = 32
#: A camera in a mirror.
_MIRRORED = np.array([-1, 1, 1, 1, -1, -1], np.float32)
_SCALE = np.array(HEAD_SCALE, np.float32)


@dataclass(frozen=True)
class SpeechBatch(TensorBatch):
    """B stretches for the expression learner, and B for the head motion learner.

    Attributes:
        heard: ``[B, T, n]``.
        identity: ``[B, n_id]``, as coefficients.
        change: ``[B, T, n_exp]``, expression as change from rest.
        keep: ``[B, T]``, 1 where the face is seen.
        empty: ``[B]``, 1 where nobody speaks and the face rests.
        sound: ``[B, H, 80]``, spectra of stretches of head motion.
        head: ``[B, H, 6]``, that motion, in units of :data:`HEAD_SCALE`.
        reference_sound, reference_head: ``[B, 64, 80]`` and ``[B, 64, 6]`` of the same person.
        noise: ``[B, H, CHANNELS]``.
    """

    heard: Tensor
    identity: Tensor
    change: Tensor
    keep: Tensor
    empty: Tensor
    sound: Tensor
    head: Tensor
    reference_sound: Tensor
    reference_head: Tensor
    noise: Tensor


class SpeechMotion:
    """Draws batches; batch ``step`` depends on the seed and the step alone.

    Each clip is heard in several ways, each made when it is first drawn: in a room, with noise, louder or softer,
    faster or slower with its face.

    Args:
        clips: with sound, in step with it.
        hears: what is made of sound.
        frames: T, of stretches of expression.
        head_frames: H, of stretches of head motion.
        ways: in how many ways a clip is heard, besides as it is.
        empty: share of stretches in which nobody speaks.
        mirrored: whether half of the heads are seen in a mirror.
        seed: of everything random.
    """

    def __init__(
        self,
        clips: Sequence[SpeakerClip],
        hears: SpeakerSound,
        *,
        frames: int,
        head_frames: int,
        ways: int = 4,
        empty: float = 0.08,
        mirrored: bool = True,
        seed: int = 0,
    ) -> None:
        self.clips, self.hears, self.seed = list(clips), hears, seed
        self.frames, self.head_frames = frames, head_frames
        self.ways, self.empty, self.mirrored = ways, empty, mirrored
        lengths: dict[str, int] = {}
        for clip in clips:
            lengths[clip.person] = lengths.get(clip.person, 0) + len(clip)
        # The square root keeps people with many long clips from crowding out the rest.
        share = np.array([len(clip) / np.sqrt(lengths[clip.person]) for clip in clips])
        self._share = share / share.sum()
        long = np.array([len(clip) >= head_frames for clip in clips])
        self._long = self._share * (long if long.any() else np.ones(len(clips)))
        self._long = self._long / self._long.sum()
        self._made: dict[tuple[int, int], tuple[NDArray[np.float16], Floats, Floats]] = {}
        self._lock = Lock()

    def batch(self, step: int, count: int) -> SpeechBatch:
        """Return batch number ``step`` of ``count`` stretches of either kind."""
        rng = np.random.default_rng([self.seed, step])
        faces = [self._face(rng) for _ in range(count)]
        heads = [self._head(rng) for _ in range(count)]
        noise = Sway(rng, count).take(self.head_frames).astype(np.float32)
        columns = [np.stack(column) for column in (*zip(*faces, strict=True), *zip(*heads, strict=True))]
        return SpeechBatch(*[torch.from_numpy(np.asarray(column, np.float32)) for column in (*columns, noise)])

    def _face(self, rng: np.random.Generator) -> tuple[Floats | np.float32, ...]:
        """Heard, identity, change, keep, empty."""
        clip_at = int(rng.choice(len(self.clips), p=self._share))
        clip = self.clips[clip_at]
        if rng.random() < self.empty:
            heard = self._nobody(int(rng.integers(_EMPTY_KINDS)))
            first = int(rng.integers(len(heard) - self.frames + 1)) if len(heard) > self.frames else 0
            nothing = np.zeros((self.frames, clip.change.shape[1]), np.float32)
            rows = _cut(heard, first, self.frames)
            return rows, clip.identity, nothing, np.ones(self.frames, np.float32), np.float32(1)
        heard, change, seen = self._heard(clip_at, int(rng.integers(self.ways + 1)))
        first = int(rng.integers(max(len(heard) - self.frames, 0) + 1))
        keep = np.zeros(self.frames, np.float32)
        known = seen[first : first + self.frames]
        keep[: len(known)] = known
        return _cut(heard, first, self.frames), clip.identity, _cut(change, first, self.frames), keep, np.float32(0)

    def _head(self, rng: np.random.Generator) -> tuple[Floats, ...]:
        """Sound, head, reference's sound, reference's head."""
        at = int(rng.choice(len(self.clips), p=self._long))
        others = [
            other for other, clip in enumerate(self.clips) if clip.person == self.clips[at].person and other != at
        ]
        of = others[int(rng.integers(len(others)))] if others and rng.random() < 0.5 else at
        strength = np.float32(np.exp(rng.uniform(*np.log(_STRENGTH))))
        flip = _MIRRORED if self.mirrored and rng.random() < 0.5 else np.ones(CAMERA_VALUES, np.float32)
        out = []
        for number, frames in ((at, self.head_frames), (of, REFERENCE_FRAMES)):
            camera = self.clips[number].camera
            first = int(rng.integers(max(len(camera) - frames, 0) + 1))
            head = _cut(camera, first, frames)
            head = (head - head.mean(0)) / _SCALE * flip * strength
            heard, _, _ = self._heard(number, 0)
            out += [_cut(spectra(heard), first, frames), head]
        return tuple(out)

    def _heard(self, number: int, way: int) -> tuple[NDArray[np.float16], Floats, Floats]:
        """What is heard ``[T, n]``, change ``[T, n_exp]``, and where the face is seen ``[T]``, of a clip in one way."""
        with self._lock:
            if (number, way) not in self._made:
                self._made[number, way] = self._make(number, way)
            return self._made[number, way]

    def _make(self, number: int, way: int) -> tuple[NDArray[np.float16], Floats, Floats]:
        clip = self.clips[number]
        sound = clip.sound
        assert sound is not None
        change, seen = clip.change, clip.seen.astype(np.float32)
        if way:
            rng = np.random.default_rng([self.seed, number, way, 3])
            tempo = float(_TEMPO[int(rng.integers(len(_TEMPO)))])
            frames = int(len(clip) * tempo)
            sound = _resampled(sound[:, None], int(len(sound) * tempo))[:, 0]
            change, seen = _resampled(change, frames), np.floor(_resampled(seen[:, None], frames)[:, 0] + 1e-3)
            sound = self._disturbed(sound, rng)
        return self.hears.of_clip(sound, len(change)).astype(np.float16), change, seen

    def _disturbed(self, sound: Floats, rng: np.random.Generator) -> Floats:
        if rng.random() < _IN_A_ROOM:
            beside = self.clips[int(rng.integers(len(self.clips)))].sound
            assert beside is not None
            return recorded(sound, beside, float(rng.random()), rng)
        noisy = sound + with_noise(sound, float(SNR_DB[int(rng.integers(len(SNR_DB)))]), rng)
        return np.asarray(np.clip(noisy * 10 ** (rng.uniform(*_GAIN_DB) / 20), -1, 1), np.float32)

    def _nobody(self, kind: int) -> NDArray[np.float16]:
        """What is heard where nobody speaks: silence, noise, noise that comes and goes, music."""
        with self._lock:
            if (-1, kind) not in self._made:
                rng = np.random.default_rng([self.seed, kind, 4])
                heard = self.hears.of_clip(no_speech(kind % 4, _EMPTY_FRAMES * SAMPLES_A_FRAME, rng), _EMPTY_FRAMES)
                nothing = np.zeros((0, 0), np.float32)
                self._made[-1, kind] = heard.astype(np.float16), nothing, nothing
            return self._made[-1, kind][0]


def with_noise(sound: Floats, snr_db: float, rng: np.random.Generator) -> Floats:
    """Noise of some colour that lies so many decibels below ``sound``."""
    noise = np.fft.irfft(noise_spectrum(len(sound) // 2 + 1, rng), len(sound))
    size = np.sqrt(np.mean(np.square(sound)) / max(np.mean(np.square(noise)), 1e-12))
    return np.asarray(noise * size * 10 ** (-snr_db / 20), np.float32)


def no_speech(kind: int, count: int, rng: np.random.Generator) -> Floats:
    """Sound ``[count]`` at 16 kHz in which nobody speaks: 0 silence, 1 noise, 2 noise that comes and goes, 3 music."""
    if kind == 0:
        quiet = 0.0 if rng.random() < 0.5 else 10 ** rng.uniform(-5, -3)
        return np.asarray(quiet * rng.standard_normal(count), np.float32)
    if kind == 3:
        return np.asarray(tones(count, rng) * 10 ** rng.uniform(-2, -0.7), np.float32)
    noise = np.fft.irfft(noise_spectrum(count // 2 + 1, rng), count)
    noise *= 10 ** rng.uniform(-2.3, -0.6) / noise.std()
    if kind == 2:
        knots = rng.random(max(count * 6 // RATE_HZ, 2)) ** 3
        noise *= np.interp(np.arange(count), np.linspace(0, count, len(knots)), knots)
    return np.asarray(np.clip(noise, -1, 1), np.float32)


def spectra(heard: NDArray[np.float16] | Floats) -> Floats:
    """The 80 bands at frames' own times ``[T, 80]``; :func:`visavis.motion.speech.head.spectrum` of halves."""
    windows = heard[:, :MEL_NUMBERS].reshape(len(heard), MEL_BANDS, STEPS)
    return np.asarray(windows[..., STEPS // 2 - 1 : STEPS // 2 + 1].astype(np.float32).mean(-1), np.float32)


def _cut(rows: NDArray[np.float16] | Floats, first: int, count: int) -> Floats:
    """``count`` rows from ``first`` on; the last is repeated where there are fewer."""
    found = rows[first : first + count].astype(np.float32)
    return found if len(found) == count else np.concatenate([found, np.repeat(found[-1:], count - len(found), 0)])


def _resampled(rows: Floats, count: int) -> Floats:
    """Rows ``[T, n]`` at ``count`` places, evenly from the first on."""
    at = np.clip(np.arange(count) * (len(rows) / count), 0, len(rows) - 1)
    low = np.minimum(at.astype(int), max(len(rows) - 2, 0))
    share = (at - low)[:, None].astype(np.float32)
    return np.asarray(rows[low] * (1 - share) + rows[np.minimum(low + 1, len(rows) - 1)] * share, np.float32)

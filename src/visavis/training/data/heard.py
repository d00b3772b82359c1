"""Sound features of clips: computed from their sound, or read from a file beside the shards where that was done before.

A training machine that is lent for minutes should not spend one of them on sound that never changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from visavis.audio.feature import SoundFeature
from visavis.audio.mel import RATE_HZ
from visavis.audio.speech import SIZE, SpeechFeatures
from visavis.audio.window import SoundWindow
from visavis.core.aside import written_aside
from visavis.core.errors import DataError
from visavis.data.shards import ClipRecord
from visavis.data.sound import FPS, SAMPLES_A_FRAME
from visavis.media.frame import Sound

#: Beside shards; one tensor a clip, ``float16 [ceil(T / every), 300]``, by the clip's name.
FILE = "heard.safetensors"

Floats = NDArray[np.float32]
Heard = Callable[[ClipRecord], "Floats | None"]


def heard(folder: Path) -> Heard:
    """How the clips of a folder of shards are heard: gives ``float32 [T, 300]``, or None where nobody speaks.

    Raises:
        DataError: the file beside the shards is damaged.
        WeightsError: there is none, and no recogniser either.
    """
    path = folder / FILE
    if not path.is_file():
        return _computed()
    try:
        with safe_open(str(path), framework="np") as file:
            every = int((file.metadata() or {})["every"])
            table = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise DataError(f"{path}: is damaged, or holds no sound features") from error

    def look_up(record: ClipRecord) -> Floats | None:
        rows = table.get(record.name)
        if rows is None:
            return None
        if every < 1 or rows.ndim != 2 or rows.shape[1] != SIZE:
            raise DataError(f"{path}: holds other features of {record.name} than {SIZE} a frame")
        return np.repeat(rows.astype(np.float32), every, 0)

    return look_up


def heard_by(feature: SoundFeature) -> Heard:
    """What a generator's own feature gives of the sound in shards: ``float32 [T, n]``, whatever its shape.

    Args:
        feature: as :attr:`visavis.generators.base.Generator.hears`.
    """

    def compute(record: ClipRecord) -> Floats | None:
        samples = record.sound() if record.info.get("sound_is_speech") else None
        if samples is None:
            return None
        window = SoundWindow(_seconds(resampled(samples, feature.rate_hz), feature.rate_hz), feature)
        frames = len(samples) // SAMPLES_A_FRAME
        return np.stack([window.at(Fraction(frame, FPS)).ravel() for frame in range(frames)])

    return compute


def _seconds(samples: Floats, rate_hz: int) -> Iterator[Sound]:
    for first in range(0, len(samples), rate_hz):
        yield Sound(samples[first : first + rate_hz], rate_hz, Fraction(first, rate_hz))


def resampled(samples: Floats, rate_hz: int) -> Floats:
    """Sound of shards, 16 kHz, at another rate: its spectrum, cut off or filled up with zeros."""
    count = len(samples) * rate_hz // RATE_HZ
    if count == len(samples):
        return samples
    spectrum = np.fft.rfft(samples)[: count // 2 + 1]
    return np.asarray(np.fft.irfft(spectrum, count) * (count / len(samples)), np.float32)


def _computed() -> Heard:
    features = SpeechFeatures.load()

    def compute(record: ClipRecord) -> Floats | None:
        samples = record.sound() if record.info.get("sound_is_speech") else None
        if samples is None:
            return None
        return features.of_clip(samples, len(samples) * 25 // features.rate_hz, 25)

    return compute


def write_heard(records: Iterable[ClipRecord], folder: Path, every: int = 1) -> int:
    """Write the file beside shards: features of every ``every``-th frame of the clips whose speaker is seen.

    Returns:
        How many clips are in it.
    """
    compute = _computed()
    rows = {
        record.name: found[::every].astype(np.float16) for record in records if (found := compute(record)) is not None
    }
    with written_aside(folder / FILE) as aside:
        save_file(rows, str(aside), metadata={"every": str(every)})
    return len(rows)

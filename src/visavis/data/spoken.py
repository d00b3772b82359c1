"""Speech with its words: what a recogniser of characters learns from.

A folder holds files ``spoken-00000.npz``, each some minutes of utterances at 16 kHz: ``sound`` is all of their samples
one after the other, 8 bits each by the mu-law of G.711 (its continuous form); ``starts`` says where each begins, with
the end of the last; ``info`` is JSON, a list with ``text``, ``voice`` and ``split`` of each.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.audio.characters import CHARACTERS
from visavis.core.aside import write_whole
from visavis.core.errors import DataError
from visavis.core.strict_json import loads
from visavis.data.arrays import Arrays

_MU = 255.0
_MOST_BYTES = 256 << 20
_MOST_SAMPLES = 1 << 28
_MOST_UTTERANCES = 1 << 17
_MOST_INFO_BYTES = 64 << 20


@dataclass(frozen=True)
class Utterance:
    """Something said.

    Attributes:
        text: lower-case letters and single spaces between words.
        voice: who says it.
        split: ``train`` or ``val``.
        sound: ``uint8 [N]`` at 16 kHz; :func:`expanded` gives samples.
    """

    text: str
    voice: str
    split: str
    sound: NDArray[np.uint8]


def compressed(samples: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Samples in [-1, 1] in 8 bits; louder ones are cut off. Silence stays silence."""
    loud = np.clip(samples, -1, 1)
    return np.asarray(np.rint(np.sign(loud) * np.log1p(_MU * np.abs(loud)) / np.log1p(_MU) * 127) + 128, np.uint8)


def expanded(sound: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The inverse of :func:`compressed`, to about 38 dB below the sound."""
    level = np.maximum(np.arange(256) - 128, -127) / 127
    table = np.sign(level) * np.expm1(np.abs(level) * np.log1p(_MU)) / _MU
    return np.asarray(table.astype(np.float32)[sound])


def write_spoken(path: Path, utterances: Sequence[Utterance]) -> None:
    """Write one file, aside first."""
    starts = np.cumsum([0, *(len(spoken.sound) for spoken in utterances)], dtype=np.int64)
    info = [{"text": spoken.text, "voice": spoken.voice, "split": spoken.split} for spoken in utterances]
    out = io.BytesIO()
    np.savez_compressed(
        out,
        sound=np.concatenate([spoken.sound for spoken in utterances]),
        starts=starts,
        info=np.frombuffer(json.dumps(info).encode(), np.uint8),
    )
    write_whole(path, out.getvalue())


def read_spoken(folder: Path) -> Iterator[Utterance]:
    """Yield every utterance of a folder's files, in name order.

    Raises:
        DataError: there are none, or one is damaged or says what no voice can.
    """
    files = sorted(folder.glob("spoken-*.npz")) if folder.is_dir() else []
    if not files:
        raise DataError(
            f"{folder}: no speech (spoken-*.npz) here; make some with `python tools/synthesise_speech.py -o {folder}`"
        )
    for path in files:
        try:
            yield from _utterances(path)
        except (DataError, OSError) as error:
            raise DataError(f"{path}: cannot be read as speech ({error})") from error


def _utterances(path: Path) -> Iterator[Utterance]:
    if path.stat().st_size > _MOST_BYTES:
        raise DataError(f"more than {_MOST_BYTES >> 20} MiB")
    arrays = Arrays(path.read_bytes())
    sound = arrays.get("sound", np.uint8, lambda shape: len(shape) == 1 and shape[0] <= _MOST_SAMPLES)
    starts = arrays.get("starts", np.int64, lambda shape: len(shape) == 1 and 1 <= shape[0] <= _MOST_UTTERANCES)
    packed = arrays.get("info", np.uint8, lambda shape: len(shape) == 1 and shape[0] <= _MOST_INFO_BYTES)
    try:
        rows = loads(packed.tobytes())
    except ValueError as error:
        raise DataError(f"its info is damaged: {error}") from error
    if starts[0] != 0 or starts[-1] != len(sound) or (np.diff(starts) <= 0).any():
        raise DataError("its utterances do not add up to its sound")
    if not isinstance(rows, list) or len(rows) != len(starts) - 1 or not all(_is_info(row) for row in rows):
        raise DataError("its info does not tell text, voice and split of each utterance")
    for row, begin, end in zip(rows, starts[:-1], starts[1:], strict=True):
        yield Utterance(row["text"], row["voice"], row["split"], sound[begin:end])


def _is_info(row: object) -> bool:
    if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in ("text", "voice", "split")):
        return False
    return bool(row["text"]) and set(row["text"]) <= set(CHARACTERS)

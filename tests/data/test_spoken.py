"""Speech with its words in files: what is written is read, and what is damaged or invented is refused in one line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from visavis.core.errors import DataError
from visavis.data.spoken import Utterance, compressed, expanded, read_spoken, write_spoken


def spoken(text: str = "a word", length: int = 500) -> Utterance:
    sound = np.random.default_rng(length).integers(0, 256, length).astype(np.uint8)
    return Utterance(text, "somebody", "train", sound)


def test_what_is_written_is_read(tmp_path: Path):
    wanted = [spoken("one", 300), spoken("two", 700), spoken("three of them", 1)]
    write_spoken(tmp_path / "spoken-00001.npz", wanted[2:])
    write_spoken(tmp_path / "spoken-00000.npz", wanted[:2])
    found = list(read_spoken(tmp_path))
    assert [(u.text, u.voice, u.split) for u in found] == [(u.text, u.voice, u.split) for u in wanted]
    assert all(np.array_equal(a.sound, b.sound) for a, b in zip(found, wanted, strict=True))


def test_eight_bits_lose_little_and_silence_nothing():
    rng = np.random.default_rng(0)
    for level in (1, 0.1, 0.01):
        samples = (level * rng.uniform(-1, 1, 20_000)).astype(np.float32)
        lost = expanded(compressed(samples)) - samples
        assert 10 * np.log10(np.square(samples).mean() / np.square(lost).mean()) > 30
    assert not expanded(compressed(np.zeros(5, np.float32))).any()
    np.testing.assert_array_equal(compressed(expanded(np.arange(1, 256, dtype=np.uint8))), np.arange(1, 256))
    np.testing.assert_array_equal(expanded(compressed(np.array([2, -2], np.float32))), [1, -1])


def test_a_folder_without_speech_is_refused(tmp_path: Path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match="no speech"):
            list(read_spoken(folder))


@pytest.mark.parametrize(
    "change",
    [
        {"starts": np.array([0, 90, 90, 500])},
        {"starts": np.array([0, 400])},
        {"starts": np.array([-5, 500])},
        {"starts": np.zeros(0, np.int64)},
        {"info": np.frombuffer(b"[{}]", np.uint8)},
        {"info": np.frombuffer(b"{", np.uint8)},
        {"info": np.frombuffer(json.dumps([{"text": "B!", "voice": "v", "split": "train"}]).encode(), np.uint8)},
        {"info": np.frombuffer(json.dumps([{"text": "", "voice": "v", "split": "train"}]).encode(), np.uint8)},
        {"sound": np.zeros(500, np.float32)},
        None,
    ],
)
def test_damaged_speech_is_refused(tmp_path: Path, change: dict[str, np.ndarray] | None):
    path = tmp_path / "spoken-00000.npz"
    write_spoken(path, [spoken()])
    if change is None:
        path.write_bytes(path.read_bytes()[:200])
    else:
        out = io.BytesIO()
        np.savez_compressed(out, **{**np.load(path), **change})
        path.write_bytes(out.getvalue())
    with pytest.raises(DataError, match="cannot be read as speech") as caught:
        list(read_spoken(tmp_path))
    assert "\n" not in str(caught.value)

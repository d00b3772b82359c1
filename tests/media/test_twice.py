"""A video that is looked through first comes out whole all the same, and is opened once where its frames fit."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from visavis.drawn.synthetic import write_clip
from visavis.media import twice
from visavis.media.reader import VideoReader
from visavis.media.twice import TwiceReader

FRAME_BYTES = 64 * 64 * 3


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("twice") / "clip.mp4"
    write_clip(path, 0.4, seed=1, size=64)
    return path


@pytest.mark.parametrize("looked_at", [0, 1, 4, 10])
@pytest.mark.parametrize(("most_bytes", "opens"), [(1 << 20, 1), (3 * FRAME_BYTES, 2)])
def test_all_frames_come_whatever_was_read_ahead(
    looked_at: int, most_bytes: int, opens: int, clip: Path, monkeypatch: pytest.MonkeyPatch
):
    opened: list[Path] = []

    class Counted(VideoReader):
        def __init__(self, path: Path) -> None:
            opened.append(path)
            super().__init__(path)

    monkeypatch.setattr(twice, "VideoReader", Counted)
    with VideoReader(clip) as reader:
        whole = list(reader)
    with TwiceReader(clip, most_bytes) as reader:
        ahead = list(islice(reader.ahead(), looked_at))
        again = list(reader)
    assert [frame.time for frame in ahead] == [frame.time for frame in whole[:looked_at]]
    assert [frame.time for frame in again] == [frame.time for frame in whole]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(again, whole, strict=True))
    assert len(opened) == (opens if looked_at > 3 else 1)

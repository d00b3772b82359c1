"""Sound as it comes: the same is heard whatever the chunks, of any rate and number of channels."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from made_speaker import Loudness
from visavis.audio.ears import Ears, as_mono, pieces
from visavis.core.errors import MediaError


class Middle:
    """The very sample of a moment, at another rate than others hear at."""

    rate_hz = 8000
    before_s, after_s = Fraction(0), Fraction(1, 8000)
    shape = (1,)

    def compute(self, samples: np.ndarray) -> np.ndarray:
        return samples.astype(np.float32)


def tone(rate_hz: int, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(round(rate_hz * seconds)) / rate_hz
    return (0.5 * np.sin(2 * np.pi * 200 * time) * time).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("chunk", [97, 4096])
def test_all_listeners_hear_a_moment_once_it_has_come(rate_hz: int, chunk: int):
    ears, deaf = Ears([Loudness(), Middle(), None]), None
    sound = tone(rate_hz)
    for start in range(0, len(sound), chunk):
        ears.push(sound[start : start + chunk], rate_hz)
        time = Fraction(min(start + chunk, len(sound)), rate_hz) - ears.latency_s
        assert time < 0 or ears.ready(time), "within the latency that is told"
    assert ears.seconds == Fraction(len(sound), rate_hz)
    time = Fraction(4, 5)
    loud, sample, nothing = ears.at(time)
    assert nothing is deaf
    assert loud is not None and loud[0] == pytest.approx(0.5 * 0.82 / np.sqrt(2), rel=0.1)
    assert sample is not None and sample[0] == pytest.approx(0.5 * 0.8 * np.sin(2 * np.pi * 200 * 0.8), abs=0.03)


def test_a_rate_may_change_on_the_way():
    ears = Ears([Middle()])
    for rate_hz, half in ((16_000, 0), (44_100, 1)):
        sound = tone(rate_hz, 2.0)
        ears.push(sound[half * rate_hz : (half + 1) * rate_hz], rate_hz)
    assert ears.seconds == 2
    (sample,) = ears.at(Fraction(60_020, 40_000))
    assert sample is not None and sample[0] == pytest.approx(0.75 * np.sin(2 * np.pi * 200 * 1.5005), abs=0.03)


def test_channels_become_one():
    left = np.array([0.5, -0.5], np.float32)
    assert np.allclose(as_mono(np.stack([left, np.zeros(2)], 1)), left / 2)
    centre = np.zeros((2, 6), np.float32)
    centre[:, 2] = 0.8
    low = np.zeros((2, 6), np.float32)
    low[:, 3] = 0.8
    assert as_mono(centre)[0] == pytest.approx(0.4) and not as_mono(low).any()
    assert as_mono(np.array([16384], np.int16))[0] == pytest.approx(0.5, abs=1e-3)
    assert np.array_equal(as_mono(np.array([np.nan, np.inf, -9.0], np.float32)), [0, 1, -1])


def test_what_is_no_sound_is_refused():
    with pytest.raises(MediaError, match="channels"):
        as_mono(np.zeros((4, 9)))
    with pytest.raises(MediaError, match="samples a second"):
        list(pieces(np.zeros(4, np.float32), 3))


def test_an_endless_stream_takes_no_more_memory():
    ears, held = Ears([Loudness(), Middle()]), []
    second = tone(48_000)
    tracemalloc.start()
    try:
        for number in range(1, 121):
            ears.push(second, 48_000)
            for frame in range(25):
                ears.at(number - 1 + Fraction(frame, 25))
            if number in (20, 120):
                held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[1] - held[0] < 50_000, "bytes, of 100 s in which 19 MB came"

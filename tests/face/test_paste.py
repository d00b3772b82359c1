"""Pasting back: no box, no step of colour, and nothing changed where nothing is pasted."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from visavis.face.align import Crop, Pasting, whole

CROP = Crop(60, 40, 128)
INNER = (slice(40 + 13, 40 + 115), slice(60 + 13, 60 + 115))


def scene(height: int = 220, width: int = 260) -> NDArray[np.uint8]:
    """A smooth picture of many colours, in the middle of the range."""
    y, x = np.mgrid[:height, :width].astype(float)
    layers = [100 + 50 * np.sin(x / 37 + k) * np.cos(y / 29 + 2 * k) for k in range(3)]
    return np.stack(layers, -1).astype(np.uint8)


def outside(pixels: NDArray[np.uint8], crop: Crop = CROP) -> NDArray[np.uint8]:
    """The frame with the crop's square blanked."""
    left, top, side = int(crop.left), int(crop.top), int(crop.side)
    blank = pixels.copy()
    blank[top : top + side, left : left + side] = 0
    return blank


def test_an_unchanged_crop_changes_nothing():
    full = scene()
    pasted = CROP.paste(full, CROP.cut(full, 128))
    assert np.array_equal(pasted, full)
    resampled = CROP.paste(full, CROP.cut(full, 256))
    assert np.array_equal(outside(resampled), outside(full))
    assert np.abs(resampled.astype(int) - full).max() <= 3


def steps(pasted: NDArray[np.uint8], full: NDArray[np.uint8]) -> int:
    """The largest change of the difference from one pixel to the next: what the eye sees as a line."""
    off = pasted.astype(int) - full
    return max(int(np.abs(np.diff(off, axis=axis)).max()) for axis in (0, 1))


@pytest.mark.parametrize("offset", [(25, 25, 25), (-30, 10, 20), (40, -40, 0)])
def test_another_tint_of_the_whole_crop_vanishes_at_the_border(offset: tuple[int, int, int]):
    """In the fading band an eighth of it is left at most, and it comes back without a step."""
    full = scene()
    tinted = (CROP.cut(full, 128).astype(int) + offset).astype(np.uint8)
    pasted = CROP.paste(full, tinted)
    assert np.array_equal(outside(pasted), outside(full))
    band = np.abs(pasted.astype(int) - full)
    band[INNER] = 0
    assert band.max() <= max(map(abs, offset)) / 8 + 1
    assert steps(pasted, full) <= 3
    assert (pasted[104, 124].astype(int) - full[104, 124]).tolist() == list(offset)


def test_light_from_one_side_leaves_no_step():
    """The tint grows from left to right, so that each side of the box needs another correction."""
    full = scene()
    slope = np.linspace(-30, 30, 128)[None, :, None]
    pasted = CROP.paste(full, (CROP.cut(full, 128) + slope).clip(0, 255).astype(np.uint8))
    band = np.abs(pasted.astype(int) - full)
    band[INNER] = 0
    assert band.max() <= 10
    assert steps(pasted, full) <= 3


def test_what_moved_across_the_border_does_not_tint_the_crop():
    """A dark arm appears at the lower border; the rest of the crop keeps its colour."""
    full = scene()
    new = CROP.cut(full, 128).copy()
    new[96:, 50:78] = 0
    pasted = CROP.paste(full, new)
    assert np.abs(pasted[40:120, 60:188].astype(int) - full[40:120, 60:188]).max() <= 10


def test_a_new_face_in_the_middle_stays_as_it_was_made():
    full = scene()
    new = CROP.cut(full, 128).copy()
    new[30:98, 30:98] = (200, 60, 90)
    assert np.abs(CROP.paste(full, new)[71:137, 91:157].astype(int) - (200, 60, 90)).max() <= 2


def test_a_crop_of_the_whole_frame_is_the_new_picture():
    """No edge is in view, so there is nothing to level to."""
    full = scene(128, 128)
    new = np.full((128, 128, 3), 180, np.uint8)
    assert np.array_equal(whole(128, 128).paste(full, new), new)


def test_each_picture_is_laid_over_the_frame_as_it_was():
    full = scene()
    pasting = Pasting(CROP, full, 128)
    for level in (40, 220, 128):
        new = np.full((128, 128, 3), level, np.uint8)
        assert np.array_equal(pasting.over(new), CROP.paste(full, new))
    assert np.array_equal(full, scene())


@pytest.mark.parametrize("crop", [Crop(700.3, 90.2, 800.0), Crop(-60.0, 500.5, 700.0), Crop(0, 0, 1080)])
def test_a_cut_out_of_a_large_frame_shows_what_lies_there(crop: Crop):
    """Against the mean of each small pixel's own square, of a picture that is smooth."""
    full = scene(1080, 1920)
    cut = crop.cut(full, 100).astype(float)
    step = crop.side / 100
    for row, column in ((50, 50), (20, 80), (75, 30)):
        left, top = crop.left + column * step, crop.top + row * step
        inside = full[round(top) : round(top + step), max(round(left), 0) : max(round(left + step), 1)]
        assert np.abs(inside.reshape(-1, 3).mean(0) - cut[row, column]).max() < 4

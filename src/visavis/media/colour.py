"""Decoded pictures to RGB and back, rounded rather than cut off.

FFmpeg's quick conversions cut off fractions, which makes every picture darker by about a level each time, and repeat
colour samples rather than interpolate between them. Its exact ones take ten times as long. Pictures of the usual
formats are therefore converted here: luma and colour difference are interpolated to full size and go through one
3x4 matrix (ITU-R BT.601, BT.709, BT.2020), with OpenCV's vector code.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from visavis.media.frame import Pixels
from visavis.media.hdr import tone_map

#: Untagged video of at least this height is taken to be in the colours of high definition, as players do.
_HIGH_DEFINITION = 720
_UNSPECIFIED, _BT709 = 2, 1
#: Shares of red and blue in luma by ISO/IEC 23091-2's numbers of matrices.
_LUMA = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
_QUICK = {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"}
_EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
_NEAR, _SMOOTH = Interpolation.BILINEAR | _EXACT, Interpolation.BICUBIC | _EXACT


class ToRgb:
    """Converts the pictures of one video, one after another; keeps what it needs in between."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._full: dict[str, Pixels] = {}

    def __call__(self, picture: VideoFrame, width: int, transfer: int | None) -> Pixels:
        """Convert a picture.

        Args:
            picture: as decoded.
            width: of the result in pixels, where pixels are not square.
            transfer: the transfer function if it is one of high dynamic range.

        Returns:
            ``uint8 [H, width, 3]``; transparency is laid over white.
        """
        if picture.format.has_palette or any(component.is_alpha for component in picture.format.components):
            return _over_white(self._reformatted(picture, width, "rgba"))
        if transfer is not None:
            return tone_map(self._reformatted(picture, width, "rgb48le"), transfer)
        matrix = _matrix_of(picture)
        if picture.format.name in _QUICK and width == picture.width and matrix in _LUMA:
            return self._quick(picture, matrix)
        return np.asarray(self._reformatted(picture, width, "rgb24"))

    def _reformatted(self, picture: VideoFrame, width: int, to: str) -> NDArray[Any]:
        untagged = picture.colorspace == _UNSPECIFIED and picture.height >= _HIGH_DEFINITION
        colours = Colorspace.ITU709 if untagged and not picture.format.is_rgb else None
        how = _NEAR if width == picture.width else _SMOOTH
        made = self._reformatter.reformat(picture, width=width, format=to, src_colorspace=colours, interpolation=how)
        return np.asarray(made.to_ndarray())

    def _quick(self, picture: VideoFrame, matrix: int) -> Pixels:
        luma, *colours = (_samples(plane) for plane in picture.planes)
        height, width = luma.shape
        full = [self._to_full(name, plane, height, width) for name, plane in zip("bc", colours, strict=True)]
        merged = cv2.merge([luma, *full], dst=self._room("merged", (height, width, 3)))
        is_full = picture.color_range == ColorRange.JPEG.value or picture.format.name.startswith("yuvj")
        return np.asarray(cv2.transform(merged, _decoding(matrix, is_full)), np.uint8)

    def _to_full(self, name: str, plane: Pixels, height: int, width: int) -> Pixels:
        rows, columns = plane.shape
        if (rows, columns) == (height, width):
            return plane
        down, across = -(-height // rows), -(-width // columns)
        room = self._room(name, (rows * down, columns * across))
        size = (columns * across, rows * down)
        return np.asarray(cv2.resize(plane, size, dst=room, interpolation=cv2.INTER_LINEAR))[:height, :width]

    def _room(self, name: str, shape: tuple[int, ...]) -> Pixels:
        if name not in self._full or self._full[name].shape != shape:
            self._full[name] = np.empty(shape, np.uint8)
        return self._full[name]


def from_rgb(pixels: Pixels) -> VideoFrame:
    """Convert RGB ``uint8 [H, W, 3]`` with even sides to yuv420p, BT.709, limited range."""
    height, width = pixels.shape[:2]
    luma = cv2.transform(pixels, _encoding())[..., 0]
    # Colours are averaged before they are rounded: rounding twice would shift them.
    halved = cv2.resize(pixels, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    colours = cv2.transform(halved, _encoding())
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, samples in zip(frame.planes, (luma, colours[..., 1], colours[..., 2]), strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        rows[:, : plane.width] = samples
    frame.colorspace, frame.color_range = _BT709, ColorRange.MPEG.value
    return frame


def _over_white(layers: NDArray[Any]) -> Pixels:
    layers = layers.astype(np.uint16)
    alpha = layers[..., 3:]
    return np.asarray((layers[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255, np.uint8)


def _samples(plane: VideoPlane) -> Pixels:
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def _matrix_of(picture: VideoFrame) -> int:
    if picture.colorspace != _UNSPECIFIED:
        return int(picture.colorspace)
    return _BT709 if picture.height >= _HIGH_DEFINITION else 5


@cache
def _decoding(matrix: int, full_range: bool) -> NDArray[np.float32]:
    """``[3, 4]``: Y'CbCr codes to R'G'B' codes."""
    red, blue = _LUMA[matrix]
    green = 1 - red - blue
    luma, chroma, foot = (1.0, 1.0, 0.0) if full_range else (255 / 219, 255 / 224, 16.0)
    of_red, of_blue = 2 * (1 - red) * chroma, 2 * (1 - blue) * chroma
    turn = np.array(
        [[luma, 0, of_red], [luma, -of_blue * blue / green, -of_red * red / green], [luma, of_blue, 0]], np.float64
    )
    return np.hstack([turn, -turn @ np.array([[foot], [128], [128]])]).astype(np.float32)


@cache
def _encoding() -> NDArray[np.float32]:
    """``[3, 4]``: R'G'B' codes to Y'CbCr codes of BT.709, limited range."""
    back = np.linalg.inv(_decoding(_BT709, False)[:, :3].astype(np.float64))
    return np.hstack([back, np.array([[16], [128], [128]])]).astype(np.float32)

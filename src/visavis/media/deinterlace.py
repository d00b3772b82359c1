"""Pictures of two moments, line by line (interlaced), become pictures of one."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
import av.error
import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from numpy.typing import NDArray

#: Pictures that are looked at for combs when none is marked: all of the first, then here and there.
_LOOK_AT_ALL, _LOOK_AT_SOME, _EVERY = 12, 600, 12
#: Columns of a picture that are looked at: it costs little, and what moves is wider than the gaps.
_COLUMNS = 64
_STEP = 12
_LEAST_COMBED, _MORE_THAN_ELSEWHERE = 0.004, 4


class Deinterlacer:
    """Passes pictures on; those that are interlaced go through FFmpeg's yadif, one picture out for each one in.

    Interlaced is what is marked as such, or what shows combs where something moves. As yadif looks at neighbours, all
    that follows the first interlaced picture goes through it, too; what is neither marked nor combed stays as it is.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._shape: tuple[object, ...] = ()
        self._looked = 0
        self._before: NDArray[np.int16] | None = None
        self._first: VideoFrame | None = None
        self._unmarked = False  # whether combs were seen without a mark

    def push(self, picture: VideoFrame) -> Iterator[VideoFrame]:
        """Take the next picture; yield those that are done."""
        if self._graph is None and not (picture.interlaced_frame or self._is_combed(picture)):
            yield from self._passed(picture)
            return
        first, self._first = self._first, None
        if first is not None:
            yield from self._through(first)
        yield from self._through(picture)

    def _passed(self, picture: VideoFrame) -> Iterator[VideoFrame]:
        """Pass on what is not interlaced; whether the first one is, only the second one tells."""
        if self._looked == 1:
            self._first = picture
            return
        first, self._first = self._first, None
        if first is not None:
            yield first
        yield picture

    def _through(self, picture: VideoFrame) -> Iterator[VideoFrame]:
        shape = (picture.width, picture.height, picture.format.name, picture.time_base)
        if self._graph is None or shape != self._shape:
            yield from self.finish()
            self._graph, self._shape = self._made(picture), shape
        self._graph.push(picture)
        yield from self._done()

    def finish(self) -> Iterator[VideoFrame]:
        """Yield what waits for a neighbour."""
        first, self._first = self._first, None
        if first is not None:
            yield first
        if self._graph is not None:
            self._graph.push(None)
            yield from self._done()
            self._graph = None

    def _made(self, picture: VideoFrame) -> Graph:
        graph = Graph()
        base = picture.time_base or Fraction(1, 1000)
        source = graph.add_buffer(width=picture.width, height=picture.height, format=picture.format, time_base=base)
        which = "all" if self._unmarked else "interlaced"
        yadif = graph.add("yadif", f"mode=send_frame:parity=auto:deint={which}")
        sink = graph.add("buffersink")
        source.link_to(yadif)
        yadif.link_to(sink)
        graph.configure()
        return graph

    def _done(self) -> Iterator[VideoFrame]:
        assert self._graph is not None
        while True:
            try:
                picture = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            if isinstance(picture, VideoFrame):
                yield picture

    def _is_combed(self, picture: VideoFrame) -> bool:
        self._looked += 1
        due = self._looked <= _LOOK_AT_ALL or (self._looked <= _LOOK_AT_SOME and self._looked % _EVERY == 0)
        if not due or not picture.format.name.startswith(("yuv4", "yuvj4", "gray", "nv12")):
            return False
        plane = picture.planes[0]
        if picture.format.components[0].bits != 8:
            return False
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        luma = rows[: plane.height, : plane.width : max(1, plane.width // _COLUMNS)].astype(np.int16)
        before, self._before = self._before, luma
        self._unmarked = before is not None and before.shape == luma.shape and combed(before, luma)
        return self._unmarked


def combed(before: NDArray[np.int16], luma: NDArray[np.int16]) -> bool:
    """Whether a picture shows combs where it moved: lines unlike both neighbours that are like the lines beyond.

    Args:
        before: luma of the picture before ``int16 [H, W]``.
        luma: of the picture.
    """
    if len(luma) < 9:
        return False
    moved = np.abs(luma - before)[2:-2] > _STEP
    here = luma[2:-2]

    def stands_out(above: NDArray[np.int16], below: NDArray[np.int16]) -> NDArray[np.bool_]:
        up, down = above - here, below - here
        return np.asarray(((up > _STEP) & (down > _STEP)) | ((up < -_STEP) & (down < -_STEP)))

    near = stands_out(luma[1:-3], luma[3:-1]) & moved
    far = stands_out(luma[:-4], luma[4:]) & moved
    return bool(near.mean() > _LEAST_COMBED and near.sum() > _MORE_THAN_ELSEWHERE * far.sum())

"""The mesh of a face of which it is known about where it is: MediaPipe's mesh network, without a detector before it.

What the network says depends on how the face lies in its square. MediaPipe cuts one square around what its detector
finds, and a wider one, higher up, around the points of the frame before; so a mesh that is followed lies elsewhere
than one that is found, by up to a pixel of 256. Here the square is always like the detector's, put about the face's own
points: a face has one mesh, however it was come by.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.face.graph import FaceGraph
from visavis.face.types import Face
from visavis.media.frame import Pixels

#: Side of the square, and how far towards the chin it lies, in sides of the points' box: means over the squares of
#: MediaPipe's detector, of 20 people and 5 drawn ones.
_SIDE, _DOWN = 1.37, 0.057
_EYES = (33, 263)  # outer corners
#: From so far off on, in sides of the square, the mesh is found anew in the square that it gives itself.
_OFF, _TURNED, _GROWN = 0.04, math.radians(8), 1.08
_PASSES = 2
_INPUT = 192  # the network's own
_LEAST_SIDE = 8  # of a picture, in pixels
_GRAPH = """
input_stream: "image"
input_stream: "region"
output_stream: "landmarks"
input_side_packet: "with_attention"
num_threads: 1
node {
  calculator: "FaceLandmarkCpu"
  input_stream: "IMAGE:image"
  input_stream: "ROI:region"
  input_side_packet: "WITH_ATTENTION:with_attention"
  output_stream: "LANDMARKS:landmarks"
}
"""


@dataclass(frozen=True)
class Region:
    """A square around a face, turned with it.

    Attributes:
        x, y: of its middle, in pixels.
        side: in pixels.
        turn: in radians, clockwise as seen.
    """

    x: float
    y: float
    side: float
    turn: float

    @staticmethod
    def of(face: Face) -> Region:
        """The square in which the mesh of a face is found."""
        left, top, right, bottom = face.box
        across = face.mesh[_EYES[1], :2] - face.mesh[_EYES[0], :2]
        turn = math.atan2(float(across[1]), float(across[0]))
        down = _DOWN * face.side
        x, y = (left + right) / 2 - down * math.sin(turn), (top + bottom) / 2 + down * math.cos(turn)
        return Region(x, y, max(_SIDE * face.side, 1.0), turn)

    def is_near(self, other: Region) -> bool:
        """Whether another one shows the face as this one does."""
        turned = abs((self.turn - other.turn + math.pi) % (2 * math.pi) - math.pi)
        grown = max(self.side / other.side, other.side / self.side)
        way = math.dist((self.x, self.y), (other.x, other.y)) / self.side
        return way < _OFF and turned < _TURNED and grown < _GROWN

    def cut(self, pixels: Pixels) -> tuple[Pixels, int, int]:
        """The part of a frame that it covers, as a view, and where that begins: left, top."""
        reach = 0.5 * self.side * (abs(math.cos(self.turn)) + abs(math.sin(self.turn))) + 2
        height, width = pixels.shape[:2]
        left, top = max(math.floor(self.x - reach), 0), max(math.floor(self.y - reach), 0)
        right, bottom = min(math.ceil(self.x + reach), width), min(math.ceil(self.y + reach), height)
        return pixels[top : max(bottom, top), left : max(right, left)], left, top


class RegionMesher(FaceGraph):
    """Finds the points of one face where it is expected; keeps its graph between pictures."""

    def _new_graph(self) -> _RegionGraph:
        return _RegionGraph()

    def face(self, pixels: Pixels, near: Face) -> Face | None:
        """The face in ``uint8 [H, W, 3]`` that is about where ``near`` is, in pixels; None where none is seen.

        The square follows from the face that is found in it, once more if that lies elsewhere than ``near``.
        """
        region, found = Region.of(near), None
        for _ in range(_PASSES):
            again = self._look(pixels, region)
            if again is None:
                break
            found, before, region = again, region, Region.of(again)
            if region.is_near(before):
                break
        return found

    def _look(self, pixels: Pixels, region: Region) -> Face | None:
        part, left, top = region.cut(pixels)
        height, width = part.shape[:2]
        if min(height, width) < _LEAST_SIDE:
            return None
        scale = 2 * _INPUT / region.side
        if scale < 1:
            # Averaged first: the network's own bilinear shrinking would skip pixels.
            part = np.asarray(cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        x, y = (region.x - left) / width, (region.y - top) / height
        points = self._process(part, x, y, region.side / width, region.side / height, region.turn)
        if points is None:
            return None
        size, corner = np.array([width, height, width], np.float32), np.array([left, top, 0], np.float32)
        return Face((points * size + corner).astype(np.float32))


class _RegionGraph:
    """MediaPipe's graph around its mesh network, which takes a picture and a rectangle."""

    def __init__(self) -> None:
        import mediapipe
        from mediapipe.framework.formats.rect_pb2 import NormalizedRect
        from mediapipe.python import packet_creator, packet_getter
        from mediapipe.python._framework_bindings import calculator_graph, image_frame, resource_util

        # Where its networks lie; for all its graphs, as its own solutions set it.
        resource_util.set_resource_dir(str(Path(mediapipe.__file__).parents[1]))
        self._make, self._read, self._rectangle = packet_creator, packet_getter, NormalizedRect
        self._rgb = image_frame.ImageFormat.SRGB
        self._found: list[Any] = []
        found = self._found  # a graph that kept what keeps it would never be freed
        self._graph = calculator_graph.CalculatorGraph(graph_config=_GRAPH)
        self._graph.observe_output_stream("landmarks", lambda _, packet: found.append(packet))
        self._graph.start_run({"with_attention": packet_creator.create_bool(True)})
        self._time = 0

    def process(
        self, pixels: Pixels, x: float, y: float, width: float, height: float, turn: float
    ) -> NDArray[np.float32] | None:
        """The points ``float32 [478, 3]`` in shares of the picture's width and height, or None."""
        self._time += 1
        self._found.clear()
        picture = self._make.create_image_frame(image_format=self._rgb, data=pixels)
        region = self._rectangle(x_center=x, y_center=y, width=width, height=height, rotation=turn)
        self._graph.add_packet_to_input_stream("image", picture.at(self._time))
        self._graph.add_packet_to_input_stream("region", self._make.create_proto(region).at(self._time))
        self._graph.wait_until_idle()
        if not self._found:
            return None
        return np.array([(p.x, p.y, p.z) for p in self._read.get_proto(self._found[0]).landmark], np.float32)

    def close(self) -> None:
        """Free the graph."""
        self._graph.close_all_packet_sources()
        self._graph.wait_until_done()

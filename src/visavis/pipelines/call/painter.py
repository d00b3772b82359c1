"""Pictures out of pivots and motion vectors: what both ends of a call do alike."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from visavis.codec.bases import Ints
from visavis.codec.bitstream import Mode
from visavis.codec.motion_coder import to_units
from visavis.codec.pivots import nearest_reference
from visavis.codec.stills import decode_still, still_size
from visavis.codec.transform import MotionTable
from visavis.core.allocator import trim_memory
from visavis.core.closing import Closing
from visavis.core.errors import CodecError, FaceError
from visavis.face.align import whole
from visavis.face.types import Observation
from visavis.generators.base import Generator, Person
from visavis.media.frame import Frame, Pixels
from visavis.motion.layout import Motion
from visavis.nn.graph import Step
from visavis.pipelines.analyse import Analyser
from visavis.pipelines.render import Cue, prepared

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Likeness:
    """A pivot that is ready to be moved.

    Attributes:
        picture: as a receiver decodes it, ``uint8 [S, S, 3]``.
        person: what the generator prepared of it.
        motion: its own, as a receiver sees it.
        reference: its components as the stream tells them, in units ``int64 [R]``.
        coded: the still's bytes.
    """

    picture: Pixels
    person: Person
    motion: Motion
    reference: Ints
    coded: bytes


class Painter(Closing):
    """Prepares pivots, and paints them moved.

    Args:
        generator: of the call's weights.
        table: of motion vectors.
        mode: what the call's values are.
        lean: steps of the generator that go on between pivots: what only others need is freed after each pivot, and
            made again for the next in some tenths of a second, which files can wait for. None keeps all.
    """

    def __init__(
        self, generator: Generator, table: MotionTable, mode: Mode, lean: Collection[Step] | None = None
    ) -> None:
        self._generator, self._table, self._mode, self._lean = generator, table, mode, lean
        self._analyser = Analyser(generator.needs, video=False)

    def close(self) -> None:
        """Free what the analysis of pivots holds."""
        self._analyser.close()

    def prepare(self, coded: bytes, reference: Ints | None = None) -> Likeness:
        """Decode a still and prepare it.

        Args:
            coded: bytes of the still.
            reference: what the stream says of its motion; None to take what is seen in it.

        Raises:
            CodecError: it is damaged, has another size than the generator's, or its reference another length.
            FaceError: no face is found in it.
        """
        size = self._generator.size
        height, width = still_size(coded)
        if (height, width) != (size, size):
            raise CodecError(f"damaged pivot: {width}x{height} where {size}x{size} is needed")
        if self._lean is not None and Step.ANALYSE in self._lean:
            # Beside the sender's own analysis there is no room for what renders.
            self._generator.keep_for({Step.ANALYSE, Step.PREPARE})
        picture = decode_still(coded)
        if picture.shape != (size, size, 3):
            raise CodecError("damaged pivot: its picture has another size than its header")
        seen = self._seen(Frame(picture, Fraction(0)))
        motion = self._generator.analyse(seen)
        if reference is None:
            reference = nearest_reference(to_units(self._table.analyse(motion.vector)))
        if len(reference) != self._table.components:
            raise CodecError(f"damaged pivot: {len(reference)} components; {self._table.components} are needed")
        person = prepared(self._generator, [seen])
        if self._lean is not None:
            self._generator.keep_for(self._lean)
            trim_memory()
        return Likeness(picture, person, motion, reference, coded)

    def _seen(self, frame: Frame) -> Observation:
        size = self._generator.size
        try:
            face = self._analyser.find(frame)
            if face is None:
                raise FaceError("no face was found in a pivot")
            return self._analyser.observe(frame, face, whole(size, size), size)
        finally:
            if self._lean is not None:
                self._analyser.close()  # it opens what it needs

    def motions(self, values: Array, likeness: Likeness) -> list[Motion]:
        """Motions of what a stream says of them."""
        pivot = likeness.motion.vector
        rebuild = self._table.rebuild_from_points if self._mode is Mode.PAPER80 else self._table.rebuild
        return [Motion(vector, likeness.motion.layout) for vector in rebuild(values, pivot)]

    def paint(self, likeness: Likeness, cue: Cue) -> Pixels:
        """One picture of a pivot."""
        return likeness.person.render(*cue)

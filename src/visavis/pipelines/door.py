"""The front door for frames: reenactment with nothing but a source and frames, and sensible choices for all else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path

from visavis.audio.window import SoundWindow
from visavis.core.errors import FaceError
from visavis.face.align import Crop, crop_for, whole
from visavis.media.frame import Frame, Pixels
from visavis.media.reader import SoundReader, VideoReader
from visavis.motion.amounts import Amounts, Edits
from visavis.motion.kind import Mode
from visavis.nn.engine import Engine
from visavis.nn.graph import Step
from visavis.pipelines import reenact
from visavis.pipelines.analyse import Analyser, Seen
from visavis.pipelines.edit import Editor
from visavis.pipelines.load import load_generator
from visavis.pipelines.look_ahead import find_source, observe_sources
from visavis.pipelines.reenact import Tally
from visavis.pipelines.render import Portrait, SoundAt
from visavis.weights.store import DEFAULT_MODEL

#: Frames at the start of a stream among which the first face is looked for, to cut around.
_PATIENCE = 50


def read_frames(path: Path | str) -> Iterator[Frame]:
    """Frames of a video, one after the other, upright and with exact times."""
    with VideoReader(Path(path)) as reader:
        yield from reader


class Reenactor:
    """Animates one person by streams of driving frames.

    Args:
        source: a frame that shows the person's face, or the path of a picture or a video; of a video, the frame among
            its first ten seconds that can be animated best.
        model: name or path of weights.
        motion: ``relative`` adds the driver's movement since the first face of a stream to the person's own pose;
            ``absolute`` takes the driver's pose and face shape as they are.
        crop: True cuts to the face, False never, None where the picture is no such crop already. Of source and driver.
        face: which face of both, 0 for the largest.
        amounts: how much of the driver's movement counts, as ``head=0.7,lips=1.2``; regions are those of
            :class:`visavis.motion.amounts.Amounts`.
        edits: changes by hand of every frame, as ``yaw=+10,smile=0.5``; see :class:`visavis.motion.amounts.Edits`.
        engine: where and how to compute; None chooses for this machine.

    Raises:
        VisavisError: no face in the source, or weights or files that cannot be used.
    """

    def __init__(
        self,
        source: Frame | Path | str,
        *,
        model: str = DEFAULT_MODEL,
        motion: str = "relative",
        crop: bool | None = None,
        face: int = 0,
        amounts: str = "",
        edits: str = "",
        engine: Engine | None = None,
    ) -> None:
        self._amounts, self._edits = Amounts.parse(amounts), Edits.parse(edits)
        self._mode, self._crop, self._face = Mode(motion), crop, face
        self._generator = load_generator(model, engine)
        most = self._generator.references.most
        seen = [seen_in(source, face)] if isinstance(source, Frame) else find_source(Path(source), face, most)
        _, (self._source, *self._others) = observe_sources(seen, self._generator, crop)
        self._editor: Editor | None = None
        self.tally = Tally()

    @property
    def size(self) -> int:
        """Side of the square pictures that come out."""
        return self._generator.size

    def stream(self, driving: Iterable[Frame] | Path | str, sound: Path | str | None = None) -> Iterator[Frame]:
        """Yield one frame per driving frame, at the driving frame's time, as it is asked for.

        Memory does not grow with the stream. A frame without a face holds the last motion; :attr:`tally` counts these.
        Where a stream begins without a face, up to 50 frames are looked at before the first one comes out.

        Args:
            driving: frames whose times increase, or the path of a video.
            sound: file whose sound belongs to the frames, from time 0 on; a driving video's own where there is one.

        Raises:
            VisavisError: no frame shows a face, or a file cannot be used.
        """
        if isinstance(driving, (Path, str)):
            sound, driving = sound or driving, read_frames(driving)
        person = reenact.Reenactor(
            self._generator,
            self._source,
            portrait=Portrait(self._generator, [self._source, *self._others]),
            mode=self._mode,
            amounts=self._amounts,
            edits=self._edits,
        )
        self.tally = person.tally
        self._generator.keep_for({Step.ANALYSE, Step.RENDER})
        with ExitStack() as stack:
            analyser = stack.enter_context(Analyser(self._generator.needs_of_driver, face=self._face))
            sound_at: SoundAt | None = None
            hears = self._generator.hears
            if sound is not None and hears is not None:
                reader = stack.enter_context(SoundReader(Path(sound), hears.rate_hz))
                sound_at = SoundWindow(reader, hears).at if reader.has_sound else None
            crop, frames = self._cut_around(iter(driving))
            yield from person.stream(frames, analyser, crop, sound_at)

    def edited(self, edits: str) -> Pixels:
        """The person's own picture, changed by hand: ``uint8 [S, S, 3]``.

        Args:
            edits: as ``yaw=+15,mouth=0.4``; see :class:`visavis.motion.amounts.Edits`. No stream's count.

        Raises:
            VisavisError: unknown edits, out of range, or of parts that the model's motion does not have.
        """
        told = Edits.parse(edits)
        if self._editor is None:
            self._editor = Editor(self._generator, [self._source, *self._others])
        return self._editor.picture(told)

    def _cut_around(self, frames: Iterator[Frame]) -> tuple[Crop, Iterator[Frame]]:
        """Where to cut a stream, and the stream as it was."""
        looked_at: list[Frame] = []
        with Analyser((), face=self._face, video=False) as analyser:
            for frame in islice(frames, _PATIENCE):
                looked_at.append(frame)
                face = analyser.find(frame)
                if face is not None:
                    crop = crop_for([face], *frame.pixels.shape[:2], crop=self._crop)
                    return crop, chain(looked_at, frames)
        if not looked_at:
            raise FaceError("the driving stream has no frames")
        # The face may come later; the stream says so if none ever comes.
        return whole(*looked_at[0].pixels.shape[:2]), chain(looked_at, frames)


def seen_in(source: Frame, which: int) -> Seen:
    """The face of a frame that is a source; raises :class:`FaceError` where there is none."""
    with Analyser((), face=which, video=False) as analyser:
        face = analyser.find(source)
    if face is None:
        raise FaceError(f"the source frame shows no face{f' number {which}; 0 is the largest' if which else ''}")
    return Seen(source, face)

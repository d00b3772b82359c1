"""Looking through a video for its face before it is used."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from visavis.core.errors import FaceError, MediaError
from visavis.media.reader import VideoReader
from visavis.media.still import is_picture
from visavis.media.twice import TwiceReader
from visavis.pipelines.analyse import Analyser, Seen

_LOOK_AHEAD_S = 10
_LOOK_EVERY = 5
_LATE_EVERY_S = Fraction(1)


def seen_ahead(
    reader: VideoReader | TwiceReader, analyser: Analyser, *, which: int = 0, every: int = _LOOK_EVERY
) -> Iterator[Seen]:
    """Yield frames of a video that show the face, from the first one on: ten seconds, and no further than a cut.

    What comes before the face may be long: after ten seconds without one, a frame a second is looked at, to the end.

    Args:
        reader: of the video, at its beginning; of one that is read twice, what is read ahead.
        analyser: that follows the face; made for this alone.
        which: the face that the analyser looks for, for messages.
        every: look at every so many frames.

    Raises:
        FaceError: at the end, where no frame showed a face.
    """
    begin: Fraction | None = None
    last: Fraction | None = None
    found = False
    frames = reader.ahead() if isinstance(reader, TwiceReader) else reader
    for number, frame in enumerate(frames):
        begin = frame.time if begin is None else begin
        late = frame.time - begin > _LOOK_AHEAD_S
        if late and found:
            return
        if number % every or (late and last is not None and frame.time - last < _LATE_EVERY_S):
            continue
        last = frame.time
        face = analyser.find(frame)
        if face is None:
            continue
        if analyser.jumps:
            return
        if not found:
            found, begin = True, frame.time
        yield Seen(frame, face)
    if not found:
        raise FaceError(no_face(reader.path, f"in any frame ({reader.info.width}x{reader.info.height})", which))


def no_face(path: Path, where: str, which: int) -> str:
    """The message for a face that is not found.

    Args:
        path: of the picture or video.
        where: in it, as "in the source picture (640x480)".
        which: face that was asked for.
    """
    if which:
        return f"{path}: face number {which} was not found {where}; 0 is the largest"
    return f"{path}: no face was found {where}; if there is one, crop to the face"


def check_moving(path: Path) -> None:
    """Refuse a still picture where a video is needed.

    Raises:
        MediaError: it is a picture.
    """
    if is_picture(path):
        raise MediaError(f"{path}: is a still picture and holds no motion to drive with; give a video")

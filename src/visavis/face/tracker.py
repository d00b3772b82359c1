"""One face through time: which of the faces in view is the followed one, and where to look for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from visavis.core.closing import Closing
from visavis.core.errors import FaceError
from visavis.face.landmarks import MOST_FACES, FaceMesher
from visavis.face.looks import ALIKE, Looks, looks_of, unlikeness
from visavis.face.region import RegionMesher
from visavis.face.search import FaceSearch, Square
from visavis.face.types import Face
from visavis.media.frame import Pixels

# Distances are in sides of the followed face.
_REACH = 2.0  # within which a face is the same one, and not another person's
_ELSEWHERE = 0.8  # from which on it did not move there, but was cut there
_SIZE_REACH, _SIZE_CUT = 2.2, 1.4  # the same as factors of size
# Frames for which a lost face is waited for, before another one is followed.
_WAIT_FOR_ONE = 12  # that is alone in view, and was, but looks different
_WAIT_FOR_ANOTHER = 25  # when there are several, or that stood beside the followed one
# Another picture, not another place in it: samples a side, and how many of them change how much (of 255).
_SAMPLES, _CHANGE, _CHANGED_SHARE = 24, 24, 0.5
_EAGER, _SEARCH_EVERY = 3, 5
_LOOKS_EVERY, _LOOKS_SHARE, _ADOPTED_AFTER = 10, 0.1, 75
_AROUND = 2.5  # side of the square in which a small face is looked for, in sides of the face
_LARGE = 0.4  # share of the frame's shorter side from which on a face is large, however it was found
_AGREED = 0.1  # of a face's side: mean distance of the points of two looks at a small face
# Share of the frame's longer side below which a detector says only roughly where a face is: it is looked at from near.
_SMALL = 0.2


@dataclass(frozen=True)
class _Sight:
    """A face that is in view.

    Attributes:
        face: where.
        close: whether it was seen only by looking closer.
        wide: whether all faces in view were looked for.
        exact: whether its mesh is of its own region, not of what a detector found.
    """

    face: Face
    close: bool
    wide: bool
    exact: bool = False


class FaceTracker(Closing):
    """Finds one face in each frame and stays with it.

    The face is chosen in the first frame that shows one: the largest, or the ``which``-th largest. From then on
    the face nearest to the last known place is followed; among several, one that looks like it goes before one that
    does not. With a single face in view it is looked for where it was, which saves a detector run on every frame.
    Faces that are too small for a look at the whole frame are searched for in squares. However a face was come by,
    its mesh is that of the region that it gives itself (:mod:`visavis.face.region`).

    A face that is lost is looked for everywhere. What looks like it is taken up at once, wherever it is (a cut, a
    person who comes back elsewhere); another face only after a moment, so that nobody takes over while the followed one
    is turned away.

    Args:
        which: 0 for the largest face, 1 for the next, at most 3; None for the one nearest to the frame's middle.
        video: True follows a face through consecutive frames; False treats each picture alone.

    Attributes:
        jumps: how often the face was found where it cannot have moved to: cuts. What is smoothed over time begins anew.
    """

    def __init__(self, which: int | None = 0, *, video: bool = True) -> None:
        if which is not None and not 0 <= which < MOST_FACES:
            raise FaceError(f"face {which} was asked for; choose 0 (the largest) to {MOST_FACES - 1}")
        self._which, self._video = which, video
        self._all, self._still = FaceMesher(MOST_FACES, video=video), FaceMesher(1, video=False)
        self._mesher, self._search = RegionMesher(), FaceSearch()
        self._last: Face | None = None
        self._looks: Looks | None = None
        self._others: list[Face] = []
        self._small = self._alone = self._cut = False
        self._shot: Pixels | None = None  # samples of the frame in which the face was found last
        self._missed = self._found = 0
        self._looked = False
        self._since: int | None = None  # the find from which on the followed face has looked different
        self.jumps = 0

    def close(self) -> None:
        """Free MediaPipe's graphs."""
        for part in (self._all, self._still, self._mesher, self._search):
            part.close()

    def find(self, pixels: Pixels) -> Face | None:
        """Return the followed face in one RGB frame ``uint8 [H, W, 3]``, or None when it is not seen."""
        self._looked = False
        try:
            return self._find(pixels)
        finally:
            if not self._looked:
                # 25 MB that a face which is followed alone does without; they come back in 30 ms.
                self._all.close()

    def _find(self, pixels: Pixels) -> Face | None:
        shot = _samples(pixels)
        self._cut = self._shot is not None and _changed(self._shot, shot)
        seen: list[_Sight] = []
        for sights in self._ways(pixels, seen):
            seen += [sight for sight in sights if not any(_same(sight.face, other.face) for other in seen)]
            sight = self._followed(seen, pixels)
            if sight is not None:
                break
        else:
            sight = self._anew(seen, pixels)
        if sight is None:
            self._missed += 1
            return None
        self._shot = shot
        return self._take(sight, seen, pixels)

    def begin_anew(self) -> None:
        """Forget the followed face: the next frame is as the first."""
        self._last, self._looks, self._since, self._shot = None, None, None, None
        self._others, self._small, self._alone, self._missed = [], False, False, 0

    def _ways(self, pixels: Pixels, seen: list[_Sight]) -> Iterator[list[_Sight]]:
        """Yield what is seen by each way of looking, the cheapest first."""
        small = self._small and not self._cut
        alone = self._alone and self._since is None and not self._cut
        if self._video and self._last is not None and (small or alone):
            faces = self._where_it_was(self._last, pixels)
            close = [_Sight(face, small, False, True) for face in faces]
            if close and self._since is not None:
                close += self._everywhere(pixels)
                if self._found % _LOOKS_EVERY == 1:
                    close += self._smaller(pixels, close)
            yield close
        yield self._everywhere(pixels)
        if not self._video or self._missed < _EAGER or self._missed % _SEARCH_EVERY == 0:
            yield list(self._smaller(pixels, seen))

    def _everywhere(self, pixels: Pixels) -> list[_Sight]:
        """All faces that a look at the whole frame shows."""
        self._looked = True
        return [_Sight(face, False, True) for face in self._all.faces(pixels)]

    def _where_it_was(self, last: Face, pixels: Pixels) -> list[Face]:
        """The face about its last place: in its region, or, if it is small, in a square around that."""
        face = self._mesher.face(pixels, last)
        if face is None and self._small:
            again = self._again(last, pixels)
            face = again and (self._mesher.face(pixels, again) or again)
        return [] if face is None else [face]

    def _smaller(self, pixels: Pixels, seen: list[_Sight]) -> Iterator[_Sight]:
        """Yield the faces that only a search in squares shows."""
        wanted = 1 + (self._which or 0)
        for place in self._search.places(pixels, wanted)[:MOST_FACES]:
            if any(_covers(place, sight.face) for sight in seen):
                continue
            around = Square.around(*place.middle, _AROUND * place.side)
            for face in self._still.faces(around.cut(pixels)):
                # What only resembles a face looks like another one, or like none, from a little aside.
                again = self._again(around.out_of(face), pixels)
                if again is not None and _apart(again, around.out_of(face)) < _AGREED:
                    yield _Sight(again, True, True)

    def _followed(self, seen: list[_Sight], pixels: Pixels) -> _Sight | None:
        """The one to follow that is where it is expected, if it is in view."""
        if self._last is None or not self._video:
            return self._ranked(seen, pixels)
        last = self._last
        near = [sight for sight in seen if _way(last, sight.face) < _REACH and _factor(last, sight.face) < _SIZE_REACH]
        if not near:
            return None
        best = min(near, key=lambda sight: _way(last, sight.face))
        if len(seen) > 1 and self._unlikeness(best, pixels) > ALIKE:
            # People who changed places in a cut.
            alike = min(seen, key=lambda sight: self._unlikeness(sight, pixels))
            return alike if self._unlikeness(alike, pixels) < ALIKE else best
        return best

    def _ranked(self, seen: list[_Sight], pixels: Pixels) -> _Sight | None:
        if self._which is None:
            height, width = pixels.shape[:2]
            off = [math.dist(sight.face.middle, (width / 2, height / 2)) for sight in seen]
            return seen[int(np.argmin(off))] if seen else None
        by_size = sorted(seen, key=lambda sight: sight.face.side, reverse=True)
        return by_size[self._which] if self._which < len(seen) else None

    def _anew(self, seen: list[_Sight], pixels: Pixels) -> _Sight | None:
        """The one to follow from now on, of the faces in view that are not where the followed one was."""
        if not seen or not self._video or self._last is None:
            return None
        best = min(seen, key=lambda sight: self._unlikeness(sight, pixels))
        beside = any(_way(other, best.face) < 1 for other in self._others)
        if self._unlikeness(best, pixels) < ALIKE and not beside:
            return best
        if self._cut:
            return self._ranked(seen, pixels) or best
        sole = len(seen) == 1 and not self._others
        return best if self._missed >= (_WAIT_FOR_ONE if sole else _WAIT_FOR_ANOTHER) else None

    def _unlikeness(self, sight: _Sight, pixels: Pixels) -> float:
        return 0.0 if self._looks is None else unlikeness(self._looks, looks_of(pixels, sight.face))

    def _take(self, sight: _Sight, seen: list[_Sight], pixels: Pixels) -> Face:
        face, last = sight.face, self._last
        jumped = last is not None and (_way(last, face) > _ELSEWHERE or _factor(last, face) > _SIZE_CUT)
        if self._video:
            self.jumps += jumped
            if jumped or self._cut or len(seen) > 1 or self._found % _LOOKS_EVERY == 0:
                self._compare(sight, pixels)
            small = sight.close or face.side < _SMALL * max(pixels.shape[:2])
            self._small = small and face.side <= _LARGE * min(pixels.shape[:2])
        if (not self._video or last is None) and not sight.close and face.side < _SMALL * max(pixels.shape[:2]):
            again = self._again(face, pixels)
            face = again if again is not None and _same(face, again) else face
        if not sight.exact:
            own = self._mesher.face(pixels, face)
            face = own if own is not None and _same(face, own) else face
        if sight.wide:
            self._others = [other.face for other in seen if other is not sight]
            self._alone = not self._others and not self._which and self._since is None
        self._last, self._missed, self._found = face, 0, self._found + 1
        return face

    def _compare(self, sight: _Sight, pixels: Pixels) -> None:
        """Keep in mind how the followed face looks; another's looks are taken over only when it is there to stay."""
        looks = looks_of(pixels, sight.face)
        if self._looks is None or unlikeness(self._looks, looks) < ALIKE:
            old = looks if self._looks is None else self._looks
            self._looks, self._since = (1 - _LOOKS_SHARE) * old + _LOOKS_SHARE * looks, None
        elif self._since is None:
            self._since = self._found
        elif self._found - self._since > _ADOPTED_AFTER:
            self._looks, self._since = looks, None

    def _again(self, face: Face, pixels: Pixels) -> Face | None:
        """The face as it is seen from near."""
        around = Square.around(*face.middle, _AROUND * face.side)
        return next((around.out_of(found) for found in self._still.faces(around.cut(pixels))), None)


def _samples(pixels: Pixels) -> Pixels:
    """A few pixels from all over the frame; taking them costs nothing."""
    height, width = pixels.shape[:2]
    rows = (np.arange(_SAMPLES) * height) // _SAMPLES
    return pixels[rows[:, None], (np.arange(_SAMPLES) * width) // _SAMPLES]


def _changed(one: Pixels, other: Pixels) -> bool:
    """Whether two frames are of different shots."""
    change = np.abs(one.astype(np.int16) - other).max(-1) > _CHANGE
    return bool(change.mean() > _CHANGED_SHARE)


def _way(one: Face, other: Face) -> float:
    """How far a face is from another, in sides of the first."""
    return math.dist(one.middle, other.middle) / max(one.side, 1e-6)


def _apart(one: Face, other: Face) -> float:
    """Mean distance of the points of two faces, in sides of the first."""
    return float(np.linalg.norm((one.mesh - other.mesh)[:, :2], axis=1).mean()) / max(one.side, 1e-6)


def _factor(one: Face, other: Face) -> float:
    """How many times larger the larger of two faces is."""
    a, b = max(one.side, 1e-6), max(other.side, 1e-6)
    return max(a / b, b / a)


def _same(one: Face, other: Face) -> bool:
    return _way(one, other) < 0.5 or _way(other, one) < 0.5


def _covers(place: Square, face: Face) -> bool:
    return math.dist(place.middle, face.middle) < 0.5 * max(place.side, face.side)

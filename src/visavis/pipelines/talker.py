"""The front door for speech that comes as it is spoken: sound in, frames out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.audio.ears import as_mono
from visavis.core.errors import MediaError
from visavis.media.frame import Frame, Sound
from visavis.media.still import is_picture
from visavis.motion.amounts import Amounts
from visavis.motion.spoken_face import Sitter
from visavis.nn.engine import Engine
from visavis.pipelines.actor import Beginning
from visavis.pipelines.door import seen_in
from visavis.pipelines.load import load_generator
from visavis.pipelines.look_ahead import find_source, observe_sources
from visavis.pipelines.speaks import Speaks, check_speaks, load_speaker
from visavis.pipelines.talk import latency_ms
from visavis.pipelines.talking import Performance, TalkingPerson
from visavis.weights.store import TALKING_MODEL


class Talker:
    """One person who says what is pushed in, 25 frames a second; memory does not grow with it.

    Args:
        portrait: a frame that shows the person's face, or the path of a picture or a clip; of a clip, the frame among
            its first ten seconds that can be animated best.
        model: name or path of weights.
        reference: clip whose first three seconds say how the head moves and how wide the mouth opens; a portrait's own
            where it is a clip.
        head: whether the head moves.
        amounts: how much of the movement counts, as ``head=0.7,lips=1.2,blink=1``.
        seed: of blinks, gaze, and the head's rhythm where no clip tells it.
        crop: True cuts to the face, False never, None where the picture is no such crop already.
        face: which face of the portrait, 0 for the largest.
        engine: where and how to compute; None chooses for this machine.
        speaker: another one than the packaged.

    Raises:
        VisavisError: no face in the portrait, or weights or files that cannot be used.
    """

    def __init__(
        self,
        portrait: Frame | Path | str,
        *,
        model: str = TALKING_MODEL,
        reference: Path | str | None = None,
        head: bool = True,
        amounts: str = "",
        seed: int = 0,
        crop: bool | None = None,
        face: int = 0,
        engine: Engine | None = None,
        speaker: Speaks | None = None,
    ) -> None:
        counted = Amounts.parse(amounts)
        generator = load_generator(model, engine)
        check_speaks(generator)
        own: Beginning | None = None
        if isinstance(portrait, Frame):
            seen = [seen_in(portrait, face)]
        else:
            seen = find_source(Path(portrait), face, generator.references.most)
            own = None if is_picture(Path(portrait)) else Beginning(Path(portrait), face)
        speaker = speaker or load_speaker(engine)
        square, observed = observe_sources(seen, generator, crop)
        told = own if reference is None else Beginning(Path(reference))
        rhythm = None if told is None else told.rhythm(speaker)
        sitter = Sitter([square.to_crop(seen[0].face.mesh)], () if own is None else own.meshes)
        performance = Performance(speaker, sitter, rhythm=rhythm, seed=seed, still=not head)
        self._person = TalkingPerson(generator, observed, performance, speaker, counted)
        self._size = generator.size
        self._ended = False

    @property
    def size(self) -> int:
        """Side of the square pictures that come out."""
        return self._size

    @property
    def latency_ms(self) -> float:
        """A frame comes as soon as sound has come up to so many milliseconds after the frame's time."""
        return latency_ms(self._person.latency_s)

    def push(self, sound: Sound | NDArray[Any], rate_hz: int | None = None) -> list[Frame]:
        """Take sound that follows what was pushed before; return the frames that can be made by now.

        Args:
            sound: a :class:`Sound`, whose time may leave a gap after what came before, of at most a minute, which is
                silence; or samples ``[N]`` or ``[N, channels]``, floats in [-1, 1] or integers.
            rate_hz: samples a second, of an array.

        Returns:
            Frames at their exact times, 40 ms apart from 0 on; none are left out.

        Raises:
            MediaError: sound of another form, without a rate, or after the end.
        """
        return list(self._made(sound, rate_hz))

    def finish(self) -> list[Frame]:
        """The sound has ended: return the frames up to its end."""
        self._ended = True
        return list(self._person.finish())

    def stream(self, sound: Iterable[Sound | NDArray[Any]], rate_hz: int | None = None) -> Iterator[Frame]:
        """Yield the frames of all sound that comes, as they are asked for; arguments as for :meth:`push`."""
        for chunk in sound:
            yield from self._made(chunk, rate_hz)
        self._ended = True
        yield from self._person.finish()

    def _made(self, sound: Sound | NDArray[Any], rate_hz: int | None) -> Iterator[Frame]:
        if self._ended:
            raise MediaError("the sound of this talker has ended; make another one")
        if isinstance(sound, Sound):
            samples, rate_hz = as_mono(sound.samples), sound.rate_hz
            yield from self._silence_until(sound.time, rate_hz)
        else:
            samples = as_mono(np.asarray(sound))
        if rate_hz is None:
            raise MediaError("say how many samples a second the sound has: rate_hz")
        yield from self._person.push(samples, rate_hz)

    def _silence_until(self, time: Fraction, rate_hz: int) -> Iterator[Frame]:
        missing = round((time - self._person.seconds) * rate_hz)
        if missing > _LONGEST_GAP_S * rate_hz:
            raise MediaError(f"sound at {float(time):.2f} s after {float(self._person.seconds):.2f} s: too long a gap")
        if missing > 0:
            yield from self._person.push(np.zeros(missing, np.float32), rate_hz)


_LONGEST_GAP_S = 60

"""A still picture edited alone: one picture, a sheet of a sweep, or a video that goes there and back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from visavis.core.errors import ConfigError
from visavis.face.align import Pasting
from visavis.face.types import Observation
from visavis.generators.base import Generator
from visavis.media.contact_sheet import row_of, small
from visavis.media.forms import VIDEO_KINDS
from visavis.media.frame import Frame, Pixels
from visavis.media.output import check_output
from visavis.media.picture_file import PICTURE_KINDS, write_marked_picture
from visavis.media.provenance import marks
from visavis.media.writer import VideoWriter
from visavis.motion import camera
from visavis.motion.amounts import Edits
from visavis.motion.layout import Motion
from visavis.motion.sweep import Sweep
from visavis.nn.engine import Engine
from visavis.pipelines.files import Progress, peak_rss_mb
from visavis.pipelines.load import load_generator
from visavis.pipelines.look_ahead import find_source, observe_sources
from visavis.pipelines.render import Portrait
from visavis.weights.store import DEFAULT_MODEL

_FPS = 25
_MOST_STEPS, _MOST_SECONDS = 25, 60
#: A number, or both ends of a range, by name.
Told = dict[str, float | list[float]]
#: Of an ending that both kinds have, the still picture is meant.
_MOVING = tuple(kind for kind in VIDEO_KINDS if kind not in PICTURE_KINDS)


@dataclass(frozen=True)
class EditOptions:
    """What to change, and how.

    Attributes:
        edits: what to change, as ``yaw=+15,mouth=0.4``; ranges, as ``yaw=-45..45``, become a sheet or a sweep
            (:class:`visavis.motion.sweep.Sweep`).
        model: name or path of weights.
        steps: pictures in the sheet of a sweep, 2 to 25.
        seconds: length of a video, at most 60.
        paste_back: put the result back into the full picture.
        crop: True, False, or None to crop unless the picture is a crop already.
        face: which face, 0 for the largest.
        engine: where and how to compute.
        force: replace an existing result.
    """

    edits: str
    model: str = DEFAULT_MODEL
    steps: int = 7
    seconds: float = 4.0
    paste_back: bool = False
    crop: bool | None = None
    face: int = 0
    engine: Engine = field(default_factory=Engine)
    force: bool = False

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        if not 2 <= self.steps <= _MOST_STEPS:
            raise ConfigError(f"steps={self.steps}: choose 2 to {_MOST_STEPS}")
        if not 0 < self.seconds <= _MOST_SECONDS:
            raise ConfigError(f"seconds={self.seconds:g}: choose more than 0, and at most {_MOST_SECONDS}")


@dataclass(frozen=True)
class EditReport:
    """What was made, and what it cost.

    Attributes:
        frames: pictures that were made; a sheet shows them side by side.
        fps, seconds: of a video; None of a picture.
        width, height: of the result in pixels.
        edits: what was asked for, by name: a number, or both ends of a range.
        turned: degrees by which the head is turned in truth, of those asked for; a picture shows a head only so far.
        model, device, engine, precision: what made it.
        ms_per_frame: mean milliseconds of a picture, writing included.
        peak_rss_mb: the process's peak memory.
    """

    frames: int
    fps: float | None
    seconds: float | None
    width: int
    height: int
    edits: Told
    turned: Told
    model: str
    device: str
    engine: str
    precision: str
    ms_per_frame: dict[str, float]
    peak_rss_mb: float

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


class Editor:
    """A person in a picture, changed by hand.

    Args:
        generator: any generator of the contract.
        references: observations of the person, the source first.
    """

    def __init__(self, generator: Generator, references: Sequence[Observation]) -> None:
        self._kind = generator.kind
        self._own = generator.analyse(references[0])
        self._portrait = Portrait(generator, references)

    def picture(self, edits: Edits) -> Pixels:
        """The person with these edits, ``uint8 [S, S, 3]``: a moment that always was, for generators with a memory.

        Raises:
            ConfigError: edits of parts that the generator's motion does not have.
        """
        self._portrait.hear(None)
        return self._portrait.picture(self._motion(edits), Fraction(0))

    def stream(self, edits: Iterable[tuple[Fraction, Edits]]) -> Iterator[Frame]:
        """Yield a frame for each time and edits, as it is asked for; each follows the one before."""
        self._portrait.hear(None)
        yield from self._portrait.stream((time, self._motion(one)) for time, one in edits)

    def turned(self, edits: Edits) -> dict[str, float]:
        """Degrees by which the head turns with these edits: fewer than asked for beyond the reach of the picture."""
        if not edits.turns:
            return {"yaw": 0.0, "pitch": 0.0, "roll": 0.0}
        own, moved = (motion["camera"].astype(np.float64) for motion in (self._own, self._motion(edits)))
        return camera.turn_between(own, moved)

    def _motion(self, edits: Edits) -> Motion:
        return self._kind.edited(self._own, edits, self._own)


def edit_file(portrait: Path, output: Path, options: EditOptions, progress: Progress | None = None) -> EditReport:
    """Change the face of a picture and write the result.

    Args:
        portrait: picture, or video of which the frame that can be animated best is taken.
        output: a picture (:data:`visavis.media.picture_file.PICTURE_KINDS`), of a sweep a sheet of its steps; or
            a video, of 25 frames a second, that goes to the edits and back.
        options: see :class:`EditOptions`.
        progress: called with pictures done and their total.

    Raises:
        VisavisError: bad input, no face, edits that the model cannot do, weights or output that cannot be used;
            nothing is left at ``output``.
    """
    sweep = Sweep.parse(options.edits)
    check_output(output, [portrait], force=options.force, kinds=(*PICTURE_KINDS, *_MOVING))
    generator = load_generator(options.model, options.engine)
    stills = find_source(portrait, options.face, generator.references.most)
    crop, observed = observe_sources(stills, generator, options.crop)
    editor = Editor(generator, observed)
    full = stills[0].frame.pixels

    pasting = Pasting(crop, full, generator.size) if options.paste_back else None

    def finished(pixels: Pixels) -> Pixels:
        return pixels if pasting is None else pasting.over(pixels).copy()

    began = time.perf_counter()
    write = _write_picture if output.suffix.lower() in PICTURE_KINDS else _write_video
    made = write(editor, sweep, output, options, finished, progress or (lambda done, total: None))
    total_ms = 1000 * (time.perf_counter() - began)
    return EditReport(
        frames=made.frames,
        fps=None if made.seconds is None else float(_FPS),
        seconds=made.seconds,
        width=made.width,
        height=made.height,
        edits=sweep.as_json(),
        turned=_turned(editor, sweep),
        model=options.model,
        device=generator.engine.device,
        engine=generator.engine.name,
        precision=generator.engine.precision,
        ms_per_frame={"total": round(total_ms / made.frames, 2)},
        peak_rss_mb=round(peak_rss_mb(), 1),
    )


def _turned(editor: Editor, edits: Sweep) -> Told:
    first, last = editor.turned(edits.first), editor.turned(edits.last)
    pairs = {name: (round(first[name], 1), round(last[name], 1)) for name in edits.named if name in first}
    return {name: begin if begin == end else [begin, end] for name, (begin, end) in pairs.items()}


@dataclass(frozen=True)
class _Made:
    frames: int
    width: int
    height: int
    seconds: float | None = None


_Finish = Callable[[Pixels], Pixels]


def _write_picture(
    editor: Editor, sweep: Sweep, output: Path, options: EditOptions, finished: _Finish, progress: Progress
) -> _Made:
    if not sweep.moves:
        shown, count = finished(editor.picture(sweep.last)), 1
        progress(1, 1)
    else:
        steps, pictures = sweep.steps(options.steps), []
        count = len(steps)
        for edits in steps:
            pictures.append(small(finished(editor.picture(edits))))
            progress(len(pictures), count)
        shown = row_of(pictures, [sweep.label(edits, editor.turned(edits)) for edits in steps])
    write_marked_picture(output, shown, marks(options.model), replace=options.force)
    return _Made(count, shown.shape[1], shown.shape[0])


def _write_video(
    editor: Editor, sweep: Sweep, output: Path, options: EditOptions, finished: _Finish, progress: Progress
) -> _Made:
    cues = list(sweep.there_and_back(options.seconds, _FPS))
    metadata = marks(options.model)
    height, width = finished(editor.picture(cues[0][1])).shape[:2]
    size = (height, width)
    with VideoWriter(output, size=size, fps=Fraction(_FPS), metadata=metadata, replace=options.force) as writer:
        for number, frame in enumerate(editor.stream(cues), 1):
            writer.write(Frame(finished(frame.pixels), frame.time))
            progress(number, len(cues))
    return _Made(len(cues), writer.width, writer.height, round(float(writer.seconds), 6))

"""Can the words be read from the lips that are rendered? HeadGAN's section 4.5 in small.

python benchmarks/lipreading.py PORTRAIT [PORTRAIT ...] [--model NAME ...] [--known N] [--voices N]

espeak-ng says the words of GRID (Cooke et al. 2006) one by one, in many voices; the packaged speaker makes each word
into meshes of the person in a portrait, and every model renders them. An automatic lip reader compares six distances of
a mouth over time, by dynamic time warping, with those of the meshes of other voices, and takes the nearest word. It
reads the meshes that drive (the row ``driving meshes``, which stands for the paper's real videos) and MediaPipe's
meshes of what was rendered. No lip is a real person's: the table says what of a word's lips a renderer keeps and what
its own hearing adds, and not how well people could read either.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import librosa
import numpy as np
from numpy.typing import NDArray

from visavis.audio.feature import SoundFeature
from visavis.audio.mel import RATE_HZ
from visavis.audio.window import SoundWindow
from visavis.evaluation.models import load_model, parse_models
from visavis.face.mesh import LIPS, MIDDLE_LIP_PAIRS, mean_gap
from visavis.face.tracker import FaceTracker
from visavis.face.types import Face
from visavis.generators.base import Generator
from visavis.media.frame import Sound
from visavis.motion.kind import Mesh, mesh_carrier
from visavis.motion.spoken_face import Sitter
from visavis.nn.engine import Engine
from visavis.pipelines.actor import STEP
from visavis.pipelines.look_ahead import find_source, observe_sources
from visavis.pipelines.render import Portrait
from visavis.pipelines.speaks import Speaks, load_speaker
from visavis.pipelines.talking import Performance
from visavis.training.data.heard import resampled

Track = NDArray[np.float64]

#: GRID's commands, colours, digits and adverbs.
WORDS = (
    *("bin", "lay", "place", "set", "blue", "green", "red", "white", "again", "now", "please", "soon"),
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
)
_VOICES = ("gmw/en-US", "gmw/en", "gmw/en-GB-x-rp", "gmw/en-029", "gmw/en-GB-scotland", "gmw/en-US-nyc")
_VARIANTS = ("m1", "f1", "m3", "f2", "m7", "f4", "Andy", "Annie", "m5", "f5", "Mike", "Alicia", "m2", "f3")
_PAUSE_S = 0.4
#: Lips begin before a word is heard, and rest after it.
_BEFORE, _AFTER = 3, 4
_EYES, _WIDTH, _OUTER, _CHIN, _UPPER, _LOWER = (33, 263), (61, 291), (0, 17), (2, 152), (2, 0), (2, 17)
DRIVING = "driving meshes"


def measured(mesh: Mesh) -> Track:
    """A mouth in six distances ``[6]``, in those of the eyes' outer corners, of a mesh ``[478, 2 or 3]``.

    They are how far the lips are open, how wide and how high they are, and how far the chin and either lip are from
    the nose. Depth, which trackers guess, does not count.
    """
    flat = mesh[:, :2]
    apart = [mean_gap(flat, MIDDLE_LIP_PAIRS), *(mean_gap(flat, [pair]) for pair in (_WIDTH, _OUTER, _CHIN))]
    apart += [mean_gap(flat, [pair]) for pair in (_UPPER, _LOWER)]
    return np.array(apart) / mean_gap(flat, [_EYES])


def described(track: Track) -> Track:
    """What a reader compares ``[T, 2 n]`` of one person's measures ``[T, n]``: how they are and how they change.

    Each measure is told in its own deviations from its own mean, so that neither a person's mouth nor how lively it is
    counts.
    """
    plain = (track - track.mean(0)) / np.maximum(track.std(0), 1e-9)
    change = np.gradient(plain, axis=0)
    return np.concatenate([plain, change / np.maximum(change.std(0), 1e-9)], 1)


def apart(one: Track, other: Track) -> float:
    """How different two stretches ``[T, n]`` are when time may bend: mean cost along the cheapest path."""
    costs, path = librosa.sequence.dtw(X=one.T, Y=other.T)
    return float(costs[-1, -1]) / len(path)


@dataclass(frozen=True)
class Said:
    """A stretch of lips and the word that it is.

    Attributes:
        word: as said.
        lips: ``[T, n]``, from :func:`described`.
    """

    word: str
    lips: Track


class Reader:
    """Knows some stretches, and takes an unknown one for the word of the nearest."""

    def __init__(self, known: Sequence[Said]) -> None:
        self._known = list(known)

    def ranking(self, lips: Track) -> list[str]:
        """All words, the likeliest first."""
        best: dict[str, float] = {}
        for said in self._known:
            best[said.word] = min(best.get(said.word, np.inf), apart(said.lips, lips))
        return sorted(best, key=lambda word: best[word])

    def places(self, many: Sequence[Said]) -> NDArray[np.int64]:
        """At which place of the ranking each stretch's true word stands, 0 when it is read rightly."""
        return np.array([self.ranking(said.lips).index(said.word) for said in many])


@dataclass(frozen=True)
class Speech:
    """The words of one voice, in an order of its own.

    Attributes:
        samples: mono at 16 kHz.
        spans: frames ``(first, after)`` of each word, by the word.
    """

    samples: NDArray[np.float32]
    spans: dict[str, tuple[int, int]]

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return int(len(self.samples) / RATE_HZ / STEP)

    def heard(self, feature: SoundFeature) -> Iterator[NDArray[np.float32]]:
        """What a network hears in each frame."""
        sound = Sound(resampled(self.samples, feature.rate_hz), feature.rate_hz, Fraction(0))
        window = SoundWindow(iter([sound]), feature)
        return (window.at(number * STEP) for number in range(self.frames))

    def cut(self, track: Track) -> list[Said]:
        """The words' stretches of a track ``[frames, n]`` of this speech."""
        lips = described(track)
        return [Said(word, lips[first:after]) for word, (first, after) in self.spans.items()]


#: Samples at 16 kHz of a text, a voice, words a minute, pitch and its range.
Say = Callable[[str, str, int, int, int], NDArray[np.float32]]


def spoken(say: Say, number: int) -> Speech:
    """Voice number ``number``, which says every word once."""
    rng = np.random.default_rng(number)
    voice = f"{_VOICES[number % len(_VOICES)]}+{_VARIANTS[number % len(_VARIANTS)]}"
    pace = (int(rng.integers(120, 180)), int(rng.integers(25, 75)), int(rng.integers(30, 80)))
    silence = np.zeros(round(_PAUSE_S * RATE_HZ), np.float32)
    parts, spans, at = [silence], dict[str, tuple[int, int]](), len(silence)
    for word in map(str, rng.permutation(WORDS)):
        samples = say(word, voice, *pace)
        first, last = (Fraction(sample, RATE_HZ) / STEP for sample in (at, at + len(samples)))
        spans[word] = (max(int(first) - _BEFORE, 0), int(last) + 1 + _AFTER)
        parts += [samples * (0.5 / np.abs(samples).max()), silence]
        at += len(samples) + len(silence)
    return Speech(np.concatenate(parts).astype(np.float32), spans)


class Sitting:
    """A person who is made to say something.

    Args:
        portrait: a picture or a clip of the person.
        generator: any of those that render, which says what is measured of the portrait.
    """

    def __init__(self, portrait: Path, generator: Generator) -> None:
        self._seen = find_source(portrait)
        self._square, _ = observe_sources(self._seen, generator, None)
        self._sitter = Sitter([self._square.to_crop(self._seen[0].face.mesh)])

    def driven(self, speaker: Speaks, speech: Speech) -> tuple[Performance, list[Mesh]]:
        """What drives: the meshes of each frame, with a head that rests."""
        performance = Performance(speaker, self._sitter, still=True)
        return performance, [performance.next(heard) for heard in speech.heard(speaker.hears)]

    def lips(
        self, generator: Generator, speech: Speech, driven: tuple[Performance, list[Mesh]], tracker: FaceTracker
    ) -> tuple[Track, Track, int]:
        """Of what a model renders: measures ``[T, 6]``, lips ``[T, 40, 2]`` in pixels, how many frames show no face."""
        performance, meshes = driven
        _, sources = observe_sources(self._seen, generator, None)
        carry = mesh_carrier(
            generator.kind, generator.analyse(sources[0]), performance.resting, ahead=performance.ahead
        )
        heard = None if generator.hears is None else list(speech.heard(generator.hears))
        portrait = Portrait(generator, sources, None if heard is None else lambda time: heard[int(time / STEP)])
        faces: list[Face] = []
        lost = 0
        for number, mesh in enumerate(meshes):
            face = tracker.find(portrait.picture(carry(mesh), number * STEP))
            lost += face is None
            faces += [face] if face is not None else faces[-1:]
        shown = np.stack([face.mesh[list(LIPS), :2] for face in faces])
        return np.stack([measured(face.mesh) for face in faces]), shown.astype(np.float64), lost


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portraits", type=Path, nargs="+", metavar="PORTRAIT")
    parser.add_argument("--model", action="append", metavar="NAME", help="as of `visavis evaluate`; no built-in one")
    parser.add_argument("--known", type=int, default=8, help="voices that the reader knows")
    parser.add_argument("--voices", type=int, default=6, help="other voices that it reads")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--precision", default="auto")
    given = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
    from synthesise_speech import Espeak

    engine = Engine(name=given.engine, precision=given.precision, threads=1)
    names = parse_models(given.model or ["headgan-256", "headgan-256:deaf"])
    models = {name.label: model for name in names if (model := load_model(name, engine)) is not None}
    speaker, say = load_speaker(engine), Espeak().say
    people = [Sitting(portrait, next(iter(models.values()))) for portrait in given.portraits]
    known: list[Said] = []
    for number in range(given.known):
        speech = spoken(say, number)
        _, meshes = people[number % len(people)].driven(speaker, speech)
        known += speech.cut(np.stack([measured(mesh) for mesh in meshes]))
    reader = Reader(known)
    read: dict[str, list[Said]] = {DRIVING: [], **{name: [] for name in models}}
    moved: dict[str, list[float]] = {name: [] for name in models}
    lost = dict.fromkeys(models, 0)
    with FaceTracker(video=False) as tracker:
        for number in range(given.known, given.known + given.voices):
            speech, person = spoken(say, number), people[number % len(people)]
            driven = person.driven(speaker, speech)
            read[DRIVING] += speech.cut(np.stack([measured(mesh) for mesh in driven[1]]))
            first: Track | None = None
            for name, model in models.items():
                track, lips, without = person.lips(model, speech, driven, tracker)
                first = lips if first is None else first
                read[name] += speech.cut(track)
                moved[name].append(float(np.linalg.norm(lips - first, axis=-1).mean()))
                lost[name] += without
            print(f"voice {number} read", file=sys.stderr, flush=True)
    count = len(read[DRIVING])
    chance = f"chance {100 / len(WORDS):.1f} %, among the first three {300 / len(WORDS):.1f} %"
    print(f"{len(WORDS)} words of {given.voices} voices, {len(people)} people; {chance}")
    print(
        "| | read rightly | standard error | among the first three | lips from the first model's, px | without a face |"
    )
    print("|---|---|---|---|---|---|")
    for name, stretches in read.items():
        places = reader.places(stretches)
        right = float((places == 0).mean())
        error = np.sqrt(right * (1 - right) / count)
        cells = [f"{100 * right:.1f} %", f"{100 * error:.1f} %", f"{100 * float((places < 3).mean()):.1f} %"]
        cells += ["-", "-"] if name == DRIVING else [f"{np.mean(moved[name]):.2f}", f"{lost[name]}"]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()

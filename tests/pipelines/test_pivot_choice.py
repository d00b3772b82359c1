"""The faces that a call is made from are those that a receiver can animate."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import numpy as np
import pytest

from calls import FPS, TINY, keypoint
from visavis.codec.bitstream import Kind, Mode, PivotFragment, parse
from visavis.codec.pivots import PivotAssembler
from visavis.codec.rate import budget
from visavis.codec.stills import decode_still
from visavis.codec.transform import plain_table
from visavis.core.errors import FaceError
from visavis.drawn.synthetic import Pose, draw
from visavis.face.pose import HeadAngles
from visavis.generators.base import Generator
from visavis.media.frame import Frame, Pixels
from visavis.motion.layout import Motion
from visavis.pipelines.call.choice import Moment, PivotChooser
from visavis.pipelines.call.encoder import CallEncoder
from visavis.pipelines.call.painter import Painter
from visavis.pipelines.call.settings import CallSettings

NO_CHECK = float("inf")
GAPING, TALKING, BLINKING = Pose(mouth=1.0), Pose(mouth=0.4), Pose(mouth=0.4, lids=1.0)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return keypoint()


def film(poses: Iterable[Pose]) -> list[Frame]:
    return [Frame(draw(128, 1, pose), n / FPS) for n, pose in enumerate(poses)]


def first_pivot(generator: Generator, frames: list[Frame], look_s: Fraction) -> Pixels:
    """The picture of the first pivot that is sent."""
    assembler = PivotAssembler()
    settings = CallSettings(quality_drop_db=NO_CHECK)
    with CallEncoder(generator, TINY, fps=FPS, settings=settings, look_s=look_s) as encoder:
        packets = [packet for frame in frames for packet in encoder.push(frame)] + encoder.finish()
    for packet in map(parse, packets):
        if isinstance(packet, PivotFragment) and (pivot := assembler.push(packet)) is not None:
            return decode_still(pivot.picture)
    raise AssertionError("there is no pivot")


def mouth_is_open(picture: Pixels) -> float:
    """How dark the darkest row under the nose is: the inside of a gaping mouth is."""
    side = picture.shape[0]
    below = picture[side * 11 // 20 : side * 4 // 5, side * 9 // 20 : side * 11 // 20].astype(float)
    return float(below.mean(2).mean(1).min())


@pytest.mark.parametrize("where", [8, 14])
def test_the_first_pivot_is_the_readiest_face_of_the_look(generator: Generator, where: int):
    """Two groups are looked at; all but a few of their frames gape."""
    frames = film(TALKING if where <= n < where + 2 else GAPING for n in range(24))
    ready, gaping = (mouth_is_open(first_pivot(generator, film([p] * 8), Fraction(0))) for p in (TALKING, GAPING))
    assert gaping < ready - 10
    chosen = mouth_is_open(first_pivot(generator, frames, Fraction(16, 25)))
    assert abs(chosen - ready) < abs(chosen - gaping)
    # What comes after the look cannot be known.
    blind = mouth_is_open(first_pivot(generator, frames, Fraction(0)))
    assert abs(blind - gaping) < abs(blind - ready)


def test_a_look_that_the_call_ends_in_the_middle_of_loses_nothing(generator: Generator):
    with CallEncoder(generator, TINY, fps=FPS, look_s=Fraction(4)) as encoder:
        packets = [packet for frame in film([TALKING] * 11) for packet in encoder.push(frame)]
        assert len(packets) == 1  # the header
        packets += encoder.finish()
    assert sum(isinstance(parse(packet), PivotFragment) for packet in packets) >= 1
    assert encoder.tally.coded == 11


@pytest.mark.parametrize("waits", [False, True])
def test_sound_lies_beside_its_pictures_in_a_file_and_goes_at_once_in_a_call(generator: Generator, waits: bool):
    def kinds(packets: list[bytes]) -> list[Kind]:
        return [parse(packet).kind for packet in packets]

    still = np.full((128, 128, 3), 90, np.uint8)
    frames = [Frame(still, n / FPS) for n in range(8)]
    frames += [Frame(frame.pixels, (n + 8) / FPS) for n, frame in enumerate(film([TALKING] * 20))]
    voice = np.zeros(1920, np.float32)
    with CallEncoder(generator, TINY, fps=FPS, has_sound=True, look_s=Fraction(4), sound_waits=waits) as encoder:
        first = kinds([packet for frame in frames for packet in encoder.push(frame, voice)])
        rest = kinds(encoder.finish())
    # Bundles are of 120 ms: 2 in the 0.32 s before the first face; 5, 8 and 9 up to the ends of the groups after it.
    assert first.count(Kind.SOUND) == (2 if waits else 9) and Kind.MOTION not in first
    if waits:
        motion = [at for at, kind in enumerate(rest) if kind is Kind.MOTION]
        assert [rest[: motion[n]].count(Kind.SOUND) for n in range(3)] == [3, 6, 7]


class Choice:
    """A chooser over a generator that is not asked to paint."""

    def __init__(self, generator: Generator, *, drop_db: float = NO_CHECK) -> None:
        layout = generator.kind.layout
        table = plain_table(layout)
        settings = CallSettings(kbps=50, angles=(10, 10, 10), quality_drop_db=drop_db)
        self.chooser = PivotChooser(Painter(generator, table, Mode.ADAPTIVE), settings, budget(50))
        self.picture = draw(64, 1)
        self.motions = (Motion(np.zeros(layout.size, np.float32), layout),)

    def moment(self, yaw: float, ready: float) -> Moment:
        return Moment(self.picture, self.motions, HeadAngles(yaw, 0, 0), ready)

    def sent(self, moment: Moment, others: Iterable[Moment] = ()) -> HeadAngles | None:
        """The pose of the pivot that is sent for a group, if one is."""
        pivot, packets = self.chooser.choose(moment, None, 0.32, list(others))
        return pivot.angles if packets else None


def test_the_first_pivot_serves_most_frames(generator: Generator):
    """A better face that only a glance aside shows is not taken."""
    choice = Choice(generator)
    aside, ahead = choice.moment(40, 1.0), [choice.moment(yaw, 0.7) for yaw in (0, 1, 2, 3)]
    choice.chooser.open([aside, *ahead])
    assert choice.sent(ahead[0]) is None
    assert choice.sent(aside) == aside.angles


def test_a_later_pivot_is_the_readiest_face_of_its_group_that_is_turned_alike(generator: Generator):
    choice = Choice(generator)
    choice.chooser.open([choice.moment(0, 0.8)])
    others = [choice.moment(19, 0.9), choice.moment(17, 0.95), choice.moment(26, 1.0)]
    assert choice.sent(choice.moment(20, 0.8), others) == others[1].angles


def test_a_bad_face_is_waited_out_but_not_for_long(generator: Generator):
    choice = Choice(generator)
    choice.chooser.open([choice.moment(0, 0.8)])
    assert choice.sent(choice.moment(0, 0.8)) is None
    groups = [choice.sent(choice.moment(20, 0.2)) for _ in range(6)]
    assert groups[:4] == [None] * 4 and any(groups)
    assert choice.sent(choice.moment(40, 0.2)) is None
    better = choice.moment(40, 0.7)
    assert choice.sent(better) == better.angles


def test_one_fall_in_quality_alone_brings_no_pivot(generator: Generator, monkeypatch: pytest.MonkeyPatch):
    """A blink is over before its picture would have come; two groups in a row ask for one."""
    choice = Choice(generator, drop_db=5)
    first = choice.moment(0, 0.8)
    choice.chooser.open([first])
    qualities = iter([30.0, 20.0, 30.0, 20.0, 20.0])
    monkeypatch.setattr(choice.chooser, "_quality", lambda *given: next(qualities))
    assert choice.sent(first, [first]) is None  # its own group is not looked at
    assert [choice.sent(choice.moment(0, 0.8)) is None for _ in range(5)] == [True, True, True, True, False]


def test_a_face_that_is_lost_in_coding_gives_way_to_the_next_best(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
):
    choice = Choice(generator)
    good, better = choice.moment(0, 0.8), choice.moment(5, 0.9)
    blank = Moment(np.full_like(choice.picture, 90), choice.motions, HeadAngles(2, 0, 0), 1.0)
    choice.chooser.open([good, better, blank])
    assert choice.chooser.choose(good, None, 0.32)[0].angles == better.angles
    with pytest.raises(FaceError):
        Choice(generator).chooser.open([blank])


def test_a_moment_that_waits_keeps_its_picture_to_the_bit():
    moment = Moment(draw(64, 1), (), HeadAngles(1, 2, 3), 0.5)
    packed = moment.packed()
    assert isinstance(packed.shown, bytes) and len(packed.shown) < moment.picture.nbytes
    assert np.array_equal(packed.picture, moment.picture)
    assert (packed.angles, packed.ready) == (moment.angles, moment.ready)
    assert np.array_equal(packed.packed().picture, moment.picture)

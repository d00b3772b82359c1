"""Sweeps of edits: how they are read, and the steps that they take."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest

from visavis.core.errors import ConfigError
from visavis.motion.amounts import UNEDITED, Edits
from visavis.motion.sweep import Sweep


def test_a_range_goes_from_end_to_end_in_even_steps_and_the_rest_stays():
    sweep = Sweep.parse("yaw=-45..45, mouth=0.4")
    assert sweep.moves
    steps = sweep.steps(7)
    assert [step.yaw for step in steps] == pytest.approx([-45, -30, -15, 0, 15, 30, 45])
    assert [step.mouth for step in steps] == pytest.approx([0.4] * 7)
    assert (steps[0], steps[-1]) == (sweep.first, sweep.last)
    assert sweep.as_json() == {"yaw": [-45, 45], "mouth": 0.4}


@pytest.mark.parametrize("text", ["yaw=+15,smile=-.5,blink=1", "yaw=15..15,smile=-.5..-.5,blink=1"])
def test_without_a_range_it_is_one_set_of_edits(text: str):
    sweep = Sweep.parse(text)
    assert not sweep.moves
    assert sweep.first == sweep.last == Edits(yaw=15, smile=-0.5, blink=1)


def test_a_video_goes_there_and_back_without_a_jump():
    cues = list(Sweep.parse("yaw=10..-30").there_and_back(2.0, 25))
    assert [time for time, _ in cues] == [Fraction(number, 25) for number in range(50)]
    yaw = [edits.yaw for _, edits in cues]
    assert yaw[0] == pytest.approx(10) and yaw[-1] == pytest.approx(10)
    assert min(yaw) == pytest.approx(-30, abs=0.1)
    moved = [abs(after - before) for before, after in pairwise(yaw)]
    assert moved[0] < 0.3 and moved[-1] < 0.3, "gently at both ends"
    assert max(moved) < 80 / 50 * 1.7
    assert yaw == pytest.approx(yaw[::-1])


def test_a_video_without_a_range_begins_and_ends_with_the_picture_as_it_is():
    cues = [edits for _, edits in Sweep.parse("mouth=0.8").there_and_back(1.0, 25)]
    assert cues[0] == UNEDITED == cues[-1]
    assert max(edits.mouth for edits in cues) == pytest.approx(0.8, abs=0.01)


def test_a_label_tells_what_changes_and_how_far_it_got():
    sweep = Sweep.parse("yaw=-45..45,mouth=0.4")
    assert sweep.label(sweep.at(0.5), {"yaw": 0.02}) == "yaw 0"
    assert sweep.label(sweep.first, {"yaw": -33.2, "pitch": 0.0}) == "yaw -45 (-33)"
    assert Sweep.parse("mouth=0..1,blink=0..1").label(Edits(mouth=0.5, blink=0.5), {}) == "mouth 0.5, blink 0.5"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "nothing to change"),
        (" , ", "nothing to change"),
        ("nose=1..2", "choose yaw"),
        ("yaw=a..b", "give a number"),
        ("yaw=1..", "give a number"),
        ("yaw=-90..0", "-45 to 45"),
        ("mouth=0..2", "-1 to 1"),
        ("blink=-1..0", "0 to 1"),
        ("yaw=0..nan", "finite"),
        ("yaw", "give a number"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(text: str, why: str):
    with pytest.raises(ConfigError, match=why):
        Sweep.parse(text)

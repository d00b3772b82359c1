"""Stages that work at the same time: order, little in between, one error, and an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from made import run, tiny_weights
from visavis.core.errors import OutputError
from visavis.drawn.synthetic import draw, write_clip
from visavis.media.frame import Frame
from visavis.media.still import write_picture
from visavis.media.writer import VideoWriter
from visavis.pipelines.stages import Stages


def stage_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("visavis-")]


def test_items_come_in_order_through_several_stages():
    with Stages() as stages:
        doubled = (2 * number for number in stages.ahead(range(100), "one"))
        assert list(stages.ahead(doubled, "two")) == [2 * number for number in range(100)]
    assert stage_threads() == []


def test_stages_work_at_the_same_time_each_in_a_thread_of_its_own():
    """Each of three stages waits until all three are at work at once; alone none would go on."""
    all_three = threading.Barrier(3)

    def waiting(items: Iterator[int]) -> Iterator[int]:
        for number in items:
            if number == 2:
                all_three.wait(20)
            yield number

    def counted() -> Iterator[int]:
        for number in range(6):
            if number == 4:
                all_three.wait(20)
            yield number

    with Stages() as stages:
        middle = stages.ahead(waiting(stages.ahead(counted(), "first")), "second")
        for number in middle:
            if number == 0:
                all_three.wait(20)
                break


def test_no_stage_runs_far_ahead_of_who_takes_its_items():
    made: list[int] = []

    def source() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            yield number

    with Stages() as stages:
        for taken, _ in enumerate(stages.ahead(source(), "source")):
            time.sleep(0.002)
            assert len(made) - taken <= 4
            if taken == 20:
                break
    assert len(made) < 30


def test_an_error_comes_after_the_items_from_before_it_and_is_the_first_one():
    def failing() -> Iterator[int]:
        yield from range(5)
        raise ValueError("the first")

    def after(items: Iterator[int]) -> Iterator[int]:
        yield from items
        raise ValueError("never reached")

    seen: list[int] = []
    with pytest.raises(ValueError, match="the first"), Stages() as stages:
        for number in stages.ahead(after(stages.ahead(failing(), "failing")), "after"):
            seen.append(number)
    assert seen == list(range(5))
    assert stage_threads() == []


def test_what_is_begun_is_made_at_the_same_time_and_comes_in_order():
    """Either of two waits for the other; and none is begun far ahead of who takes it."""
    both, made = threading.Barrier(2), []

    def make(number: int) -> int:
        both.wait(20)
        made.append(number)
        return number

    with Stages(2) as stages:
        promises = stages.ahead((stages.begin(lambda number=number: make(number)) for number in range(100)), "begin")
        for number, promise in zip(range(20), promises, strict=False):
            assert promise() == number
        assert len(made) < 20 + 6
        both.abort()
    assert stage_threads() == []


def test_with_one_at_a_time_things_are_made_where_they_are_begun():
    with Stages() as stages:
        thread = stages.begin(threading.current_thread)
        assert thread() is threading.current_thread()


def test_an_error_in_what_is_begun_comes_in_its_turn():
    def make(number: int) -> int:
        if number == 2:
            raise OutputError("two")
        return number

    taken = []
    with pytest.raises(OutputError, match="two"), Stages(3) as stages:
        begun = (stages.begin(lambda number=number: make(number)) for number in range(100))
        for promise in stages.ahead(begun, "begin"):
            taken.append(promise())
    assert taken == [0, 1]
    assert stage_threads() == []


def test_ctrl_c_while_a_stage_starts_ends_all_and_a_stage_that_begins_later_reads_nothing(
    monkeypatch: pytest.MonkeyPatch,
):
    """The signal may fall between asking for a thread and its first word."""
    late: list[threading.Thread] = []

    def interrupted(thread: threading.Thread) -> None:
        late.append(thread)
        raise KeyboardInterrupt

    read: list[int] = []
    with pytest.raises(KeyboardInterrupt), Stages() as stages:
        first = stages.ahead(range(100), "first")
        next(first)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", interrupted)
            stages.ahead(map(read.append, first), "second")
    assert stage_threads() == []
    late[0].start()
    late[0].join(20)
    assert read == [] and not late[0].is_alive()


def test_who_takes_items_and_fails_ends_all_stages_and_closes_their_generators():
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            closed.set()

    with pytest.raises(KeyboardInterrupt), Stages() as stages:
        for number in stages.ahead(map(abs, stages.ahead(endless(), "endless")), "after"):
            if number == 3:
                raise KeyboardInterrupt
    assert closed.is_set()
    assert stage_threads() == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portrait, a driver who speaks, and the smallest weights."""
    folder = tmp_path_factory.mktemp("stages")
    write_picture(folder / "portrait.png", draw(128, 3))
    write_clip(folder / "driver.mp4", 1.0, seed=1, size=128)
    tiny_weights(folder / "tiny.safetensors")
    return folder


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("made.mp4", ["reenact", "portrait.png", "driver.mp4", "--paste-back"]),
        ("made.vsv", ["encode", "driver.mp4", "--interpolate", "1"]),
        ("played.mp4", ["decode", "call.vsv"]),
    ],
)
def test_a_file_is_bit_for_bit_what_one_thread_makes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, command: list[str]
):
    if not (folder / "call.vsv").exists():
        encode = ["encode", folder / "driver.mp4", "-o", folder / "call.vsv", "--model", folder / "tiny.safetensors"]
        assert run(encode) == 0
    verb, *rest = command
    arguments = [verb, *(folder / one if "." in one else one for one in rest)]
    ran: list[str] = []
    ahead = Stages.ahead

    def alone(self: Stages, items: Iterable[object], name: str) -> Iterator[object]:
        ran.append(name)
        return iter(items)

    made = {}
    for way in ("at once", "alone"):
        output = folder / f"{way}-{name}"
        monkeypatch.setattr(Stages, "ahead", ahead if way == "at once" else alone)
        assert run([*arguments, "-o", output, "--model", folder / "tiny.safetensors"]) == 0
        made[way] = output.read_bytes()
    assert ran
    assert made["at once"] == made["alone"]


def test_a_full_disk_in_the_middle_ends_all_stages_with_one_line_and_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    write, count = VideoWriter.write, []

    def fills_up(self: VideoWriter, frame: Frame) -> None:
        count.append(1)
        if len(count) == 8:
            raise OutputError(f"{self.path}: the disk is full")
        write(self, frame)

    monkeypatch.setattr(VideoWriter, "write", fills_up)
    output = folder / "full" / "out.mp4"
    output.parent.mkdir()
    command = ["reenact", folder / "portrait.png", folder / "driver.mp4", "-o", output]
    assert run([*command, "--model", folder / "tiny.safetensors"]) == 1
    assert capfd.readouterr().err.strip().endswith("the disk is full")
    assert list(output.parent.iterdir()) == []
    assert stage_threads() == []

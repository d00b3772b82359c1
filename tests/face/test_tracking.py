"""One face through time: small faces, cuts, several people, and what is no face."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest

from scenes import ground, put, small_face
from visavis.drawn.drawing import draw
from visavis.drawn.synthetic import TalkingFace
from visavis.face.graph import FaceGraph
from visavis.face.landmarks import FaceMesher
from visavis.face.looks import _lab
from visavis.face.region import RegionMesher
from visavis.face.search import FaceSearch, Square
from visavis.face.tracker import FaceTracker
from visavis.face.types import Face
from visavis.media.frame import Pixels


def follow(frames: Sequence[Pixels], which: int | None = 0) -> tuple[list[Face | None], int]:
    """The face in each frame, and the number of cuts."""
    with FaceTracker(which) as tracker:
        return [tracker.find(pixels) for pixels in frames], tracker.jumps


def at(face: Face | None) -> float:
    """Where the face is, from left to right; -1 where it is not seen."""
    return -1 if face is None else face.middle[0]


@pytest.mark.parametrize(
    ("height", "width", "face_height"),
    [(1080, 1920, 100), (1080, 1920, 120), (1080, 1920, 172), (1080, 1920, 215), (2160, 3840, 200), (1920, 1080, 100)],
)
def test_a_small_face_is_found_where_it_is(height: int, width: int, face_height: int):
    """In each corner and in the middle, to a fiftieth of its height."""
    with FaceTracker(video=False) as tracker:
        for seed, (across, down) in enumerate([(0.0, 0.0), (1.0, 0.3), (0.45, 0.5), (0.1, 1.0)]):
            person, mesh = small_face(seed, face_height)
            left, top = round(across * (width - person.shape[1])), round(down * (height - person.shape[0]))
            face = tracker.find(put(ground(height, width, seed), (person, left, top)))
            assert face is not None
            apart = np.linalg.norm(face.mesh[:, :2] - mesh - [left, top], axis=1).mean()
            assert apart < face_height / 50


def test_only_the_first_look_at_a_small_face_searches(monkeypatch: pytest.MonkeyPatch):
    searches = []
    places = FaceSearch.places
    monkeypatch.setattr(FaceSearch, "places", lambda *args: searches.append(1) or places(*args))
    wall = ground(1080, 1920)
    person = draw(210, 1)
    faces, jumps = follow([put(wall, (person, 100 + 30 * i, 600 - 10 * i)) for i in range(25)])
    assert (len(searches), jumps) == (1, 0)
    assert [at(face) for face in faces] == pytest.approx([205 + 30 * i for i in range(25)], abs=15)


def test_a_face_that_is_found_at_once_costs_one_run_of_the_mesh_network_a_frame(monkeypatch: pytest.MonkeyPatch):
    looks, process = [], FaceMesher.faces
    runs, run = [], FaceGraph._process
    monkeypatch.setattr(FaceMesher, "faces", lambda self, pixels: looks.append(self._most) or process(self, pixels))
    monkeypatch.setattr(FaceGraph, "_process", lambda self, *given: runs.append(type(self)) or run(self, *given))
    monkeypatch.setattr(FaceSearch, "places", lambda *args: pytest.fail("nothing is to be searched for"))
    faces, _ = follow([draw(256, 1)] * 6)
    assert None not in faces
    assert looks == [4]
    assert runs[-5:] == [RegionMesher] * 5


def test_the_graph_for_all_faces_is_gone_while_one_is_followed_alone_and_back_after_a_cut():
    drawn = [frame.pixels for frame in TalkingFace(1, 256).frames(6)]
    other = put(ground(256, 256, 3), (draw(200, 4), 20, 30))
    held = []
    with FaceTracker() as tracker:
        for pixels in [*drawn, other]:
            assert tracker.find(pixels) is not None
            held.append(tracker._all._graph is not None)
    assert held == [True, *[False] * 5, True]


@pytest.mark.parametrize("seed", [1, 4])
def test_a_face_has_one_mesh_whether_it_is_followed_or_found_alone(seed: int):
    """MediaPipe's own, found and followed, lie 0.8 pixels of 256 apart."""
    frames = [frame.pixels for frame in TalkingFace(seed, 256).frames(24)]
    faces, _ = follow(frames)
    with FaceTracker(video=False) as tracker:
        alone = [tracker.find(pixels) for pixels in frames[3::4]]
    pairs = [(one.mesh, other.mesh) for one, other in zip(faces[3::4], alone, strict=True) if one and other]
    assert len(pairs) == 6
    assert np.mean([np.linalg.norm((one - other)[:, :2], axis=1).mean() for one, other in pairs]) < 0.45


def test_a_mesh_follows_its_face_however_far_that_lies_from_where_it_was_looked_for():
    """Up to a sixth of a face's side and 20 degrees off, the same mesh is found within a hundredth of the side."""
    pixels = draw(256, 2)
    with FaceTracker(video=False) as tracker, RegionMesher() as mesher:
        face = tracker.find(pixels)
        assert face is not None
        middle = face.mesh.mean(0)
        for turn, shift in ((0.0, 0.16), (0.0, -0.16), (20.0, 0.0), (-20.0, 0.05)):
            cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
            turned = (face.mesh - middle) @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]], np.float32)
            away = Face((turned + middle + [shift * face.side, 0, 0]).astype(np.float32))
            found = mesher.face(pixels, away)
            assert found is not None
            assert np.linalg.norm((found.mesh - face.mesh)[:, :2], axis=1).mean() < 0.01 * face.side
        assert mesher.face(np.full((256, 256, 3), 90, np.uint8), face) is None


@pytest.mark.parametrize("kind", [lambda: FaceMesher(1, video=False), RegionMesher], ids=["mesher", "region"])
def test_a_graph_that_is_closed_is_gone(kind: Callable[[], FaceGraph]):
    """Its networks take 20 MB and more, and each look through a video opens some."""
    graph = kind()
    picture = draw(256, 1)
    found = FaceMesher(1, video=False).faces(picture)
    assert graph.face(picture, found[0]) if isinstance(graph, RegionMesher) else graph.faces(picture)  # type: ignore[attr-defined]
    held = weakref.ref(graph._graph)
    graph.close()
    assert held() is None


def test_with_one_face_in_view_a_cut_is_followed_at_once():
    wall, person = ground(720, 1280), draw(400, 2)
    frames = [put(wall, (person, 40 if i < 11 else 830, 200)) for i in range(20)]
    faces, jumps = follow(frames)
    assert [at(face) for face in faces] == pytest.approx([240.0] * 11 + [1030.0] * 9, abs=25)
    assert jumps == 1


def test_who_comes_back_elsewhere_is_taken_up_at_once():
    wall, person = ground(720, 1280), draw(400, 1)
    frames = [wall if 8 <= i < 22 else put(wall, (person, 40 if i < 8 else 830, 200)) for i in range(30)]
    faces, jumps = follow(frames)
    assert [face is None for face in faces] == [8 <= i < 22 for i in range(30)]
    assert (jumps, at(faces[22])) == (1, pytest.approx(1030, abs=25))


@pytest.mark.parametrize(("wall", "wait"), [(0, 12), (1, 0)], ids=["in the same picture", "in another shot"])
def test_somebody_else_is_followed_after_a_moment_or_at_once_after_a_cut(wall: int, wait: int):
    one, other = draw(400, 1), draw(400, 4)
    before, after = put(ground(720, 1280), (one, 40, 200)), put(ground(720, 1280, wall), (other, 830, 200))
    faces, _ = follow([before] * 8 + [after] * 16)
    assert [face is None for face in faces] == [8 <= i < 8 + wait for i in range(24)]
    assert at(faces[-1]) == pytest.approx(1030, abs=25)


def two(one: Pixels, other: Pixels, lefts: tuple[int, int], wall: int = 0) -> Pixels:
    """Two people side by side."""
    return put(ground(720, 1280, wall), (one, lefts[0], 200), (other, lefts[1], 260))


def test_looks_are_in_the_colours_that_opencv_has():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    pixels[0, :3] = [[0, 0, 0], [255, 255, 255], [3, 2, 1]]
    apart = np.abs(_lab(pixels) - cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB))
    assert apart.max() < 2 and apart.mean() < 0.3  # which rounds to 8 bits and reads from a table


def test_people_who_change_places_in_a_cut_are_told_apart():
    one, other = draw(400, 1), draw(320, 4)
    faces, jumps = follow([two(one, other, (40, 900))] * 8 + [two(one, other, (830, 40), wall=1)] * 8)
    assert [at(face) for face in faces] == pytest.approx([240.0] * 8 + [1030.0] * 8, abs=25)
    assert jumps == 1


def test_nobody_takes_over_while_the_followed_one_is_away_for_a_moment():
    one, other = draw(400, 1), draw(320, 4)
    alone = put(ground(720, 1280), (other, 900, 260))
    faces, _ = follow([alone if 8 <= i < 18 else two(one, other, (40, 900)) for i in range(28)])
    assert [face is None for face in faces] == [8 <= i < 18 for i in range(28)]
    assert at(faces[27]) == pytest.approx(240, abs=25)


def test_who_is_left_is_followed_in_the_end_and_left_when_the_first_one_returns():
    one, other = draw(400, 1), draw(320, 4)
    alone = put(ground(720, 1280), (other, 900, 260))
    faces, jumps = follow([alone if 8 <= i < 50 else two(one, other, (40, 900)) for i in range(60)])
    assert at(faces[45]) == pytest.approx(1060, abs=25)
    assert at(faces[59]) == pytest.approx(240, abs=25)
    assert jumps == 2


def test_faces_are_numbered_by_size_however_small():
    wall = ground(1080, 1920)
    (large, _), (small, _) = small_face(1, 400), small_face(4, 110)
    scene = put(wall, (large, 200, 100), (small, 1600, 700))
    for which, x in ((0, 200 + large.shape[1] / 2), (1, 1600 + small.shape[1] / 2)):
        with FaceTracker(which, video=False) as tracker:
            assert at(tracker.find(scene)) == pytest.approx(x, abs=30)
    with FaceTracker(2, video=False) as tracker:
        assert tracker.find(scene) is None


def test_the_face_in_the_middle_can_be_asked_for():
    scene = put(ground(400, 900), (draw(380, 1), 10, 10), (draw(240, 4), 420, 80))
    faces, _ = follow([scene], None)
    assert at(faces[0]) == pytest.approx(540, abs=25)


@pytest.mark.parametrize("left", [-300, -90, 20, 95, 400])
def test_a_square_cuts_what_lies_inside_the_frame(left: int):
    columns = np.tile(np.arange(100, dtype=np.uint8)[None, :, None], (60, 1, 3))
    inside = [x for x in range(left, left + 100) if 0 <= x < 100]
    assert Square(left, -10, 100).cut(columns)[:, :, 0].tolist() == [inside] * 60


def patterns(height: int, width: int, seed: int) -> list[Pixels]:
    """What is no face: noise, waves, squares, discs with dots, lines of letters."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    step = int(rng.integers(8, 90))
    waves = (127 + 127 * np.sin(x / step) * np.cos(y / step)).astype(np.uint8)
    squares = ((y // step + x // step) % 2 * 255).astype(np.uint8)
    discs, letters = ground(height, width, seed), np.full((height, width, 3), 240, np.uint8)
    for _ in range(40):
        radius, at_x, at_y = int(rng.integers(20, 150)), int(rng.integers(width)), int(rng.integers(height))
        cv2.circle(discs, (at_x, at_y), radius, (200, 170, 140), -1)
        cv2.circle(discs, (at_x + radius // 4, at_y + radius // 3), radius // 6, (30, 30, 30), -1)
    for line in range(30, height, 40):
        cv2.putText(letters, "oo O-O (: ae " * 12, (line % 70, line), 0, 1.2, (20, 20, 20), 2)
    flat = [np.repeat(grey[..., None], 3, 2) for grey in (waves, squares)]
    return [rng.integers(0, 256, (height, width, 3)).astype(np.uint8), *flat, discs, letters]


@pytest.mark.parametrize("seed", range(3))
def test_patterns_are_no_faces(seed: int):
    with FaceTracker(video=False) as tracker:
        assert [tracker.find(pixels) is None for pixels in patterns(1080, 1920, seed)] == [True] * 5


def test_the_research_stills_are_found_small(shared):
    """Real faces of 100 pixels in full HD; nothing of them is kept."""
    from visavis.media.still import read_picture

    paths = sorted((shared / "data/stills").glob("*.jpg"))[::25]
    with FaceTracker(video=False) as tracker:
        for number, path in enumerate(paths):
            picture = read_picture(path).pixels
            face = tracker.find(picture)
            assert face is not None
            scale = 100 / (face.box[3] - face.box[1])
            small = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
            left, top = 300 * (number % 5), 150 * (number % 4)
            found = tracker.find(put(ground(1080, 1920, number), (small, left, top)))
            assert found is not None
            apart = np.linalg.norm(found.mesh[:, :2] - scale * face.mesh[:, :2] - [left, top], axis=1).mean()
            assert apart < 3

"""Lip sync: cepstra by hand, SyncNet as published, what is read off distances, and what networks are fed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from made import drawn_speech, talking_mesh, tiny_mesh
from visavis.audio.feature import MEL_WINDOW
from visavis.audio.mel import RATE_HZ
from visavis.audio.mfcc import mfcc
from visavis.audio.window import SoundWindow
from visavis.core.errors import WeightsError
from visavis.drawn.synthetic import Pose, TalkingFace, draw
from visavis.evaluation.metrics.lipsync import SHORTEST, SyncScorer, judge
from visavis.evaluation.metrics.sync_networks import face_crop, mel_of
from visavis.face.mesh import LIPS
from visavis.face.mouth import CROP_SIZE, SHAPE_VALUES, mirrored, mouth_crop, mouth_shape
from visavis.face.tracker import FaceTracker
from visavis.judges.syncnet import EMBEDDING, SyncNet, embed, offset_distances
from visavis.media.frame import Sound
from visavis.weights.checkpoint import save
from visavis.weights.convert_syncnet import read_syncnet

Floats = NDArray[np.float32]


# --- cepstra


def test_cepstra_are_those_of_a_sum_written_out():
    """One window, every step as its definition says, without FFT, matrices or library transforms."""
    samples = (0.3 * np.sin(np.arange(400) * 0.21) + 0.1 * np.cos(np.arange(400) * 1.7)).astype(np.float32)
    whole = [float(round(float(s) * 32768)) for s in samples]
    emphasised = [whole[0]] + [whole[i] - 0.97 * whole[i - 1] for i in range(1, 400)]
    at = np.arange(400)
    spectrum = [sum(emphasised * np.exp(-2j * np.pi * k * at / 512)) for k in range(257)]
    power = [abs(value) ** 2 / 512 for value in spectrum]

    def hertz(mel: float) -> float:
        return 700 * (10 ** (mel / 2595) - 1)

    top = 2595 * np.log10(1 + 8000 / 700)
    corner = [int(513 * hertz(top * i / 27) / 16000) for i in range(28)]
    bands = []
    for low, peak, high in zip(corner, corner[1:], corner[2:], strict=False):
        rise = sum(power[k] * (k - low) / (peak - low) for k in range(low, peak))
        bands.append(np.log(rise + sum(power[k] * (high - k) / (high - peak) for k in range(peak, high))))
    expected = [np.log(sum(power))]
    for n in range(1, 13):
        total = sum(band * np.cos(np.pi * n * (2 * i + 1) / 52) for i, band in enumerate(bands))
        expected.append(total * np.sqrt(2 / 26) * (1 + 11 * np.sin(np.pi * n / 22)))
    np.testing.assert_allclose(mfcc(samples)[:, 0], expected, rtol=1e-4)


@pytest.mark.parametrize(("samples", "steps"), [(1, 1), (400, 1), (401, 2), (560, 2), (16_000, 99)])
def test_cepstra_cover_all_of_the_sound(samples: int, steps: int):
    found = mfcc(np.zeros(samples, np.float32))
    assert found.shape == (13, steps)
    assert np.isfinite(found).all()


# --- SyncNet as published


def test_syncnet_gives_a_vector_for_every_fifth_of_a_second():
    torch.manual_seed(0)
    network = SyncNet().eval()
    faces = torch.randint(0, 256, (3, 8, 224, 224), dtype=torch.uint8)
    sound = torch.randn(13, 4 * 8 + 7)
    mouths, sounds = embed(network, faces, sound)
    assert mouths.shape == sounds.shape == (4, EMBEDDING)
    alone, heard = embed(network, faces[:, 2:7], sound[:, 8:28])
    torch.testing.assert_close(mouths[2:3], alone, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(sounds[2:3], heard, rtol=1e-3, atol=1e-4)


def published() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {name: value for name, value in SyncNet().state_dict().items() if "num_batches" not in name}


def test_syncnet_reads_the_published_table(tmp_path: Path):
    table = published()
    # Places of the learned layers in the published file's numbering.
    assert {name.split(".")[1] for name in table if name.startswith("netcnnlip")} == set(
        ["0", "1", "4", "5", "8", "9", "11", "12", "14", "15", "18", "19"]
    )
    assert table["netcnnlip.18.weight"].shape == (512, 256, 1, 6, 6)
    assert table["netcnnaud.18.weight"].shape == (512, 256, 5, 4)
    torch.save(table, tmp_path / "syncnet_v2.model")
    save_file(table, str(tmp_path / "syncnet_v2.safetensors"))
    pictures, mouths, sound = drawn_speech(0, SHORTEST)
    scorer = SyncScorer.load(tmp_path / "syncnet_v2.model")
    assert scorer.name == "syncnet"
    assert np.isfinite(scorer.distances(pictures, mouths, sound)).all()
    same = read_syncnet(tmp_path / "syncnet_v2.safetensors")
    assert all(torch.equal(same[name], value) for name, value in table.items())


def test_what_is_not_syncnet_is_refused(tmp_path: Path):
    table = published()
    for name, change in (
        ("fewer", {k: v for k, v in table.items() if k != "netfclip.3.bias"}),
        ("more", {**table, "netfcface.0.weight": torch.zeros(1)}),
        ("shape", {**table, "netfclip.3.bias": torch.zeros(7)}),
        ("code", {**table, "run": print}),
    ):
        path = tmp_path / f"{name}.model"
        torch.save(change, path)
        with pytest.raises(WeightsError, match=f"{name}.model"):
            SyncScorer.load(path)
    with pytest.raises(WeightsError, match="no such"):
        SyncScorer.load(tmp_path / "missing.model")
    save(tmp_path / "other.safetensors", {"a": torch.zeros(1)}, family="avfr", config={})
    with pytest.raises(WeightsError, match="avfr"):
        SyncScorer.load(tmp_path / "other.safetensors")


def test_syncnet_sees_a_face_wherever_it_is():
    """The same picture moved as a whole is the same crop; what lies outside is the authors' grey."""
    face = TalkingFace(3, 256)
    picture = next(iter(face.frames(1))).pixels
    mesh = tiny_mesh()[:, :2] * 60 + 128
    moved = np.roll(picture, (11, -7), (0, 1))
    a, b = face_crop(picture, mesh), face_crop(moved, mesh + np.array([-7, 11]))
    assert a.shape == (224, 224, 3)
    assert np.abs(a.astype(int) - b.astype(int)).mean() < 0.5
    assert (face_crop(picture, mesh + 1000) == 110).all()


# --- distances and what is read off them


def test_sound_that_comes_early_has_a_positive_offset():
    moments = torch.eye(40)
    for offset in (-15, -4, 0, 3, 15):
        # Early by o: what is seen in window w was heard in window w - o.
        sounds = torch.roll(moments, -offset, 0)
        for zeros in (False, True):
            score = judge(offset_distances(moments, sounds, zeros=zeros).numpy())
            assert score.offset == offset
        assert judge(offset_distances(moments, sounds, zeros=False).numpy()).distance == 0


def test_confidence_is_the_median_less_the_least():
    distances = np.full(31, 5.0)
    distances[20], distances[3] = 2.0, 9.0
    score = judge(distances)
    assert (score.confidence, score.distance, score.offset, score.at_zero) == (3.0, 2.0, 5, 0.0)


def test_beyond_the_ends_there_are_zeros_or_nothing():
    mouths, sounds = torch.ones(20, 4), torch.ones(20, 4)
    assert (offset_distances(mouths, sounds, zeros=False) == 0).all()
    # At 15 of 20, three quarters of the mouths meet a zero vector, which is 2 away from four ones.
    assert offset_distances(mouths, sounds, zeros=True)[0] == pytest.approx(2 * 15 / 20)


# --- what the networks are fed


def test_the_shape_of_a_mouth_knows_nothing_of_where_the_head_is():
    mesh = talking_mesh(0.3)[:, :2]
    angle, scale = 0.4, 1.7
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    shape = mouth_shape(mesh)
    assert shape.shape == (SHAPE_VALUES,)
    np.testing.assert_allclose(mouth_shape((mesh @ turn + 31).astype(np.float32)), shape, atol=1e-3)
    assert np.abs(mouth_shape(talking_mesh(0.6)) - shape).max() > 0.05


def test_the_crop_follows_the_mouth_and_is_level():
    """A bright spot on the mesh's mouth stays in the middle of the crop when picture and mesh are moved."""
    mesh = talking_mesh(0.0)[:, :2]
    centre = mesh[list(LIPS)].mean(0)
    rows, columns = np.mgrid[:256, :256] + 0.5
    for shift in ((0, 0), (17, -9)):
        at = centre + shift
        spot = np.exp(-((columns - at[0]) ** 2 + (rows - at[1]) ** 2) / 50)
        crop = mouth_crop(np.repeat((255 * spot).astype(np.uint8)[..., None], 3, 2), mesh + np.array(shift))
        assert crop.shape == CROP_SIZE
        weight = crop.astype(float) / crop.sum()
        assert (weight.sum(1) @ (np.arange(32) + 0.5)) == pytest.approx(16, abs=0.2)
        assert (weight.sum(0) @ (np.arange(48) + 0.5)) == pytest.approx(24, abs=0.2)


def test_mirroring_twice_is_the_same_mouth():
    rng = np.random.default_rng(0)
    shapes = rng.normal(size=(3, SHAPE_VALUES)).astype(np.float32)
    np.testing.assert_array_equal(mirrored(mirrored(shapes)), shapes)


def test_a_mirrored_shape_is_that_of_the_mirrored_face():
    """MediaPipe finds a drawn face and its mirror image: each mirrored point must lie on its namesake, on no other."""
    picture = draw(256, 0, Pose(mouth=0.4))
    with FaceTracker(video=False) as tracker:
        face, flipped = tracker.find(picture), tracker.find(np.ascontiguousarray(picture[:, ::-1]))
    assert face is not None and flipped is not None
    here, there = mirrored(mouth_shape(face.mesh)).reshape(-1, 2), mouth_shape(flipped.mesh).reshape(-1, 2)
    namesakes = linear_sum_assignment(np.linalg.norm(here[:, None] - there, axis=2))[1]
    np.testing.assert_array_equal(namesakes, np.arange(SHAPE_VALUES // 2))


def test_a_clip_hears_what_a_stream_hears():
    sound = np.random.default_rng(0).normal(0, 0.1, RATE_HZ // 2).astype(np.float32)
    mel = mel_of(sound, 10)
    assert mel.shape == (80, 56)
    window = SoundWindow([Sound(sound, RATE_HZ, Fraction(0))], MEL_WINDOW)
    for frame in range(10):
        np.testing.assert_allclose(mel[:, 4 * frame : 4 * frame + 20], window.at(Fraction(frame, 25)), atol=1e-6)

"""Evaluation from clips to report: protocols, processes, networks at hand or not, and what is written."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from made import run, tiny_weights
from visavis.audio.mel import RATE_HZ
from visavis.core.errors import ConfigError, DataError, OutputError, WeightsError
from visavis.drawn.synthetic import TalkingFace, write_clip
from visavis.evaluation import networks
from visavis.evaluation.clip import ClipFrames, read_clip, read_sound
from visavis.evaluation.columns import COLUMNS
from visavis.evaluation.measure import ClipMeasure
from visavis.evaluation.metrics import inception, video
from visavis.evaluation.metrics.inception import Inception
from visavis.evaluation.models import ModelName, parse_models, runs_in
from visavis.evaluation.networks import MetricNetworks
from visavis.evaluation.protocol import Protocol, find_clips, pair
from visavis.evaluation.report import markdown, result_folder
from visavis.evaluation.sheet import contact_sheet
from visavis.evaluation.suite import evaluate
from visavis.evaluation.window import liveliest
from visavis.face.tracker import FaceTracker
from visavis.media.frame import Pixels

SECONDS = 0.96
FRAMES = 24
DLIB_PACKAGE = networks._dlib_package
PEOPLE = (("a1", "a", 1), ("a2", "a", 2), ("b1", "b", 3))


def write_manifest(folder: Path, rows: Sequence[tuple[str, str]], **columns: str) -> None:
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "identity", "split", *columns])
        writer.writeheader()
        writer.writerows({"id": name, "identity": who, "split": "val", **columns} for name, who in rows)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of two drawn people."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "clips").mkdir()
    for name, _, seed in PEOPLE:
        write_clip(folder / "clips" / f"{name}.mp4", SECONDS, seed=seed, size=256)
    write_manifest(folder, [(name, who) for name, who, _ in PEOPLE])
    return folder


@pytest.fixture(autouse=True)
def no_networks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This machine's caches have no say here."""
    monkeypatch.delenv("VISAVIS_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(networks, "_dlib_package", list)


def measured(report: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name not in ("seconds", "seconds_per_clip", "workers")}


def test_real_footage_scores_perfectly_and_a_copy_does_not_move(dataset: Path):
    report = evaluate(dataset, "val", ["copy", "real"], limit=1, every=8, window_s=0.6)
    copy, real = report["rows"]
    assert (report["clips"], report["frames"], copy["frames"], copy["no_face"]) == (1, 2, 2, 0)
    perfect = {"l1": 0, "psnr": 100, "ssim": 1, "lmd": 0, "lmd_mouth": 0, "aed_expression": 0}
    perfect |= {"face_sharpness": 1, "mouth_sharpness": 1}
    perfect |= {name: 1 for name in ("head_dynamics", "lip_dynamics", "brow_dynamics", "mouth_correlation")}
    assert {name: real[name] for name in perfect} == pytest.approx(perfect, abs=1e-3)
    assert (copy["head_dynamics"], copy["lip_dynamics"]) == (0, 0)
    assert copy["lmd"] > 0.1
    assert copy["psnr"] < 50


def test_the_report_does_not_depend_on_the_number_of_processes(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """One clip is damaged on purpose: it is left out and named, and the others are measured all the same."""
    # Other processes look for packages with their own eyes.
    monkeypatch.setattr(networks, "_dlib_package", DLIB_PACKAGE)
    folder = tmp_path / "data"
    (folder / "clips").mkdir(parents=True)
    for name, _, _ in PEOPLE:
        (folder / "clips" / f"{name}.mp4").symlink_to(dataset / "clips" / f"{name}.mp4")
    (folder / "clips" / "bad.mp4").write_text("not a video")
    write_manifest(folder, [("a1", "a"), ("bad", "b"), ("a2", "a"), ("b1", "b")])
    one, two = (
        evaluate(folder, "val", ["copy", "ours=avfr-256"], every=12, window_s=0.4, workers=workers)
        for workers in (1, 2)
    )
    assert (one["workers"], two["workers"]) == (1, 2)
    assert measured(one) == measured(two)
    assert one["clips"] == 3
    assert list(one["failed"]) == ["bad"]
    assert [row["model"] for row in one["rows"]] == ["copy", "ours"]


def test_a_model_is_measured_alike_in_any_company(dataset: Path):
    alone = evaluate(dataset, "val", ["mesh-warp"], limit=1, every=12, window_s=0.4)
    among = evaluate(dataset, "val", ["copy", "mesh-warp"], limit=1, every=12, window_s=0.4)
    assert alone["rows"][0] == among["rows"][1]


def test_every_clip_animates_the_next_identity_in_manifest_order(dataset: Path):
    write = ("a1", "a"), ("a2", "a"), ("b1", "b"), ("c1", "c"), ("a3", "a")
    folder = dataset / "order"
    folder.mkdir()
    write_manifest(folder, write)
    clips = find_clips(folder, "val")
    crossed = pair(clips, Protocol.CROSS)
    assert [(one.driving.name, one.source.name) for one in crossed] == [
        ("a1", "b1"), ("a2", "b1"), ("b1", "c1"), ("c1", "a3"), ("a3", "b1"),
    ]  # fmt: skip
    assert all(one.driving is one.source for one in pair(clips, Protocol.SAME))
    with pytest.raises(DataError, match="two identities"):
        pair(clips[:2], Protocol.CROSS)
    with pytest.raises(DataError, match="no clip of split 'test'"):
        find_clips(folder, "test")


def test_across_identities_only_what_needs_no_truth_is_measured(dataset: Path):
    report = evaluate(dataset, "val", ["mesh-warp"], protocol="cross", limit=1, every=12, window_s=0.4)
    (row,) = report["rows"]
    for column in COLUMNS:
        if column.truth:
            assert row[column.name] is None
            assert report["unavailable"][column.name] == "the cross protocol has no ground truth"
    for name in ("aed_expression", "face_sharpness", "mouth_sharpness", "head_dynamics", "lip_dynamics"):
        assert row[name] is not None


def test_our_own_frechet_distance_needs_nobody_elses_weights(dataset: Path, tmp_path: Path):
    report = evaluate(dataset, "val", ["copy"], limit=1, every=2, window_s=0, metric_weights=tmp_path)
    assert report["rows"][0]["ffd"] > 0
    assert "face-128" in report["networks"]["ffd"]


def test_what_is_not_at_hand_is_null_and_says_which_file_is_missing(dataset: Path, tmp_path: Path):
    report = evaluate(dataset, "val", ["copy"], limit=1, every=12, window_s=0, metric_weights=tmp_path)
    row, why = report["rows"][0], report["unavailable"]
    for name, file in (("aed", "dlib_face_recognition"), ("fid", inception.FILES[0]), ("lpips", "lpips.safetensors")):
        assert row[name] is None
        assert file in why[name]
        assert str(tmp_path) in why[name]
    assert "i3d_torchscript.pt" in why["fvd"]
    assert "--window 0" in why["head_dynamics"]
    assert set(why) == {column.name for column in COLUMNS if row[column.name] is None}
    with pytest.raises(WeightsError, match="no such folder"):
        evaluate(dataset, "val", ["copy"], metric_weights=tmp_path / "nowhere")


class PretendI3d(torch.nn.Module):
    """The file's interface, on the mean of each channel in each of four times."""

    def forward(self, x: torch.Tensor, rescale: bool, resize: bool, return_features: bool) -> torch.Tensor:
        assert not rescale and resize and return_features
        times = x.mean((3, 4)).reshape(x.shape[0], -1)
        return 100 * times.repeat(1, 9)[:, :400]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_frechet_metrics_are_of_the_networks_found_in_the_folder(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / inception.FILES[0]).write_bytes(b"pretend")
    # The true network and its loading are tested beside the metrics; here three numbers a picture are enough.
    monkeypatch.setattr(Inception, "from_file", lambda path: lambda pictures: 100 * pictures.mean((2, 3)))
    torch.jit.script(PretendI3d()).save(str(tmp_path / video.FILE))
    report = evaluate(dataset, "val", ["copy", "real"], every=12, window_s=0.9, metric_weights=tmp_path)
    copy, real = report["rows"]
    for name in ("fid", "fvd"):
        assert copy[name] > 0
        assert real[name] == pytest.approx(0, abs=1e-4)
        assert "sha256" in report["networks"][name]


def true_pictures(clip: ClipFrames) -> dict[Fraction, Pixels]:
    """What a perfect model would make of a clip."""
    window = clip.window.frames if clip.window is not None else []
    return {seen.observation.time: seen.observation.picture for seen in [*clip.driving, *window]}


def test_identity_of_a_picture_to_itself_is_exact(dataset: Path):
    """Any network will do: what is checked is which pictures are compared."""

    class Pretend:
        def embed(self, chips: Sequence[np.ndarray]) -> np.ndarray:
            return np.array([chip[::10, ::10].reshape(-1) for chip in chips], np.float32) / 255

    clip = read_clip(dataset / "clips" / "a1.mp4", every=12)
    networks = MetricNetworks(identity=Pretend())  # type: ignore[arg-type]
    with FaceTracker(video=False) as tracker:
        measure = ClipMeasure(clip, clip.source, Protocol.SAME, networks, tracker)
        copied, _ = measure.measure(dict.fromkeys(clip.times, clip.source.observation.picture))
        real, _ = measure.measure(true_pictures(clip))
    means = [{name: total / count for name, (total, count) in one.sums.items()} for one in (copied, real)]
    assert means[0]["csim"] == pytest.approx(1)
    assert means[0]["aed"] > 0.1
    assert means[1]["aed"] == pytest.approx(0, abs=0.02)
    assert means[1]["csim"] < 1


def test_the_second_landmark_network_is_shown_truth_and_output_and_may_miss_a_face(dataset: Path):
    clip = read_clip(dataset / "clips" / "a1.mp4", every=8)
    shapes = np.zeros((68, 2)), np.concatenate([np.full((48, 2), (3, 4)), np.full((20, 2), (6, 8))]).astype(float)

    class Pretend:
        def find(self, picture: np.ndarray) -> np.ndarray | None:
            if picture.max() == 0:
                return None
            return shapes[int(picture is clip.source.observation.picture)]

    networks = MetricNetworks(landmarks68=Pretend())  # type: ignore[arg-type]
    black = np.zeros((256, 256, 3), np.uint8)
    with FaceTracker(video=False) as tracker:
        measure = ClipMeasure(clip, clip.source, Protocol.SAME, networks, tracker)
        copied, _ = measure.measure(dict.fromkeys(clip.times, clip.source.observation.picture))
        nothing, _ = measure.measure(dict.fromkeys(clip.times, black))
    total, count = copied.sums["lmd68"]
    assert (total / count, copied.no_face68) == (pytest.approx((48 * 5 + 20 * 10) / 68), 0)
    assert copied.sums["lmd68_mouth"] == (pytest.approx(10 * count), count)
    assert "lmd68" not in nothing.sums
    assert nothing.no_face68 == len(clip.driving) == 2


@dataclass
class PretendScore:
    confidence: float
    distance: float
    at_zero: float


class PretendScorer:
    """Remembers what it was given."""

    def __init__(self) -> None:
        self.given: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def score(self, pictures: np.ndarray, mouths: np.ndarray, sound: np.ndarray) -> PretendScore:
        self.given.append((pictures, mouths, sound))
        return PretendScore(3.0, 7.0, 2.0)


@pytest.mark.parametrize("speech", [True, False])
def test_sync_is_scored_on_consecutive_frames_with_the_sound_of_just_that_time(dataset: Path, speech: bool):
    path = dataset / "clips" / "a1.mp4"
    clip = read_clip(path, every=100, window_s=0.48)
    scorer = PretendScorer()
    networks = MetricNetworks(vsync=scorer)
    with FaceTracker(video=False) as tracker:
        measure = ClipMeasure(clip, clip.source, Protocol.SAME, networks, tracker, speech=speech)
        result, _ = measure.measure(true_pictures(clip))
    if not speech:
        assert not scorer.given
        return
    assert result.sums["vsync_confidence"] == (3.0, 1)
    assert result.sums["vsync_at_zero"] == (2.0, 1)
    assert "sync" not in result.sums
    ((pictures, mouths, sound),) = scorer.given
    assert (pictures.shape, mouths.shape, sound.shape) == ((12, 256, 256, 3), (12, 478, 2), (12 * RATE_HZ // 25,))
    whole = read_sound(path, Fraction(0), Fraction(1))
    assert clip.window is not None and whole is not None
    start = round(clip.window.frames[0].observation.time * RATE_HZ)
    np.testing.assert_array_equal(sound, whole[start : start + len(sound)])


def test_the_window_is_consecutive_where_the_mouth_moves_most(dataset: Path):
    path = dataset / "clips" / "a1.mp4"
    clip = read_clip(path, every=6, window_s=0.4)
    assert [seen.observation.time for seen in clip.driving] == [Fraction(n, 25) for n in (6, 12, 18)]
    assert clip.window is not None
    numbers = [round(25 * seen.observation.time) for seen in clip.window.frames]
    assert numbers == list(range(numbers[0], numbers[0] + 10))
    mouth = np.array([TalkingFace(1).pose(n / 25).mouth for n in range(FRAMES)])
    assert np.ptp(mouth[numbers]) >= 0.9 * max(np.ptp(mouth[n : n + 10]) for n in range(1, FRAMES - 10))
    assert read_clip(path).window is None
    whole = read_clip(path, window_s=60).window
    assert whole is not None and len(whole.frames) == FRAMES - 1


def test_of_equal_stretches_the_middle_one_is_taken_and_none_that_misses_a_face():
    beat = np.tile([0.0, 1.0], 8)
    still = np.zeros(16)
    assert liveliest(beat, still, range(1, 13), 4) == 6
    blink = still.copy()
    blink[12] = 1
    assert liveliest(beat, blink, range(1, 13), 4) == 9
    away = np.where(np.arange(16) == 12, np.nan, beat)
    assert liveliest(away, blink, range(1, 13), 4) == 6
    assert liveliest(still * np.nan, still, range(1, 13), 4) is None


def test_models_are_named_by_labels_which_must_differ(tmp_path: Path):
    assert ModelName.parse("copy") == ModelName("copy", "copy")
    assert ModelName.parse("baseline=runs/a.safetensors") == ModelName("baseline", "runs/a.safetensors")
    odd = tmp_path / "lr=1.safetensors"
    odd.touch()
    assert ModelName.parse(str(odd)).name == str(odd)
    with pytest.raises(ConfigError, match="'x' is given twice"):
        parse_models(["x=copy", "x=mesh-warp"])
    with pytest.raises(ConfigError, match="label=name"):
        parse_models(["=copy"])


def test_a_sheet_shows_source_driver_and_models_side_by_side():
    def grey(level: int) -> np.ndarray:
        return np.full((64, 64, 3), level, np.uint8)

    driving = [grey(level) for level in range(100, 110)]
    sheet = contact_sheet(grey(1), driving, {"one": [grey(n) for n in range(10)], "two": [grey(200)] * 10})
    assert sheet.shape == (6 * 64 + 24, 4 * 64, 3)
    assert sheet[24::64, ::64, 0].tolist() == [[1, 100 + n, n, 200] for n in (0, 1, 3, 5, 7, 9)]
    assert sheet[:24].min() < 128


def test_markdown_says_how_far_each_row_lies_from_the_first(dataset: Path):
    report = evaluate(dataset, "val", ["base=copy", "warped=mesh-warp"], limit=1, every=12, window_s=0)
    base, warped = report["rows"]
    text = markdown(report)
    assert "| model | l1 ↓ | psnr ↑ |" in text
    assert "lmd, lmd_mouth, aed_expression: measured by MediaPipe's mesh, the very one that drives avfr-256" in text
    assert f"({warped['psnr'] - base['psnr']:+.2g})" in text
    assert "- `warped` is `mesh-warp`" in text
    assert "- `fid`: no pt_inception" in text


def test_the_verb_writes_a_whole_folder_or_nothing(dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    command = ["evaluate", "--data", dataset, "--model", "copy", "--limit", 1, "--every", 12, "--window", 0]
    assert run([*command, "-o", out, "--markdown", tmp_path / "table.md", "--json"]) == 0
    printed = json.loads(capfd.readouterr().out)
    assert json.loads((out / "report.json").read_text()) == printed
    assert (out / "report.md").read_text() == (tmp_path / "table.md").read_text()
    assert [path.name for path in (out / "sheets").iterdir()] == ["a1.png"]
    assert run([*command, "-o", out]) == 1
    assert "--force" in capfd.readouterr().err
    assert run([*command, "-o", out, "--force"]) == 0
    table = capfd.readouterr().out
    assert "| copy |" in table
    assert "the very one that drives avfr-256" in table
    assert "not computed: fid: no pt_inception" in table
    assert run(["evaluate", "--data", dataset, "--model", "no-such", "-o", tmp_path / "other"]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "table.md"]


def test_force_replaces_a_report_and_nothing_else(tmp_path: Path):
    mine = tmp_path / "photos"
    mine.mkdir()
    (mine / "holiday.jpg").touch()
    with pytest.raises(OutputError, match="not a folder of an earlier report"), result_folder(mine, force=True):
        raise AssertionError("must not begin")
    assert (mine / "holiday.jpg").is_file()


def test_an_ablation_has_a_row_for_every_run_in_the_order_of_their_names(dataset: Path, tmp_path: Path):
    for name in ("1-more", "0-base"):
        (tmp_path / name).mkdir()
        tiny_weights(tmp_path / name / "weights.safetensors")
    (tmp_path / "2-unfinished").mkdir()
    report = evaluate(dataset, "val", runs_in(tmp_path), limit=1, every=12, window_s=0)
    assert [row["model"] for row in report["rows"]] == ["0-base", "1-more"]
    with pytest.raises(ConfigError, match="no folder in it has weights"):
        runs_in(tmp_path / "2-unfinished")

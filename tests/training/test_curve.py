"""Curves of a run, drawn from its log."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from visavis.training.curve import draw_curves, read_curves, write_curve
from visavis.training.journal import Journal
from visavis.training.loop import StepLog


def write_log(path: Path, losses: dict[str, list[float]], tail: str = "") -> None:
    """Write a log as a run does, a step an entry."""
    count = len(next(iter(losses.values())))
    entries = [{"step": i + 1, "losses": {name: values[i] for name, values in losses.items()}} for i in range(count)]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries) + tail)


def test_a_falling_loss_falls_in_the_picture(tmp_path: Path):
    write_log(tmp_path / "log", {"l1": [1 - i / 40 for i in range(40)]})
    picture = np.asarray(draw_curves(read_curves(tmp_path / "log"))).astype(int)
    dark = np.argwhere((picture[..., 2] - picture[..., 0] > 100) & (picture[..., 0] < 90))
    left, right = dark[dark[:, 1] < 80], dark[dark[:, 1] > picture.shape[1] - 80]
    assert len(left) and len(right)
    assert left[:, 0].mean() + 60 < right[:, 0].mean()


def test_every_loss_has_its_panel_and_what_is_not_finite_or_whole_is_left_out(tmp_path: Path):
    write_log(
        tmp_path / "log", {"l1": [1, float("nan"), 3], "ssim": [1, 2, 3], "warp": [0, 0, 0]}, tail='{"step": 4, "lo'
    )
    curves = read_curves(tmp_path / "log")
    assert list(curves) == ["l1", "ssim", "warp"]
    assert curves["l1"][0].tolist() == [1, 3]
    assert draw_curves(curves).size == (720, 340)


def test_what_is_measured_meanwhile_has_panels_after_the_losses(tmp_path: Path):
    with Journal(tmp_path, steps=3, samples=2, say=lambda line: None) as journal:
        journal.validation(0, {"l1": 0.4})
        for step in range(1, 4):
            journal.log(StepLog(step=step, losses={"l1": 1 / step}, seconds=0.5))
        journal.validation(3, {"l1": 0.1})
    curves = read_curves(tmp_path / "log.jsonl")
    assert list(curves) == ["l1", "validation/l1"]
    assert [values.tolist() for values in curves["validation/l1"]] == [[0, 3], [0.4, 0.1]]
    assert (tmp_path / "curves.png").is_file()


def test_nothing_is_drawn_of_a_run_that_has_hardly_begun(tmp_path: Path):
    write_log(tmp_path / "log", {"l1": [1.0]})
    write_curve(tmp_path / "log", tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


def test_a_run_leaves_its_curves_in_its_folder(tmp_path: Path):
    with Journal(tmp_path, steps=3, samples=2, say=lambda line: None) as journal:
        for step in range(1, 4):
            journal.log(StepLog(step=step, losses={"l1": 1 / step}, seconds=0.5))
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.format == "PNG"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]

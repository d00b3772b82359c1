"""What a run tells: a line an interval, log.jsonl, its curves, TensorBoard where it is installed, and sheets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.core.aside import write_whole
from visavis.core.errors import OutputError
from visavis.training.loop import StepLog

_LOG = "log.jsonl"
_CURVE = "curves.png"
_SHEETS = "sheets"
_MINUTE_S, _HOUR_S = 60, 3600


class Journal:
    """Keeps a run's record in its folder; a run that resumes goes on where its checkpoint was.

    Args:
        out: the run's folder.
        steps: steps in all; 0 where the clock decides.
        samples: samples a step, over all processes.
        resumed_at: step of the checkpoint that the run goes on from; what was logged after it happens again.
        say: called with each line of progress.
    """

    def __init__(
        self, out: Path, *, steps: int, samples: int, resumed_at: int = 0, say: Callable[[str], None] = print
    ) -> None:
        self._out, self._steps, self._samples, self._say = out, steps, samples, say
        kept = _entries_until(out / _LOG, resumed_at)
        aside = out / f".{_LOG}"
        aside.write_text("".join(kept), encoding="utf-8")
        aside.replace(out / _LOG)
        self._file = (out / _LOG).open("a", encoding="utf-8")
        self._board: Any = None
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(out / "tensorboard"), purge_step=resumed_at + 1)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._draw()
        if self._board is not None:
            self._board.close()

    def log(self, entry: StepLog) -> None:
        """Say and write one line, and hand its numbers to TensorBoard."""
        rate = self._samples / entry.seconds
        self._file.write(json.dumps({**asdict(entry), "samples_per_s": rate}) + "\n")
        self._file.flush()
        losses = " ".join(f"{name} {value:.4f}" for name, value in entry.losses.items())
        left = _duration(entry.left_s)
        whole = f"/{self._steps}" if self._steps else ""
        self._say(f"step {entry.step}{whole}  {rate:.1f} samples/s  {left} left  {losses}")
        if self._board is not None:
            for name, value in {**entry.losses, "samples_per_s": rate}.items():
                self._board.add_scalar(name, value, entry.step)

    def validation(self, step: int, values: Mapping[str, float]) -> None:
        """Say and write what the averaged weights are worth on the validation clips."""
        self._file.write(json.dumps({"step": step, "validation": dict(values)}) + "\n")
        self._file.flush()
        self._say(f"step {step}  validation  " + " ".join(f"{name} {value:.4f}" for name, value in values.items()))
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"validation/{name}", value, step)

    def sheet(self, step: int, pixels: NDArray[np.uint8]) -> None:
        """Write a sheet of pictures ``uint8 [H, W, 3]`` as a PNG named by the step."""
        folder = self._out / _SHEETS
        coded = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
        try:
            folder.mkdir(exist_ok=True)
            write_whole(folder / f"step-{step:08d}.png", coded)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be written ({error.strerror})") from error
        self._draw()
        if self._board is not None:
            self._board.add_image("sheet", pixels, step, dataformats="HWC")

    def _draw(self) -> None:
        try:
            _draw_curves(self._out / _LOG, self._out / _CURVE)
        except OSError as error:
            raise OutputError(f"{self._out / _CURVE}: cannot be written ({error.strerror})") from error


def _entries_until(log: Path, step: int) -> list[str]:
    """Whole lines of a log up to a step; a killed process may have left half a line."""
    kept = []
    for line in log.read_text(encoding="utf-8").splitlines(keepends=True) if log.is_file() else ():
        if line.endswith("\n") and json.loads(line)["step"] <= step:
            kept.append(line)
    return kept


def _duration(seconds: float) -> str:
    if seconds >= _HOUR_S:
        return f"{seconds / _HOUR_S:.1f} h"
    return f"{seconds / _MINUTE_S:.0f} min" if seconds >= _MINUTE_S else f"{seconds:.0f} s"


def _draw_curves(log: Path, path: Path) -> None:
    """Draw the log; a machine that is lent for training may lack Pillow, and then goes without the picture."""
    try:
        from visavis.training.curve import write_curve
    except ImportError:
        return
    write_curve(log, path)

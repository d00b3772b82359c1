"""What tasks share that learn from windows: K references and k + 1 consecutive frames, with judges by name.

A family adds its network, what its samples hold, its losses and what its judges are given.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Self

from visavis.core.config import check_ranges
from visavis.training.config import TrainConfig
from visavis.training.data.gathered import Gathered, WindowBatch, WindowPicks, one_draw
from visavis.training.data.heard import Heard
from visavis.training.data.windows import FaceShape, Loader, WindowClip, WindowDraw, Windows
from visavis.training.mouth import mouth_crop
from visavis.training.panel import JudgeConfig, Panel
from visavis.training.task import Outcome
from visavis.training.tasks.redrawing import SHEET_CLIPS, D, RedrawingTask, in_columns
from visavis.training.validation import AT_A_TIME, figures, spread


@dataclass(frozen=True)
class WindowData:
    """How samples are drawn, beside what all tasks have.

    Attributes:
        silent: how often a sample that has sound is without it.
    """

    silent: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        check_ranges(self, {"silent": (0, 1)})


@dataclass(frozen=True)
class Sampling:
    """What a sample holds, as a network of some shape wants it.

    Attributes:
        size: side of the pictures.
        raster: side of the pictures of visible triangles.
        before: how many frames a window reaches back.
        references: how many pictures of the person there are.
        sound: numbers of a frame's sound features; 0 for a network that hears nothing.
    """

    size: int
    raster: int
    before: int
    references: int = 1
    sound: int = 0


class WindowTask(RedrawingTask[WindowBatch, D], Generic[D]):
    """Base of the tasks that learn from windows of frames.

    Args:
        config: settings of the run.
        clips: to learn from.
        shape: the face that was fitted to them.
        unseen: validation clips; the first of them are shown in sheets.
    """

    data_class: ClassVar[type | None] = WindowData
    judges: ClassVar[Mapping[str, JudgeConfig] | None] = {}

    def __init__(
        self, config: TrainConfig, clips: list[WindowClip], shape: FaceShape, unseen: Sequence[WindowClip] = ()
    ) -> None:
        super().__init__(config)
        self.shape, self.clips, self.unseen = shape, clips, list(unseen)
        self.sampling = self.samples(config.model)
        self.windows = Windows(
            clips,
            seed=config.seed,
            references=self.sampling.references,
            far_share=config.far_share,
            jitter=config.jitter,
            mirrored=config.mirrored,
            silent=config.data.silent,
        )
        self.judge: Panel | None = Panel(config.judges, self.conditions()) if config.judges else None
        self._gathered: Gathered | None = None
        self._validation: Gathered | None = None

    @classmethod
    @abstractmethod
    def samples(cls, model: Any) -> Sampling:
        """What a sample holds for a network of shape ``model``."""

    @classmethod
    @abstractmethod
    def face(cls, model: Any) -> FaceShape:
        """The face that is fitted to the clips."""

    @classmethod
    def hears(cls, model: Any, data: Path) -> Heard | None:
        """How clips of a folder of shards are heard; None for a network that hears nothing."""
        return None

    def conditions(self) -> dict[str, int]:
        """Channels of what a judge can be given beside the picture, by :attr:`JudgeConfig.given`."""
        return {"sound": self.sampling.sound} if self.sampling.sound else {}

    def condition(self, given: str, drawn: D, batch: WindowBatch) -> Tensor:
        """What a judge is given, ``[B, n, h, w]``: at the size of the pictures, or one number a channel.

        Args:
            given: one of :meth:`conditions`.
            drawn: what the network made.
            batch: of what.
        """
        return batch.sound[:, :, None, None]

    def columns(self, drawn: D, batch: WindowBatch) -> list[Tensor]:
        """What a sheet shows of a batch, ``[B, 3, S, S]`` each: references, driving frame, what was made of them."""
        return [*batch.references.unbind(1), batch.driving, drawn.picture]

    @classmethod
    def start(cls, config: TrainConfig, data: Path, stored: Mapping[str, Tensor], say: Callable[[str], None]) -> Self:
        """Decode the clips into memory, fit the face to them, and build the networks."""
        shape, heard, before = cls.face(config.model), cls.hears(config.model, data), cls.samples(config.model).before
        clips = Loader(shape, before, config.stride, bool(config.mirrored), heard).load(data, config.split)
        spoken = sum(len(clip.pictures) for clip in clips if clip.sound is not None)
        say(f"{len(clips)} clips, {sum(len(clip.pictures) for clip in clips)} frames in memory, {spoken} with speech")
        most = None if config.validate_every_s else SHEET_CLIPS
        unseen = Loader(shape, before, 5 * config.stride, heard=heard).load(data, "val", most=most, needed=False)
        task = cls(config, clips, shape, unseen)
        task.restore(stored)
        return task

    def to(self, device: torch.device) -> None:
        """Move the networks and the clips to ``device``."""
        super().to(device)
        self._gathered = self._on(device, self.clips, bool(self.config.mirrored))
        if self.unseen:
            self._validation = self._on(device, self.unseen, False)

    def _on(self, device: torch.device, clips: Sequence[WindowClip], mirrored: bool) -> Gathered:
        sampling = self.sampling
        return Gathered(
            clips,
            self.shape,
            device,
            size=sampling.size,
            raster=sampling.raster,
            mirrored=mirrored,
            region_weight=self.config.region_weight,
            sound=sampling.sound,
        )

    def batch(self, step: int, count: int) -> WindowPicks:
        """Which frames batch number ``step`` of ``count`` samples holds."""
        assert self._gathered is not None, "the clips are where the network is"
        return self._gathered.picks(self.windows.draws(step, count))

    def whole(self, batch: WindowPicks) -> WindowBatch:
        """Gather the frames."""
        assert self._gathered is not None
        return self._gathered.gather(batch)

    def judged(self, drawn: D, batch: WindowBatch) -> Outcome:
        """What those judges say that have joined by now."""
        joined = [] if self.judge is None else self.judge.joined(self.done)
        if self.judge is None or not joined:
            return Outcome()
        shown = {name: self._shown_to(name, drawn, batch) for name in joined}
        trues, fakes = (
            {name: show(picture) for name, show in shown.items()} for picture in (batch.driving, drawn.picture)
        )
        nothing, names = batch.driving.new_zeros(0), list(self.judge.configs)
        seen = (tuple(x.get(name, nothing) for name in names) for x in (trues, fakes))
        return Outcome(self.judge.judged(fakes, trues), *seen)

    def _shown_to(self, name: str, drawn: D, batch: WindowBatch) -> Callable[[Tensor], Tensor]:
        """How a picture is shown to a judge: cut out, with what it is given beside it."""
        config = self.config.judges[name]
        condition = None if config.given == "nothing" else self.condition(config.given, drawn, batch)

        def show(picture: Tensor) -> Tensor:
            beside = condition
            if config.sees == "mouth":
                picture = mouth_crop(picture, batch.mouth)
                beside = mouth_crop(beside, batch.mouth) if beside is not None and beside.shape[-1] > 1 else beside
            if beside is None:
                return picture
            return torch.cat([picture, beside.to(picture.dtype).expand(-1, -1, *picture.shape[2:])], 1)

        return show

    def judge_loss(self, logits: Sequence[Tensor]) -> Tensor:
        """Summed over the judges, each with its own loss."""
        assert self.judge is not None
        return self.judge.loss(logits)

    def judge_groups(self) -> list[dict[str, Any]]:
        """Each judge with its part of the learning rate."""
        return [] if self.judge is None else self.judge.groups()

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Psnr, l1 and mouth sharpness on the validation clips, each redrawn from its first frames."""
        if self._validation is None or not self.config.validate_every_s:
            return {}
        found = spread([len(clip.pictures) for clip in self.unseen], self.config.validate_frames)
        parts = [found[first : first + AT_A_TIME] for first in range(0, len(found), AT_A_TIME)]
        redrawn = (self._redrawn(network, [self._plain(*where) for where in part]) for part in parts)
        return figures((drawn.picture, batch.driving, batch.mouth) for drawn, batch in redrawn)

    def _plain(self, clip: int, frame: int) -> WindowDraw:
        """A frame as it is, from the first ones of a validation clip."""
        last = len(self.unseen[clip].pictures) - 1
        first = tuple(min(number, last) for number in range(self.sampling.references))
        return replace(one_draw(clip, 0, frame), references=first)

    def _redrawn(self, network: nn.Module, draws: Sequence[WindowDraw]) -> tuple[D, WindowBatch]:
        assert self._validation is not None
        device = next(network.parameters()).device
        batch = self._validation.gather(self._validation.picks(draws).to(device))
        return self.draw(network, batch), batch

    @torch.no_grad()
    def sheet(self, network: nn.Module) -> NDArray[np.uint8] | None:
        """A row a clip: what :meth:`columns` gives of the frame whose face differs most from the first one's."""
        if self._validation is None:
            return None
        shown = self.unseen[:SHEET_CLIPS]
        draws = [self._plain(number, _farthest(clip)) for number, clip in enumerate(shown)]
        return in_columns(self.columns(*self._redrawn(network, draws)))


def _farthest(clip: WindowClip) -> int:
    """The frame whose face differs most from the first one's."""
    own = clip.faces[clip.window[:, -1], :, :2]
    return int(np.abs(own - own[:1]).mean((1, 2)).argmax())

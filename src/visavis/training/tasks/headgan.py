"""HeadGAN as something to learn (section 4.1 and appendix A)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Self

from visavis.core.config import check_ranges
from visavis.generators.headgan.config import HeadganConfig
from visavis.generators.headgan.motion import FaceMotion, draw_irises, face_motion, face_pictures
from visavis.generators.headgan.network import HeadganNetwork, Rendering, Still
from visavis.judges.perceptual import PerceptualDistance, choose
from visavis.training.config import TrainConfig
from visavis.training.data.face_shape import face_shape
from visavis.training.data.gathered import Gathered, WindowBatch, WindowPicks, one_draw
from visavis.training.data.heard import heard
from visavis.training.data.windows import FaceShape, Loader, WindowClip, WindowDraw, Windows
from visavis.training.head_losses import HeadganLosses, perceptual_distance, picture_losses, temporal_l1
from visavis.training.losses import pyramid_l1
from visavis.training.mouth import mouth_crop
from visavis.training.panel import JudgeConfig, Panel
from visavis.training.task import Outcome
from visavis.training.validation import AT_A_TIME, figures, spread

_SHEET_CLIPS = 6
# Samples on which the weight of the perceptual term is measured.
_MEASURED_BATCHES, _MEASURED_SAMPLES = 4, 16
_PERCEPTUAL_WEIGHT = "perceptual.weight"


@dataclass(frozen=True)
class HeadganData:
    """How samples are drawn, beside what all tasks have.

    Attributes:
        silent: how often a sample that has sound is without it.
        temporal_share: on how much of a batch the temporal loss is computed, which wants the window before too.
    """

    silent: float = 0.2
    temporal_share: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        check_ranges(self, {"silent": (0, 1), "temporal_share": (0, 1)})


@dataclass(frozen=True)
class _Seen:
    """A batch as the network sees it.

    Attributes:
        faces: of one window more than the network sees, ``[B, 3 (k + 2), r, r]``; the last k + 1 are its window.
        motion: of the face that ends the window.
    """

    batch: WindowBatch
    reference_face: Tensor
    faces: Tensor
    motion: FaceMotion | None

    def window(self, memory: int) -> Tensor:
        return self.faces[:, -3 * (memory + 1) :]


class HeadganTask:
    """Learns F and R, judged by D and D_m.

    Args:
        config: settings of the run.
        clips: to learn from.
        shape: the face that was fitted to them.
        unseen: validation clips; the first of them are shown in sheets.
    """

    family = "headgan"
    model_class = HeadganConfig
    losses_class = HeadganLosses
    data_class: ClassVar[type | None] = HeadganData
    presets: ClassVar[Mapping[str, Callable[[], Any]]] = {
        "compact256": HeadganConfig.compact256,
        "paper256": HeadganConfig.paper256,
        "tiny": HeadganConfig.tiny,
    }
    judges: ClassVar[Mapping[str, JudgeConfig] | None] = {
        "picture": JudgeConfig("spade", 64, 4, "picture", "face", "hinge", 1.0, 10.0),
        "mouth": JudgeConfig("spade", 64, 4, "mouth", "sound", "hinge", 1.0, 10.0),
    }
    of_data: ClassVar[tuple[str, ...]] = ()

    done: float = 0.0

    def __init__(
        self, config: TrainConfig, clips: list[WindowClip], shape: FaceShape, unseen: Sequence[WindowClip] = ()
    ) -> None:
        torch.manual_seed(config.seed)
        weights: HeadganLosses = config.losses
        self.config, self.shape, self.clips, self.unseen = config, shape, clips, list(unseen)
        self.windows = Windows(
            clips,
            seed=config.seed,
            far_share=config.far_share,
            jitter=config.jitter,
            mirrored=config.mirrored,
            silent=config.data.silent,
        )
        self.network = HeadganNetwork(config.model)
        self.judge: Panel | None = None
        if config.judges:
            self.judge = Panel(config.judges, {"face": 3, "sound": config.model.sound})
        self.perceptual: PerceptualDistance | None = None
        if weights.looks and config.perceptual != "none":
            self.perceptual = choose(config.perceptual, torch.device("cpu"))
        # A share of the pyramid's term becomes a weight when the first batch is there.
        self._perceptual_weight = None if weights.perceptual_share else weights.perceptual
        self._gathered: Gathered | None = None
        self._validation: Gathered | None = None

    @classmethod
    def start(cls, config: TrainConfig, data: Path, stored: Mapping[str, Tensor], say: Callable[[str], None]) -> Self:
        """Decode the clips into memory, fit the face to them, and build the networks."""
        shape = face_shape(irises=config.model.irises, landmarks=config.model.landmarks)
        hears = heard(data) if config.model.sound else None
        before = config.model.memory + 1
        loader = Loader(shape, before, config.stride, bool(config.mirrored), hears)
        clips = loader.load(data, config.split)
        spoken = sum(len(clip.pictures) for clip in clips if clip.sound is not None)
        say(f"{len(clips)} clips, {sum(len(clip.pictures) for clip in clips)} frames in memory, {spoken} with speech")
        most = None if config.validate_every_s else _SHEET_CLIPS
        unseen = Loader(shape, before, 5 * config.stride, heard=hears).load(data, "val", most=most, needed=False)
        task = cls(config, clips, shape, unseen)
        if _PERCEPTUAL_WEIGHT in stored:
            task._perceptual_weight = float(stored[_PERCEPTUAL_WEIGHT])
        return task

    def to(self, device: torch.device) -> None:
        """Move the networks and the clips to ``device``."""
        for network in (self.network, self.judge):
            if network is not None:
                network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.perceptual is not None:
            self.perceptual.to(device)
        self.triangles = torch.from_numpy(self.shape.triangles).to(device)
        self.colours = torch.from_numpy(self.shape.colours).to(device)
        self.eyes = torch.from_numpy(self.shape.eyes).to(device)
        self._gathered = self._on(device, self.clips, bool(self.config.mirrored))
        if self.unseen:
            self._validation = self._on(device, self.unseen, False)

    def _on(self, device: torch.device, clips: Sequence[WindowClip], mirrored: bool) -> Gathered:
        config = self.config
        return Gathered(
            clips,
            self.shape,
            device,
            size=config.model.size,
            raster=config.model.raster,
            mirrored=mirrored,
            region_weight=config.region_weight,
            sound=config.model.sound,
        )

    def batch(self, step: int, count: int) -> WindowPicks:
        """Which frames batch number ``step`` of ``count`` samples holds."""
        assert self._gathered is not None, "the clips are where the network is"
        return self._gathered.picks(self.windows.draws(step, count))

    def losses(self, batch: WindowPicks, step: int) -> Outcome:
        """Equation 9 and the losses that we add, those that count."""
        assert self._gathered is not None
        seen = self._seen(self._gathered.gather(batch))
        weights, real, mouth = self.config.losses, seen.batch.driving, seen.batch.mouth
        out, before = self._drawn(self.network, seen)
        losses = picture_losses(weights, out, real, seen.batch.weight)
        if before is not None:
            count = len(before[0])
            losses["temporal"] = weights.temporal * temporal_l1(before, [x[:count] for x in out.warped.features])
        if self.perceptual is not None:
            if self._perceptual_weight is None:
                self._perceptual_weight = self._measured_weight()
            if self._perceptual_weight:
                distance = perceptual_distance(self.perceptual, out.picture, real, mouth, weights.perceptual_mouth)
                losses["perceptual"] = self._perceptual_weight * distance
            if weights.warp_perceptual:
                distance = self.perceptual(out.warped.picture.float(), real).mean()
                losses["warp_perceptual"] = weights.warp_perceptual * distance
        joined = [] if self.judge is None else self.judge.joined(self.done)
        if self.judge is None or not joined:
            return Outcome(losses)
        shown = {name: self._shown_to(name, seen) for name in joined}
        trues, fakes = ({name: show(picture) for name, show in shown.items()} for picture in (real, out.picture))
        nothing = real.new_zeros(0)
        losses.update(self.judge.judged(fakes, trues))
        names = list(self.judge.configs)
        return Outcome(losses, *(tuple(x.get(name, nothing) for name in names) for x in (trues, fakes)))

    def _seen(self, batch: WindowBatch) -> _Seen:
        motion = None
        if self.config.model.mesh_flow:
            source = batch.reference_faces[:, 0]
            motion = face_motion(batch.index[:, -1], batch.faces[:, -1], source, self.triangles)
        reference = self._pictures(batch.reference_index[:, :1], batch.reference_faces[:, :1])
        return _Seen(batch, reference, self._pictures(batch.index, batch.faces), motion)

    def _pictures(self, index: Tensor, vertices: Tensor) -> Tensor:
        faces = face_pictures(index, self.colours)
        return draw_irises(faces, index, vertices, self.eyes) if self.config.model.irises else faces

    def _drawn(self, network: nn.Module, seen: _Seen) -> tuple[Rendering, list[Tensor] | None]:
        """The generator's work; and, of the first rows, the features that were warped for the frame before."""
        assert isinstance(network, HeadganNetwork)
        batch, memory = seen.batch, self.config.model.memory
        still = network.encode(batch.references[:, 0], seen.reference_face, batch.person[:, 0])
        before = None
        count = round(self.config.data.temporal_share * len(batch.driving))
        if self.config.losses.temporal and network.training and count:
            before = self._before(network, still, seen, count)
        return network.render(still, seen.window(memory), seen.motion, batch.sound), before

    def _before(self, network: HeadganNetwork, still: Still, seen: _Seen, count: int) -> list[Tensor]:
        batch, memory = seen.batch, self.config.model.memory
        motion = None
        if seen.motion is not None:
            source = batch.reference_faces[:count, 0]
            motion = face_motion(batch.index[:count, -2], batch.faces[:count, -2], source, self.triangles)
        faces = seen.faces[:count, -3 * (memory + 2) : -3]
        return list(network.warp(still.first(count), faces, motion).features)

    def _shown_to(self, name: str, seen: _Seen) -> Callable[[Tensor], Tensor]:
        """How a picture is shown to a judge: cut out, with what it is given beside it."""
        config, batch = self.config.judges[name], seen.batch
        condition: Tensor | None = None
        if config.given == "face":
            condition = seen.faces[:, -3:]
            if self.config.model.fold > 1:
                condition = nn.functional.interpolate(condition, scale_factor=self.config.model.fold, mode="nearest")
        elif config.given == "sound":
            condition = batch.sound[:, :, None, None]

        def show(picture: Tensor) -> Tensor:
            beside = condition
            if config.sees == "mouth":
                picture = mouth_crop(picture, batch.mouth)
                beside = mouth_crop(beside, batch.mouth) if beside is not None and beside.shape[-1] > 1 else beside
            if beside is None:
                return picture
            return torch.cat([picture, beside.to(picture.dtype).expand(-1, -1, *picture.shape[2:])], 1)

        return show

    @torch.no_grad()
    def _measured_weight(self) -> float:
        """Weight at which the perceptual term is the wanted share of the pyramid's, for the network as it is now."""
        assert self.perceptual is not None and self._gathered is not None
        weights, network = self.config.losses, deepcopy(self.network)  # batch norm of the copy alone takes notice
        terms = torch.zeros(2, device=self.triangles.device)
        for number in range(_MEASURED_BATCHES):
            picks = self.batch(number, min(self.config.batch, _MEASURED_SAMPLES)).to(self.triangles.device)
            seen = self._seen(self._gathered.gather(picks))
            out, _ = self._drawn(network, seen)
            batch = seen.batch
            distance = perceptual_distance(
                self.perceptual, out.picture, batch.driving, batch.mouth, weights.perceptual_mouth
            )
            l1 = weights.pyramid * pyramid_l1(out.picture, batch.driving, batch.weight)
            terms += torch.stack([l1, distance]).float()
        l1_term, distance_term = terms.tolist()
        return float(weights.perceptual_share * l1_term / max(distance_term, 1e-12))

    def judge_loss(self, logits: Sequence[Tensor]) -> Tensor:
        """Equations 4 and 5."""
        assert self.judge is not None
        return self.judge.loss(logits)

    def judge_groups(self) -> list[dict[str, Any]]:
        """Each judge with its part of the learning rate."""
        return [] if self.judge is None else self.judge.groups()

    def fixed(self) -> Mapping[str, Tensor]:
        """The weight of the perceptual term where it was measured."""
        if self.config.losses.perceptual_share and self._perceptual_weight is not None:
            return {_PERCEPTUAL_WEIGHT: torch.tensor(self._perceptual_weight, dtype=torch.float64)}
        return {}

    @classmethod
    def fixed_in(cls, model: HeadganConfig, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Nothing: the face model is packaged by itself."""
        return {}

    def plain_config(self) -> Mapping[str, Any]:
        """The network's shape."""
        return asdict(self.config.model)

    def meta(self) -> Mapping[str, Any]:
        """The weights of the losses, the judges, and which perceptual network there was."""
        judges = {name: asdict(config) for name, config in (self.config.judges or {}).items()}
        name = getattr(self.perceptual, "name", "none")
        return {"losses": asdict(self.config.losses), "judges": judges, "perceptual": name}

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Psnr, l1 and mouth sharpness on the validation clips, each redrawn from its first frame."""
        if self._validation is None or not self.config.validate_every_s:
            return {}
        found = spread([len(clip.pictures) for clip in self.unseen], self.config.validate_frames)
        parts = [found[first : first + AT_A_TIME] for first in range(0, len(found), AT_A_TIME)]
        drawn = (self._redrawn(network, [one_draw(clip, 0, frame) for clip, frame in part]) for part in parts)
        return figures((out.picture, seen.batch.driving, seen.batch.mouth) for out, seen in drawn)

    def _redrawn(self, network: nn.Module, draws: Sequence[WindowDraw]) -> tuple[Rendering, _Seen]:
        assert self._validation is not None
        seen = self._seen(self._validation.gather(self._validation.picks(draws).to(self.triangles.device)))
        return self._drawn(network, seen)[0], seen

    @torch.no_grad()
    def sheet(self, network: nn.Module) -> NDArray[np.uint8] | None:
        """A row a clip: reference, driving face, driving frame, warped reference, what ``network`` makes of them."""
        if self._validation is None:
            return None
        clips = range(min(_SHEET_CLIPS, len(self.unseen)))
        draws = [one_draw(clip, 0, _farthest(self.unseen[clip])) for clip in clips]
        out, seen = self._redrawn(network, draws)
        size = self.config.model.size
        face = nn.functional.interpolate(seen.faces[:, -3:], (size, size), mode="nearest")
        columns = [seen.batch.references[:, 0], face, seen.batch.driving, out.warped.picture, out.picture]
        shown = torch.cat([column.float().cpu() for column in columns], 3)
        pixels = (shown.permute(0, 2, 3, 1).flatten(0, 1) * 255).round().clamp(0, 255)
        return np.asarray(pixels.numpy().astype(np.uint8))


def _farthest(clip: WindowClip) -> int:
    """The frame whose face differs most from the first one's."""
    own = clip.faces[clip.window[:, -1], :, :2]
    return int(np.abs(own - own[:1]).mean((1, 2)).argmax())

"""A speaker as something to learn: expression and head motion (Chen et al. 2020, sections 3.2 and 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Self

from visavis.core.config import check_ranges
from visavis.core.errors import DataError
from visavis.face.model3d import load_face_model
from visavis.motion.speech.config import SpeakerConfig
from visavis.motion.speech.head import moved
from visavis.motion.speech.heard import SpeakerSound
from visavis.motion.speech.idle import SIZES
from visavis.motion.speech.mouth import QUANTILES
from visavis.motion.speech.network import SpeakerNetwork
from visavis.motion.speech.phi import RhythmJudge
from visavis.motion.speech.speaker import FAMILY
from visavis.training.config import TrainConfig
from visavis.training.data.idle import idle_tables
from visavis.training.data.late import latenesses
from visavis.training.data.speakers import SpeakerClip, load_speakers
from visavis.training.data.speech_motion import SpeechBatch, SpeechMotion
from visavis.training.losses import discriminator_loss, generator_adversarial_loss
from visavis.training.speaker_losses import HeadLikelihood, MouthLoss, pinball
from visavis.training.task import Outcome
from visavis.training.tasks.single import SingleNetwork

_SHORTEST = 24
_SHOWN, _SHOWN_FRAMES = 8, 240
_ROW_PX = 80
_NUMBERS_FOR_STEP = 300  # of what is heard, the last: the numbers of speech where they are heard


@dataclass(frozen=True)
class SpeakerLosses:
    """How stretches are drawn and judged.

    Attributes:
        expression: weight of where the face's points are.
        velocity: of their speed, against place.
        head: of the likelihood of heads.
        fooled: of the judge of head motion.
        library: of the rhythms for those without a reference clip.
        range: of the tables of how wide mouths open.
        frames: length of a stretch of expression.
        head_frames: length of a stretch of head motion; at least 96 tells of the slowest bands.
        ways: in how many ways each clip is heard, besides as it is.
        empty: share of stretches in which nobody speaks.
        unknown: how often the person is not told.
        in_step: whether each clip's sound is moved to where it fits its lips.
    """

    expression: float = 1.0
    velocity: float = 1.0
    head: float = 0.1
    fooled: float = 0.02
    library: float = 0.1
    range: float = 1.0
    frames: int = 60
    head_frames: int = 96
    ways: int = 4
    empty: float = 0.08
    unknown: float = 0.3
    in_step: bool = True

    def __post_init__(self) -> None:
        counts = {"frames": (8, 1000), "head_frames": (32, 1000), "ways": (0, 100)}
        check_ranges(self, {**counts, "empty": (0, 1), "unknown": (0, 1)})


class SpeakerTask(SingleNetwork):
    """Learns a :class:`SpeakerNetwork`.

    Args:
        config: settings of the run.
        clips: to learn from, with sound, in step with it.
        unseen: validation clips likewise; may be none.
        idle: tables of idle motion.
        late: frames by which the clips' sound was late, for the run's state.
    """

    family = FAMILY
    model_class = SpeakerConfig
    losses_class = SpeakerLosses
    of_data: ClassVar[tuple[str, ...]] = tuple(f"idle_{name}" for name in SIZES)
    presets: ClassVar[Mapping[str, Callable[[], Any]]] = {
        "speaker25": SpeakerConfig,
        "psi_paper": SpeakerConfig.paper,
        "tiny": SpeakerConfig.tiny,
    }
    network: SpeakerNetwork

    def __init__(
        self,
        config: TrainConfig,
        clips: Sequence[SpeakerClip],
        unseen: Sequence[SpeakerClip] = (),
        idle: Mapping[str, NDArray[np.float32]] | None = None,
        late: Sequence[int] = (),
    ) -> None:
        super().__init__(config, SpeakerNetwork)
        losses: SpeakerLosses = config.losses
        self.judge = RhythmJudge()
        model = load_face_model()
        self.network.identity_scale.copy_(torch.from_numpy(np.array(model.identity_scale)))
        self.network.expression_scale.copy_(torch.from_numpy(np.array(model.expression_scale)))
        for name, table in (idle or {}).items():
            getattr(self.network, f"idle_{name}").copy_(torch.from_numpy(table))
        self.hears = SpeakerSound(config.model.hears)
        self.motion = SpeechMotion(
            clips,
            self.hears,
            frames=losses.frames,
            head_frames=losses.head_frames,
            ways=losses.ways,
            empty=losses.empty,
            seed=config.seed,
        )
        self.unseen, self.late = list(unseen), list(late)
        self._mouth = MouthLoss(model, losses.velocity)
        self._likelihood = HeadLikelihood()
        self._heard: dict[int, NDArray[np.float32]] = {}

    @classmethod
    def start(cls, config: TrainConfig, data: Path, stored: Mapping[str, Tensor], say: Callable[[str], None]) -> Self:
        """Fit every clip of the split, measure idle motion, and bring sound in step."""
        clips = load_speakers(data, config.split, _SHORTEST)
        speaking = [clip for clip in clips if clip.sound is not None]
        say(
            f"{len(speaking)} clips, {len({clip.person for clip in speaking})} people, "
            f"{sum(map(len, speaking)) / 25 / 60:.1f} minutes of speech; idle motion from {len(clips)} clips"
        )
        late: list[int] = stored["late"].tolist() if "late" in stored else _late(config, speaking)
        if config.losses.in_step:
            say(f"sound is late by {min(late)} to {max(late)} frames, by 0 in {late.count(0)} clips")
            speaking = [clip.earlier(frames) for clip, frames in zip(speaking, late, strict=True)]
        try:
            unseen = [clip for clip in load_speakers(data, "val", _SHORTEST) if clip.sound is not None]
            if config.losses.in_step:
                unseen = [clip.earlier(lag) for clip, lag in zip(unseen, _late(config, unseen), strict=True)]
        except DataError:  # it trains as well without, and nobody knows how far it gets
            unseen = []
        return cls(config, speaking, unseen, idle_tables([clip.idle for clip in clips]), late)

    def to(self, device: torch.device) -> None:
        """Move the networks to ``device``."""
        for part in (self.network, self.judge, self._mouth, self._likelihood):
            assert part is not None
            part.to(device)

    def fixed(self) -> Mapping[str, Tensor]:
        """By how much the clips' sound was late."""
        return {"late": torch.tensor(self.late, dtype=torch.int64)}

    def batch(self, step: int, count: int) -> SpeechBatch:
        """Batch number ``step`` of ``count`` stretches."""
        return self.motion.batch(step, count)

    def losses(self, batch: SpeechBatch, step: int) -> Outcome:
        """Both learners', and the tables'."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed * 1_000_003 + step)  # of dropout: a resumed run draws the same
            return self._losses(batch)

    def _losses(self, batch: SpeechBatch) -> Outcome:
        network, weights = self.network, self.config.losses
        known = (torch.rand(len(batch.identity), 1) >= weights.unknown).to(batch.identity)
        made = network.change(batch.heard, batch.identity * known)
        losses = {"expression": weights.expression * self._mouth(made, batch.change, batch.keep, batch.empty)}
        spoken = (batch.keep * (1 - batch.empty)[:, None]) > 0
        shares = torch.tensor(QUANTILES, device=made.device)
        tables = [
            pinball(table, shares, self._mouth.opening(change)[spoken])
            for table, change in ((network.predicted, made), (network.real, batch.change))
        ]
        losses["range"] = weights.range * torch.stack(tables).sum()
        phi = network.phi
        code = phi.encoder(batch.reference_head, batch.reference_sound)
        layer = phi.encoder.layer(code)
        features, gates = phi.extrapolator(batch.sound)
        told = moved(layer, features, torch.zeros_like(batch.noise))
        losses["head"] = weights.head * self._likelihood(batch.head, told, layer, gates)
        head = told + (gates * batch.noise) @ layer.noise.transpose(1, 2)
        assert self.judge is not None
        losses["fooled"] = weights.fooled * generator_adversarial_loss(self.judge(head))
        losses["library"] = weights.library * _library(code.detach(), phi.rhythms, 1 - self.done)
        return Outcome(losses, (batch.head,), (head,))

    def judge_loss(self, logits: Sequence[Tensor]) -> Tensor:
        """Real heads from made ones."""
        real, made = logits[0].chunk(2)
        return discriminator_loss(real, made)

    def judge_groups(self) -> list[dict[str, Any]]:
        """All of the judge."""
        assert self.judge is not None
        return [{"params": list(self.judge.parameters())}]

    @torch.no_grad()
    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Of unseen people: correlation of mouths' opening, of its changes, and its range over the real one's."""
        found = []
        for at in range(len(self.unseen)):
            made, real = self._openings(network, at)
            found.append(
                (_correlation(made, real), _correlation(np.diff(made), np.diff(real)), made.std() / real.std())
            )
        names = ("opening", "opening_changes", "opening_range")
        return dict(zip(names, map(float, np.mean(found, 0)), strict=True)) if found else {}

    def _openings(self, network: nn.Module, at: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        assert isinstance(network, SpeakerNetwork)
        clip = self.unseen[at]
        if at not in self._heard:
            assert clip.sound is not None
            self._heard[at] = self.hears.of_clip(clip.sound, len(clip))
        device = network.expression_scale.device
        heard, person = (torch.from_numpy(x)[None].to(device) for x in (self._heard[at], clip.identity))
        made = self._mouth.opening(network.change(heard, person)[0])
        real = self._mouth.opening(torch.from_numpy(clip.change).to(device))
        return made.cpu().numpy(), real.cpu().numpy()

    @torch.no_grad()
    def sheet(self, network: nn.Module) -> NDArray[np.uint8] | None:
        """Draw how wide mouths of unseen people open over time: grey as they do, red as predicted."""
        if not self.unseen:
            return None
        rows = np.full((_SHOWN * _ROW_PX, 4 * _SHOWN_FRAMES, 3), 255, np.uint8)
        every = max(len(self.unseen) // _SHOWN, 1)
        for row, at in enumerate(range(0, min(len(self.unseen), _SHOWN * every), every)):
            for line, colour in zip(self._openings(network, at), ((220, 30, 30), (120, 120, 120)), strict=True):
                height = (row + 1) * _ROW_PX - 8 - np.clip(line[:_SHOWN_FRAMES], -0.02, 0.4) * (_ROW_PX / 0.5)
                points = np.stack([4 * np.arange(len(height)), height], 1).round().astype(np.int32)
                cv2.polylines(rows, [points.reshape(-1, 1, 2)], False, colour, 1, cv2.LINE_AA)
        return rows


def _late(config: TrainConfig, clips: Sequence[SpeakerClip]) -> list[int]:
    """Frames by which the sound of each clip is late; none where that is not asked for, or nobody could tell."""
    if not config.losses.in_step or len({clip.person for clip in clips}) < 2:
        return [0] * len(clips)
    hears, mouth = SpeakerSound(config.model.hears), MouthLoss(load_face_model(), 0.0)
    heard, lips = [], []
    for clip in clips:
        assert clip.sound is not None
        heard.append(hears.of_clip(clip.sound, len(clip))[:, -_NUMBERS_FOR_STEP:].astype(np.float64))
        lips.append(mouth.opening(torch.from_numpy(clip.change)).double().numpy())
    return [int(frames) for frames in latenesses([clip.person for clip in clips], heard, lips)]


def _library(codes: Tensor, rhythms: Tensor, heat: float) -> Tensor:
    """Draws rhythms ``[k, c]`` to middles of clusters of codes ``[B, c]``; softly at first: none is left over."""
    apart = (codes[:, None] - rhythms[None]).square().sum(2)
    width = apart.detach().mean() * (0.02 + 0.5 * heat)
    return (apart * (-apart.detach() / width).softmax(1)).sum(1).mean() / codes.shape[1]


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / np.sqrt(max((one * one).sum() * (other * other).sum(), 1e-18)))

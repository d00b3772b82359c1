"""Characters heard in speech, as something to learn (connectionist temporal classification, Graves et al. 2006)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Self

from visavis.audio.character_network import CharacterNetwork
from visavis.audio.characters import BLANK, CHARACTERS, best_path, edit_distance
from visavis.audio.recogniser import FAMILY, CharacterConfig
from visavis.core.config import check_ranges
from visavis.core.errors import DataError
from visavis.training.config import TrainConfig
from visavis.training.data.speech import Speech, SpeechBatch, load_speech
from visavis.training.task import Outcome
from visavis.training.tasks.single import SingleNetwork

_SHOWN = 4
_VALIDATION_BATCH = 16
_VALIDATION_SEED = 1


@dataclass(frozen=True)
class SpeechLosses:
    """How stretches of speech are drawn and judged.

    Attributes:
        ctc: weight of the loss, nats a character.
        parts: length of a stretch, in parts of 40 ms.
        varied: how strongly rooms, microphones and other sounds disturb at most, from 0 to 1.
        stretches: how many there are.
    """

    ctc: float = 1.0
    parts: int = 90
    varied: float = 1.0
    stretches: int = 5000

    def __post_init__(self) -> None:
        check_ranges(self, {"parts": (1, 10_000), "varied": (0, 1), "stretches": (1, 1 << 20)})


class CtcTask(SingleNetwork):
    """Learns a :class:`CharacterNetwork`.

    Args:
        config: settings of the run.
        speech: where batches come from.
        unseen: speech of validation voices, as it is and as microphones hear it; empty without any.
    """

    family = FAMILY
    model_class = CharacterConfig
    losses_class = SpeechLosses
    network: CharacterNetwork
    presets: ClassVar[Mapping[str, Callable[[], Any]]] = {"characters16": CharacterConfig, "tiny": CharacterConfig.tiny}

    def __init__(self, config: TrainConfig, speech: Speech, unseen: Mapping[str, Speech]) -> None:
        super().__init__(config, CharacterNetwork)
        self.speech, self.unseen = speech, unseen

    @classmethod
    def start(cls, config: TrainConfig, data: Path, stored: Mapping[str, Tensor], say: Callable[[str], None]) -> Self:
        """Read the speech into memory."""
        losses: SpeechLosses = config.losses
        shape = {"parts": losses.parts, "reach_samples": config.model.reach_samples, "stretches": losses.stretches}
        speech = Speech(load_speech(data, config.split), varied=losses.varied, seed=config.seed, **shape)
        voices = {utterance.voice for utterance in speech.utterances}
        seconds = sum(len(utterance.sound) for utterance in speech.utterances) / 16_000
        say(
            f"{len(speech.utterances)} utterances, {len(voices)} voices, {seconds / 3600:.1f} hours of speech in memory"
        )
        try:
            held = load_speech(data, "val")
        except DataError:  # it trains as well without, and nobody knows how far it gets
            held = []
        kinds = {"clean": 0.0, "noisy": 1.0} if held else {}
        unseen = {kind: Speech(held, varied=varied, seed=_VALIDATION_SEED, **shape) for kind, varied in kinds.items()}
        return cls(config, speech, unseen)

    def to(self, device: torch.device) -> None:
        """Move the network to ``device``."""
        self.network.to(device)

    def batch(self, step: int, count: int) -> SpeechBatch:
        """Batch number ``step`` of ``count`` stretches."""
        return self.speech.batch(step, count)

    def losses(self, batch: SpeechBatch, step: int) -> Outcome:
        """The loss a character, averaged over stretches."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed * 1_000_003 + step)  # of dropout: a resumed run draws the same
            logits = self.network(batch.mel)
        return Outcome({"ctc": self.config.losses.ctc * ctc_loss(logits, batch.text)})

    @torch.no_grad()
    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Error rate of characters on unseen voices, by the best path: clean, and as microphones hear it."""
        return {f"cer_{kind}": self._error_rate(network, speech) for kind, speech in self.unseen.items()}

    def _error_rate(self, network: nn.Module, speech: Speech) -> float:
        device = next(network.parameters()).device
        wrong = said = 0
        for step in range(-(-self.config.validate_frames // (_VALIDATION_BATCH * speech.parts))):
            batch = speech.batch(step, _VALIDATION_BATCH)
            for classes, text in zip(
                network(batch.mel.to(device)).argmax(1).tolist(), batch.text.tolist(), strict=True
            ):
                words = "".join(CHARACTERS[number] for number in text if number != BLANK)
                wrong += edit_distance(best_path(classes).strip(), words)
                said += len(words)
        return wrong / max(said, 1)

    @torch.no_grad()
    def sheet(self, network: nn.Module) -> NDArray[np.uint8] | None:
        """Draw what is heard in a few unseen stretches: time to the right, space, letters and blank downwards."""
        if not self.unseen:
            return None
        device = next(network.parameters()).device
        *_, hardest = self.unseen.values()
        batch = hardest.batch(0, _SHOWN)
        heard = network(batch.mel.to(device)).float().softmax(1).cpu().numpy()
        grey = np.concatenate([np.pad(one, ((0, 2), (0, 0)), constant_values=0.5) for one in heard])
        return np.asarray(np.repeat((grey * 255).astype(np.uint8).repeat(6, 0).repeat(6, 1)[..., None], 3, 2))


def ctc_loss(logits: Tensor, text: Tensor) -> Tensor:
    """Mean over stretches of the negative log likelihood of a text a character.

    Args:
        logits: ``[B, 28, P]``.
        text: ``int64 [B, L]``, blanks at the end; a text that no path of P parts can say counts nothing.
    """
    parts = torch.full((len(text),), logits.shape[2])
    lengths = (text != BLANK).sum(1).cpu()
    scores = logits.float().permute(2, 0, 1).log_softmax(2)
    return F.ctc_loss(scores, text, parts, lengths, blank=BLANK, zero_infinity=True)

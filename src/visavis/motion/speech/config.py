"""The shape of a speaker's networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from visavis.core.config import check_ranges
from visavis.motion.speech.heard import Kind


@dataclass(frozen=True)
class SpeakerConfig:
    """Shape of a :class:`visavis.motion.speech.network.SpeakerNetwork`.

    Attributes:
        hears: what the expression learner hears, see :class:`visavis.motion.speech.heard.SpeakerSound`.
        learner: ``temporal``, convolutions over frames that look back; or ``paper``, the linear regression of one
            frame.
        identity, expression: numbers of coefficients of the 3D face.
        spoken: how many of the expression's are predicted, the first ones (the paper: 20).
        person: numbers that the identity is encoded in; 0 leaves it out.
        width, blocks, kernel: channels of the temporal learner, its blocks, and frames that each looks at.
        dropout, hidden: of its features, and of what it hears, in training.
        audio: features of the head motion learner's sound (the paper: 256).
        picture: channels of its two-dimensional convolutions.
        code: numbers that a rhythm is.
        rhythms: how many rhythms are learned for those who bring no reference clip.
    """

    hears: Kind = "both"
    learner: Literal["temporal", "paper"] = "temporal"
    identity: int = 40
    expression: int = 30
    spoken: int = 30
    person: int = 0
    width: int = 160
    blocks: int = 3
    kernel: int = 3
    dropout: float = 0.3
    hidden: float = 0.3
    audio: int = 256
    picture: int = 4
    code: int = 24
    rhythms: int = 8

    def __post_init__(self) -> None:
        """Refuse shapes that no network has."""
        sizes = {"identity": (1, 512), "expression": (1, 512), "spoken": (1, self.expression), "person": (0, 512)}
        depths = {"width": (1, 4096), "blocks": (1, 64), "kernel": (1, 63), "audio": (1, 4096), "picture": (1, 512)}
        rest = {"code": (1, 1024), "rhythms": (1, 1024), "dropout": (0, 0.9), "hidden": (0, 0.9)}
        check_ranges(self, {**sizes, **depths, **rest})

    @property
    def reach(self) -> int:
        """Frames before a frame that the expression learner looks at."""
        return self.blocks * (self.kernel - 1) if self.learner == "temporal" else 0

    @classmethod
    def paper(cls) -> SpeakerConfig:
        """The expression learner as published: linear regression of raw sound and identity, 20 coefficients."""
        return cls(hears="raw", learner="paper", spoken=20, person=32, width=256)

    @classmethod
    def tiny(cls) -> SpeakerConfig:
        """The smallest, for tests."""
        return cls(hears="mel", width=8, blocks=1, dropout=0.0, hidden=0.0, audio=8, picture=1, code=4, rhythms=2)

"""How a call is coded."""

from __future__ import annotations

from dataclasses import dataclass

from visavis.codec.bitstream import MOST_PACKET_BYTES, POINTS_HEAD, Mode
from visavis.codec.rate import budget
from visavis.codec.sound import LEAST_KBPS, MOST_KBPS
from visavis.codec.transform import GROUP_SIZES, count_points
from visavis.core.errors import ConfigError
from visavis.motion.layout import Layout

MOST_INTERPOLATED = 4
MODES = {"adaptive": Mode.ADAPTIVE, "paper80": Mode.PAPER80}


@dataclass(frozen=True)
class CallSettings:
    """How a call is coded.

    Attributes:
        mode: ``adaptive``, our motion coder; or ``paper80``, keypoints as float32 as in the thesis.
        kbps: bits of pictures a second to keep to; None for the default quality.
        interpolate: frames N between two that are sent, 0 to 4; the receiver makes them.
        group: frames that are coded together, 1, 2, 4 or 8; None takes what spans eight frames.
        angles: degrees of yaw, pitch and roll from every pivot held, beyond which a new one is sent; None takes 12, 10,
            10, or 8, 7, 7 where `kbps` says how many there may be.
        quality_drop_db: a new pivot is sent, too, when a frame made from the nearest pivot held has so many dB less
            psnr than the best frame that was made from it; None takes 5, or 1 where `kbps` says how many there may
            be. Infinity saves the rendering that this takes.
        sound_kbps: of Opus, 6 to 24.
    """

    mode: str = "adaptive"
    kbps: float | None = None
    interpolate: int = 0
    group: int | None = None
    angles: tuple[float, float, float] | None = None
    quality_drop_db: float | None = None
    sound_kbps: int = 12

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        if self.mode not in MODES:
            raise ConfigError(f"--mode {self.mode}: choose {' or '.join(MODES)}")
        budget(self.kbps)
        if not 0 <= self.interpolate <= MOST_INTERPOLATED:
            raise ConfigError(f"--interpolate {self.interpolate}: choose 0 to {MOST_INTERPOLATED}")
        if self.group is not None and self.group not in GROUP_SIZES:
            raise ConfigError(f"groups of {self.group} frames: choose 1, 2, 4 or 8")
        if len(self.most_apart) != 3 or not all(angle > 0 for angle in (*self.most_apart, self.most_drop_db)):
            raise ConfigError("thresholds of pivots: give three angles and a number of dB, all greater than 0")
        if not LEAST_KBPS <= self.sound_kbps <= MOST_KBPS:
            raise ConfigError(f"sound of {self.sound_kbps} kbit/s: choose {LEAST_KBPS} to {MOST_KBPS}")

    def check_motion(self, layout: Layout, group: int, name: str) -> None:
        """Refuse to send keypoints alone where there are none, or more than a packet holds.

        Args:
            layout: of the motion.
            group: frames in a packet.
            name: of the weights, for the message.

        Raises:
            ConfigError: these settings cannot send such motion.
        """
        if MODES[self.mode] is not Mode.PAPER80:
            return
        count = count_points(layout)
        if not count:
            raise ConfigError(f"--mode paper80: the motion of {name} has no keypoints; choose adaptive")
        if POINTS_HEAD + 8 * count * group > MOST_PACKET_BYTES:
            raise ConfigError(
                f"--mode paper80: {group} frames of {count} keypoints do not fit into a packet; choose adaptive"
            )

    @property
    def most_apart(self) -> tuple[float, float, float]:
        """The angles that hold."""
        return self.angles or ((12.0, 10.0, 10.0) if self.kbps is None else (8.0, 7.0, 7.0))

    @property
    def most_drop_db(self) -> float:
        """The fall in quality that holds."""
        return (5.0 if self.kbps is None else 1.0) if self.quality_drop_db is None else self.quality_drop_db

"""The metrics by name, in the order of the tables."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One metric.

    Attributes:
        name: key of the report.
        better: 1 when higher is better, -1 when lower is, 0 when nearest 1 is.
        truth: whether it needs ground truth, and so the same protocol.
        window: whether it is measured on consecutive frames.
    """

    name: str
    better: int
    truth: bool = False
    window: bool = False

    @property
    def arrow(self) -> str:
        """Which way is better."""
        return {1: "↑", -1: "↓", 0: "→1"}[self.better]


COLUMNS = (
    Column("l1", -1, truth=True),
    Column("psnr", 1, truth=True),
    Column("ssim", 1, truth=True),
    Column("lmd", -1, truth=True),
    Column("lmd_mouth", -1, truth=True),
    Column("aed", -1, truth=True),
    Column("aed_expression", -1),
    Column("csim", 1),
    Column("lpips", -1, truth=True),
    Column("fid", -1),
    Column("ffd", -1),
    Column("fvd", -1, window=True),
    Column("sync", 1, window=True),
    Column("sync_distance", -1, window=True),
    Column("vsync_confidence", 1, window=True),
    Column("vsync_distance", -1, window=True),
    Column("vsync_at_zero", 1, window=True),
    Column("face_sharpness", 1),
    Column("mouth_sharpness", 1),
    Column("head_dynamics", 1, window=True),
    Column("lip_dynamics", 1, window=True),
    Column("brow_dynamics", 1, window=True),
    Column("blink", 1, window=True),
    Column("mouth_correlation", 1, window=True),
    Column("mouth_range", 0, window=True),
    Column("mouth_contact", 1, window=True),
    Column("lid_correlation", 1, window=True),
    Column("lid_gap", -1, window=True),
)

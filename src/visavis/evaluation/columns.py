"""The metrics by name, in the order of the tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One metric.

    Attributes:
        name: key of the report.
        better: 1 when higher is better, -1 when lower is, 0 when nearest 1 is.
        truth: whether it needs ground truth, and so the same protocol.
        window: whether it is measured on consecutive frames.
        mesh: whether MediaPipe's mesh, which drives avfr-256 too, is what measures it.
    """

    name: str
    better: int
    truth: bool = False
    window: bool = False
    mesh: bool = False

    @property
    def arrow(self) -> str:
        """Which way is better."""
        return {1: "↑", -1: "↓", 0: "→1"}[self.better]


COLUMNS = (
    Column("l1", -1, truth=True),
    Column("psnr", 1, truth=True),
    Column("ssim", 1, truth=True),
    Column("lmd", -1, truth=True, mesh=True),
    Column("lmd_mouth", -1, truth=True, mesh=True),
    Column("lmd68", -1, truth=True),
    Column("lmd68_mouth", -1, truth=True),
    Column("aed", -1, truth=True),
    Column("aed_expression", -1, mesh=True),
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
    Column("broken_eyes", -1),
    Column("head_dynamics", 1, window=True, mesh=True),
    Column("lip_dynamics", 1, window=True, mesh=True),
    Column("brow_dynamics", 1, window=True, mesh=True),
    Column("blink", 1, window=True, mesh=True),
    Column("mouth_correlation", 1, window=True, mesh=True),
    Column("mouth_range", 0, window=True, mesh=True),
    Column("mouth_contact", 1, window=True, mesh=True),
    Column("lid_correlation", 1, window=True, mesh=True),
    Column("lid_gap", -1, window=True, mesh=True),
)


def mesh_note(names: Iterable[str]) -> str:
    """What has to be said wherever columns are printed that the mesh measures; empty when there are none."""
    told = set(names)
    found = [column.name for column in COLUMNS if column.mesh and column.name in told]
    if not found:
        return ""
    return (
        f"{', '.join(found)}: measured by MediaPipe's mesh, the very one that drives avfr-256 and mesh-warp, "
        "which flatters both; lmd68 is of another landmark network."
    )

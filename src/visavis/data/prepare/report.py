"""What a run of prepare reports."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from visavis.data.quality import is_kept


@dataclass
class SplitCount:
    """How much there is of one split."""

    clips: int = 0
    seconds: float = 0.0
    identities: set[str] = field(default_factory=set)

    def as_json(self) -> dict[str, object]:
        """The counts as plain values."""
        return {"clips": self.clips, "hours": round(self.seconds / 3600, 4), "identities": len(self.identities)}


@dataclass
class PrepareReport:
    """What :func:`prepare` did.

    Attributes:
        clips: clips in the shards.
        kept: those of them that are good enough to be trained on.
        skipped: those of them that an earlier, interrupted run had done.
        missing: names of videos that the data set speaks of and that are not there.
        failed: reason by clip.
        workers: who did something; a process that took over from one that ended counts as that one.
        seconds: of this run.
    """

    clips: int = 0
    kept: int = 0
    skipped: int = 0
    frames: int = 0
    frames_without_face: int = 0
    missing: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)
    workers: set[str] = field(default_factory=set)
    splits: dict[str, SplitCount] = field(default_factory=lambda: defaultdict(SplitCount))
    shards: int = 0
    bytes: int = 0
    seconds: float = 0.0

    @property
    def clips_per_s(self) -> float | None:
        """Clips that this run did itself, over its time."""
        done = self.clips - self.skipped
        return done / self.seconds if self.seconds and done > 0 else None

    def add(self, info: dict[str, Any]) -> None:
        """Count a clip that lies in a shard."""
        self.clips += 1
        self.kept += is_kept(info)
        self.frames += int(info["frames"])
        self.frames_without_face += int(info["frames_without_face"])
        split = self.splits[str(info["split"])]
        split.clips += 1
        split.seconds += float(info["seconds"])
        split.identities.add(str(info["identity"]))

    def as_json(self) -> dict[str, object]:
        """The report as one JSON object."""
        return {
            "clips": self.clips,
            "kept": self.kept,
            "skipped": self.skipped,
            "missing": len(self.missing),
            "missing_videos": list(self.missing),
            "failed": [{"clip": clip, "reason": reason} for clip, reason in self.failed.items()],
            "frames": self.frames,
            "frames_without_face": self.frames_without_face,
            "hours": round(sum(split.seconds for split in self.splits.values()) / 3600, 4),
            "identities": len(set().union(*(split.identities for split in self.splits.values()))),
            "splits": {name: split.as_json() for name, split in sorted(self.splits.items())},
            "shards": self.shards,
            "bytes": self.bytes,
            "workers": len(self.workers),
            "seconds": round(self.seconds, 3),
            "clips_per_s": self.clips_per_s,
        }

"""The networks that metrics need: looked for where people keep them, named in the report, and missed with a reason.

A metric is computed with the network of the literature or not at all; nothing stands in for it under its name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import torch

from visavis.core.errors import WeightsError
from visavis.core.paths import cache_folder
from visavis.evaluation.metrics import identity, inception, lipsync, video
from visavis.evaluation.metrics.identity import IdentityNetwork
from visavis.evaluation.metrics.inception import Inception
from visavis.evaluation.metrics.landmarks68 import FILE as LANDMARKS68_FILE
from visavis.evaluation.metrics.landmarks68 import Landmarks68, load_landmarks68
from visavis.evaluation.metrics.lipsync import SyncScorer
from visavis.evaluation.metrics.video import VideoNetwork
from visavis.face import model3d
from visavis.face.model3d import FaceModel, load_face_model
from visavis.judges.face_network import PACKAGED_NAME, FaceNetwork, load_face_network
from visavis.judges.perceptual import Lpips
from visavis.weights.checkpoint import sha256
from visavis.weights.store import FOLDER_VARIABLE, resolve

LPIPS_FILES = ("lpips.safetensors", "lpips.pth")
SYNCNET_FILES = ("syncnet_v2.safetensors", "syncnet_v2.model")
_PUBLISHED_SCORER = "syncnet"
_HASH_DIGITS = 12

T = TypeVar("T")


@dataclass
class MetricNetworks:
    """The networks at hand.

    Attributes:
        identity, landmarks68, inception, lpips, video, face, face_model: as named; None when not at hand.
        sync, vsync: scorers of lip synchronisation, by the published SyncNet and by the network trained here.
        used: what each metric was computed with: name, file and start of its SHA-256.
        unavailable: why a metric cannot be computed.
    """

    identity: IdentityNetwork | None = None
    landmarks68: Landmarks68 | None = None
    inception: Inception | None = None
    lpips: Lpips | None = None
    video: VideoNetwork | None = None
    face: FaceNetwork | None = None
    face_model: FaceModel | None = None
    sync: SyncScorer | None = None
    vsync: SyncScorer | None = None
    used: dict[str, str] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path | None = None) -> MetricNetworks:
        """Load whatever can be found.

        Args:
            folder: looked into first; then the folder that ``VISAVIS_WEIGHTS`` names, our cache, torch hub's cache and,
                for dlib's, the package face_recognition_models.
        """
        own = _own_folders(folder)
        caches = [cache_folder() / "weights", Path(torch.hub.get_dir()) / "checkpoints"]
        every = [*own, *caches]
        found = cls()
        found.identity = found._add(
            ("aed", "csim"), "dlib face recognition ResNet, aligned by the face mesh",
            [identity.FILE], [*every, *_dlib_package()], IdentityNetwork,
        )  # fmt: skip
        found.landmarks68 = found._add(
            ("lmd68", "lmd68_mouth"), "dlib's detector and 68 landmarks",
            [LANDMARKS68_FILE], [*every, *_dlib_package()], load_landmarks68,
        )  # fmt: skip
        found.inception = found._add(("fid",), "Inception v3 (2015)", inception.FILES, every, Inception.from_file)
        found.lpips = found._add(("lpips",), "LPIPS (VGG-16)", LPIPS_FILES, every, Lpips.from_file)
        # TorchScript runs what is in it: only from a folder that somebody named.
        found.video = found._add(("fvd",), "I3D (Kinetics-400)", [video.FILE], own, VideoNetwork)
        found.face = found._ours(("ffd",), "face network of visavis", _load_face_network)
        found.face_model = found._ours(("aed_expression",), "expression of the 3D face", _load_face_model)
        found.sync = found._add(("sync", "sync_distance"), "SyncNet", SYNCNET_FILES, every, _load_published_scorer)
        own_metrics = ("vsync_confidence", "vsync_distance", "vsync_at_zero")
        found.vsync = found._ours(own_metrics, "sync network of visavis", _load_own_scorer)
        return found

    def _add(
        self,
        metrics: Sequence[str],
        title: str,
        files: Sequence[str],
        folders: Sequence[Path],
        open_: Callable[[Path], T],
    ) -> T | None:
        try:
            path = _find(files, folders)
            network = open_(path)
        except WeightsError as error:
            self.unavailable |= dict.fromkeys(metrics, str(error))
            return None
        self.used |= dict.fromkeys(metrics, f"{title}, {path.name}, sha256 {sha256(path)[:_HASH_DIGITS]}")
        return network

    def _ours(self, metrics: Sequence[str], title: str, open_: Callable[[], tuple[T, str]]) -> T | None:
        try:
            network, which = open_()
        except WeightsError as error:
            self.unavailable |= dict.fromkeys(metrics, str(error))
            return None
        self.used |= dict.fromkeys(metrics, f"{title}, {which}")
        return network


def _own_folders(folder: Path | None) -> list[Path]:
    if folder is not None and not folder.is_dir():
        raise WeightsError(f"--metric-weights {folder}: no such folder")
    named = os.environ.get(FOLDER_VARIABLE)
    return [path for path in (folder, Path(named) if named else None) if path is not None]


def _dlib_package() -> list[Path]:
    # Found, not imported: the package only holds files, and its import needs setuptools.
    spec = find_spec("face_recognition_models")
    return [Path(place) / "models" for place in spec.submodule_search_locations or ()] if spec is not None else []


def _find(files: Sequence[str], folders: Sequence[Path]) -> Path:
    for folder in folders:
        for file in files:
            if os.path.isfile(folder / file):
                return folder / file
    places = ", ".join(map(str, folders)) or f"--metric-weights or {FOLDER_VARIABLE}, and neither is given"
    raise WeightsError(f"no {' or '.join(files)} in {places}")


def _load_face_network() -> tuple[FaceNetwork, str]:
    return load_face_network(), _named(PACKAGED_NAME)


def _load_face_model() -> tuple[FaceModel, str]:
    return load_face_model(), _named(model3d.PACKAGED_NAME)


def _load_published_scorer(path: Path) -> SyncScorer:
    scorer = SyncScorer.load(path)
    if scorer.name != _PUBLISHED_SCORER:
        raise WeightsError(f"{path}: is '{scorer.name}' and not the published SyncNet")
    return scorer


def _load_own_scorer() -> tuple[SyncScorer, str]:
    return SyncScorer.load(), _named(lipsync.DEFAULT)


def _named(weights: str) -> str:
    return f"{weights}, sha256 {sha256(resolve(weights))[:_HASH_DIGITS]}"

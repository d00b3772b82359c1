"""One clip through every metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.core.errors import DataError
from visavis.evaluation.by_pose import degrees_apart
from visavis.evaluation.clip import ClipFrames, Seen, Window
from visavis.evaluation.metrics import broken, dynamics, identity, video
from visavis.evaluation.metrics.expression import ExpressionDistance
from visavis.evaluation.metrics.image import l1, psnr, ssim
from visavis.evaluation.metrics.landmarks import landmark_distance
from visavis.evaluation.metrics.landmarks68 import Points, landmark_distance68
from visavis.evaluation.metrics.opening import compare_openings
from visavis.evaluation.metrics.sharpness import agreement, sharpness
from visavis.evaluation.networks import MetricNetworks
from visavis.evaluation.protocol import Protocol
from visavis.evaluation.results import Features, ModelResult
from visavis.face.align import whole
from visavis.face.tracker import FaceTracker
from visavis.face.types import Face
from visavis.media.frame import Pixels

_BATCH = 8
_SYNC_FPS = 25
Mesh = NDArray[np.float32]


class ClipMeasure:
    """Measures models on one clip; what depends on the clip alone is computed once.

    Args:
        clip: driving frames and window.
        source: the person who is animated.
        protocol: with ground truth or without.
        networks: those at hand.
        tracker: finds faces in rendered pictures, each alone.
        speech: whether the clip's sound is the visible person's.
    """

    def __init__(
        self,
        clip: ClipFrames,
        source: Seen,
        protocol: Protocol,
        networks: MetricNetworks,
        tracker: FaceTracker,
        *,
        speech: bool = True,
    ) -> None:
        self._clip, self._source, self._networks, self._tracker = clip, source, networks, tracker
        self._truth = protocol is Protocol.SAME
        self._speech = speech
        real = [seen.observation.picture for seen in clip.driving]
        self.degrees = degrees_apart(_mesh(source), [_mesh(seen) for seen in clip.driving])
        self.real_features = self._features(real, _pictures(clip.window) if clip.window is not None else None)
        self._sharp = [_sharpness(seen) for seen in (clip.driving if self._truth else [source])]
        self._source_eyes = broken.SourceEyes(source.observation.picture, source.face.mesh)
        self._points68 = self._landmarks68()
        self._source_embedding, self._real_embeddings = self._identities()
        self._expression = self._expression_distance()

    def measure(self, made_by: Mapping[Fraction, Pixels]) -> tuple[ModelResult, list[Pixels]]:
        """Measure one model.

        Args:
            made_by: its pictures of the clip's driving frames and window, by their times.

        Returns:
            Its sums, and its driving frames.
        """
        # The tracker looks for one face after it has seen one: so every model meets it in the same state.
        self._tracker.find(self._source.observation.picture)
        rendered: dict[Fraction, tuple[Pixels, Face | None]] = {}
        count = len(self._clip.driving)
        result = ModelResult(frames=count, by_frame=[{} for _ in range(count)])

        def made(seen: Seen) -> tuple[Pixels, Face | None]:
            time = seen.observation.time
            if time not in rendered:
                picture = made_by[time]
                rendered[time] = picture, self._tracker.find(picture)
            return rendered[time]

        frames = [made(seen) for seen in self._clip.driving]
        for number, (picture, face) in enumerate(frames):
            self._frame(result, number, picture, face)
        self._embeddings(result, frames)
        pictures = [picture for picture, _ in frames]
        self._perceptual(result, pictures)
        window = self._clip.window
        shots = [made(seen) for seen in window.frames] if window is not None else []
        if window is not None:
            self._window(result, window, shots)
        self._broken(result, rendered)
        result.features = self._features(pictures, [picture for picture, _ in shots] or None)
        return result, pictures

    def _frame(self, result: ModelResult, number: int, picture: Pixels, face: Face | None) -> None:
        seen = self._clip.driving[number]
        truth = seen.observation.picture
        if self._truth:
            result.add_frame(
                number, {"l1": l1(picture, truth), "psnr": psnr(picture, truth), "ssim": ssim(picture, truth)}
            )
            self._frame68(result, number, picture)
        if face is None:
            result.no_face += 1
            return
        if self._truth:
            distance, mouth = landmark_distance(face.mesh, seen.face.mesh, picture.shape[0])
            result.add_frame(number, {"lmd": distance, "lmd_mouth": mouth})
        if self._expression is not None:
            result.add_frame(number, {"aed_expression": self._expression(_relative(face, picture), _mesh(seen))})
        wanted = self._sharp[number if self._truth else 0]
        result.add_frame(
            number, {name: agreement(value, wanted[name]) for name, value in sharpness(picture, face.mesh).items()}
        )

    def _broken(self, result: ModelResult, rendered: Mapping[Fraction, tuple[Pixels, Face | None]]) -> None:
        """Ask of every frame, of the window too, whether its eyes are broken; those without a face count elsewhere."""
        seen = [(time, picture, face.mesh) for time, (picture, face) in sorted(rendered.items()) if face is not None]
        scores = [self._source_eyes.foreign(picture, mesh) for _, picture, mesh in seen]
        for (time, _, _), excess in zip(seen, broken.excess(scores), strict=True):
            result.add({"broken_eyes": float(excess >= broken.EXCESS)})
            if excess >= broken.EXCESS:
                result.broken.append((excess, float(time)))

    def _frame68(self, result: ModelResult, number: int, picture: Pixels) -> None:
        network, real = self._networks.landmarks68, self._points68[number]
        if network is None or real is None:
            return
        made = network.find(picture)
        if made is None:
            result.no_face68 += 1
            return
        distance, mouth = landmark_distance68(made, real, picture.shape[0])
        result.add_frame(number, {"lmd68": distance, "lmd68_mouth": mouth})

    def _embeddings(self, result: ModelResult, frames: Sequence[tuple[Pixels, Face | None]]) -> None:
        network = self._networks.identity
        if network is None:
            return
        with_face = [(number, picture, face) for number, (picture, face) in enumerate(frames) if face is not None]
        found = network.embed([identity.chip(picture, face.mesh) for _, picture, face in with_face])
        for (number, _, _), embedding in zip(with_face, found, strict=True):
            result.add_frame(number, {"csim": identity.identity_similarity(embedding, self._source_embedding)})
            if self._truth:
                result.add_frame(number, {"aed": identity.identity_distance(embedding, self._real_embeddings[number])})

    def _perceptual(self, result: ModelResult, pictures: Sequence[Pixels]) -> None:
        lpips = self._networks.lpips
        if lpips is None or not self._truth:
            return
        for number, (picture, seen) in enumerate(zip(pictures, self._clip.driving, strict=True)):
            with torch.inference_mode():
                distance = lpips(as_tensor([picture]), as_tensor([seen.observation.picture]))
            result.add_frame(number, {"lpips": float(distance)})

    def _window(self, result: ModelResult, window: Window, shots: Sequence[tuple[Pixels, Face | None]]) -> None:
        real = [seen.face.mesh for seen in window.frames]
        meshes = _held([face for _, face in shots])
        if meshes is None:
            # A face that is not there moves as little as a copy does.
            meshes = [self._source.face.mesh] * len(real)
        for name, track in dynamics.TRACKS.items():
            result.add({name: dynamics.spectral_agreement(track(meshes), track(real))})
        result.blinks += dynamics.compare_blinks(meshes, real)
        openings = compare_openings(meshes, real)
        result.add(openings.values)
        result.contact += openings.contact
        if self._speech and abs(window.fps - _SYNC_FPS) < 1:
            self._sync(result, window, [picture for picture, _ in shots], meshes)

    def _sync(self, result: ModelResult, window: Window, pictures: Sequence[Pixels], meshes: Sequence[Mesh]) -> None:
        for scorer, names in (
            (self._networks.sync, ("sync", "sync_distance")),
            (self._networks.vsync, ("vsync_confidence", "vsync_distance", "vsync_at_zero")),
        ):
            if scorer is None or window.sound is None:
                continue
            mouths = np.stack([mesh[:, :2] for mesh in meshes]).astype(np.float32)
            # A window that is too short for this network is no fault of the clip's other metrics.
            with suppress(DataError):
                score = scorer.score(np.stack(pictures), mouths, window.sound)
                values = (score.confidence, score.distance, score.at_zero)
                result.add(dict(zip(names, values, strict=False)))  # papers know only the first two

    def _features(self, pictures: Sequence[Pixels], window: Sequence[Pixels] | None) -> Features:
        """Features of the Frechet distances, of true or rendered frames."""
        found: Features = {}
        networks = self._networks
        if networks.inception is not None and pictures:
            found["fid"] = _batched(networks.inception, pictures)
        if networks.face is not None and pictures:
            found["ffd"] = _batched(networks.face.embedding, pictures)
        if networks.video is not None and window is not None and len(window) >= video.FRAMES:
            found["fvd"] = networks.video.features(np.stack(window[: video.FRAMES]))
        return found

    def _landmarks68(self) -> list[Points | None]:
        """dlib's points of the true frames, None where it sees no face."""
        network = self._networks.landmarks68
        if network is None or not self._truth:
            return [None] * len(self._clip.driving)
        return [network.find(seen.observation.picture) for seen in self._clip.driving]

    def _identities(self) -> tuple[identity.Embedding, NDArray[np.float32]]:
        network = self._networks.identity
        if network is None:
            return np.zeros(0, np.float32), np.zeros((0, 0), np.float32)
        seen = [self._source, *(self._clip.driving if self._truth else [])]
        found = network.embed([identity.chip(one.observation.picture, one.face.mesh) for one in seen])
        return found[0], found[1:]

    def _expression_distance(self) -> ExpressionDistance | None:
        model = self._networks.face_model
        if model is None:
            return None
        return ExpressionDistance(model, _mesh(self._source), _mesh(self._clip.source))


def _mesh(seen: Seen) -> Mesh:
    mesh = seen.observation.mesh
    assert mesh is not None, "clips are read with their meshes"
    return mesh


def _relative(face: Face, picture: Pixels) -> Mesh:
    """Mesh in [-1, 1] of a face found in a rendered crop."""
    return whole(*picture.shape[:2]).to_crop(face.mesh)


def _sharpness(seen: Seen) -> dict[str, float]:
    return sharpness(seen.observation.picture, seen.face.mesh)


def _pictures(window: Window) -> list[Pixels]:
    return [seen.observation.picture for seen in window.frames]


def _held(faces: Sequence[Face | None]) -> list[Mesh] | None:
    """Meshes of consecutive frames; one without a face repeats the mesh before it; None when no frame has one."""
    last = next((face for face in faces if face is not None), None)
    if last is None:
        return None
    meshes = []
    for face in faces:
        last = face or last
        meshes.append(last.mesh)
    return meshes


def as_tensor(pictures: Sequence[Pixels]) -> Tensor:
    """Pictures ``uint8 [S, S, 3]`` as ``float [N, 3, S, S]`` in [0, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def _batched(network: Callable[[Tensor], Tensor], pictures: Sequence[Pixels]) -> NDArray[np.float32]:
    with torch.inference_mode():
        parts = [network(as_tensor(pictures[i : i + _BATCH])).float().numpy() for i in range(0, len(pictures), _BATCH)]
    return np.concatenate(parts).astype(np.float32)

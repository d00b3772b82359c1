"""Learn the packaged 3D face from the meshes of a data set's training clips, and say how well it fits others.

    python tools/learn_face_model.py SHARDS [--stills FOLDER] [--identity 40] [--expression 30]

Writes face-3d.safetensors into the package and its line in the manifest. Steps: meshes are aligned to their mean by
points that do not move; expression is the principal components of what changes within clips; identity those of what is
left of people's means once expressions are taken out of them. Each mesh counts with its mirror image, so that every
mode is its own mirror image or the opposite of it. Stills (``stills.csv`` beside pictures, columns id, identity, split)
add people.

The triangles are MediaPipe's: its edges are written down triangle by triangle, each the same way round, so that a
triangle is a directed cycle of three edges. Eyes and mouth, which are holes there, are filled from lid to lid and
from lip to lip.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from visavis.data.shards import read
from visavis.face.fitting import fit_clip, vertex_error
from visavis.face.mesh import LEFT_EYE, LIPS, LIPS_INNER, RIGHT_EYE
from visavis.face.mirror import MIRROR
from visavis.face.model3d import FAMILY, PACKAGED_NAME, SKIN_TRIANGLES, TRIANGLES, FaceModel, rigid_weights
from visavis.face.types import SKIN_POINTS
from visavis.weights.checkpoint import sha256
from visavis.weights.store import PACKAGED

FRAMES = 64  # of each clip, so that long clips do not count more
LEAST_FRAMES = 25
ROUNDS = 4
SIDE = 256
FLIP = np.array([-1.0, 1.0, 1.0])
SWAP = MIRROR[:SKIN_POINTS]
WEIGHT = rigid_weights().astype(np.float64)[:, None]

Array = np.ndarray
Clip = tuple[str, Array]  # who, and meshes [T, 468, 3]


def clips_of(shards: Path) -> dict[str, list[Clip]]:
    """Clips of each split."""
    clips: dict[str, list[Clip]] = defaultdict(list)
    for record in read(shards):
        priors = record.decoded()
        meshes = priors.mesh[priors.seen][:, :SKIN_POINTS].astype(np.float64)
        if len(meshes) >= LEAST_FRAMES:
            chosen = np.linspace(0, len(meshes) - 1, min(FRAMES, len(meshes))).astype(int)
            clips[record.info["split"]].append((record.info["identity"], meshes[chosen]))
    return clips


def stills_of(folder: Path) -> list[Clip]:
    """The training people of a folder of pictures, a clip of one frame each."""
    from visavis.face.landmarks import FaceMesher
    from visavis.media.still import read_picture

    found: list[Clip] = []
    with (folder.parent / "stills.csv").open(encoding="utf-8") as table, FaceMesher(1, video=False) as mesher:
        for row in csv.DictReader(table):
            if row["split"] != "train":
                continue
            pixels = read_picture(folder / f"{row['id']}.jpg").pixels
            for face in mesher.faces(pixels):
                found.append((row["identity"], face.mesh[None, :SKIN_POINTS].astype(np.float64)))
    return found


def unposed(meshes: Array, mean: Array) -> Array:
    """Meshes [T, 468, 3] laid over the mean by a weighted similarity each."""
    moved, still = meshes - (WEIGHT * meshes).sum(1, keepdims=True), mean - (WEIGHT * mean).sum(0)
    u, singular, vt = np.linalg.svd(np.swapaxes(moved, 1, 2) @ (WEIGHT * still))
    sign = np.ones_like(singular)
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    scale = (singular * sign).sum(1) / (WEIGHT * still**2).sum()
    return moved @ ((u * sign[:, None]) @ vt) / scale[:, None, None] + mean - still


def normalised(mesh: Array) -> Array:
    """Symmetric, its rigid part centred with unit size."""
    centred = mesh - (WEIGHT * mesh).sum(0)
    centred = unposed(centred[None, SWAP] * FLIP, centred)[0] / 2 + centred / 2
    # The middle plane of a face and its mirror image is where x is nought, once it is turned there.
    mirror = centred[SWAP] * FLIP
    u, _, vt = np.linalg.svd((WEIGHT * mirror).T @ centred)
    turn = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    half = _half_of(turn)
    centred = centred @ half.T
    centred = (centred + centred[SWAP] * FLIP) / 2
    centred -= (WEIGHT * centred).sum(0)
    return centred / np.sqrt((WEIGHT * centred**2).sum())


def _half_of(turn: Array) -> Array:
    from visavis.face.model3d import rotation_matrices, rotation_vectors

    return rotation_matrices(rotation_vectors(turn) / 2)


def components(rows: Array, count: int) -> tuple[Array, Array]:
    """Symmetric and opposite principal components of rows [N, 1404] and their mirror images, by variance."""
    mirrored = (rows.reshape(-1, SKIN_POINTS, 3)[:, SWAP] * FLIP).reshape(len(rows), -1)
    values, vectors = [], []
    for part in ((rows + mirrored) / 2, (rows - mirrored) / 2):
        if len(part) < part.shape[1]:
            _, singular, vt = np.linalg.svd(part, full_matrices=False)
            values.append(singular**2 / len(part))
            vectors.append(vt)
        else:
            value, vector = np.linalg.eigh(part.T @ part / len(part))
            values.append(value[::-1])
            vectors.append(vector.T[::-1])
    value, vector = np.concatenate(values), np.concatenate(vectors)
    order = np.argsort(value)[::-1][:count]
    return vector[order], np.sqrt(value[order])


def people_of(clips: list[Clip], mean: Array) -> dict[str, Array]:
    """Mean unposed mesh of each person, each clip counting once."""
    means: dict[str, list[Array]] = defaultdict(list)
    for who, meshes in clips:
        means[who].append(unposed(meshes, mean).mean(0))
    return {who: np.mean(own, 0) for who, own in means.items()}


def learn(clips: list[Clip], stills: list[Clip], identities: int, expressions: int) -> tuple[FaceModel, int]:
    """The model, and of how many people it is."""
    mean = normalised(clips[0][1][0])
    for _ in range(ROUNDS):
        mean = normalised(np.mean(list(people_of(clips, mean).values()), 0))
    own = [unposed(meshes, mean) for _, meshes in clips]
    changes = np.concatenate([meshes - meshes.mean(0) for meshes in own]).reshape(-1, mean.size)
    expression, expression_scale = components(changes, expressions)
    people = people_of(clips, mean)
    rests = np.stack([(face - mean).reshape(-1) for face in people.values()]) @ expression.T
    people = people_of(stills, mean) | people
    faces = np.stack([(face - mean).reshape(-1) for face in people.values()])
    identity, identity_scale = components(faces - (faces @ expression.T) @ expression, identities)
    model = FaceModel(
        mean.astype(np.float32),
        identity.reshape(-1, SKIN_POINTS, 3).astype(np.float32),
        expression.reshape(-1, SKIN_POINTS, 3).astype(np.float32),
        triangles(mean),
        identity_scale.astype(np.float32),
        expression_scale.astype(np.float32),
        np.sqrt((rests**2).mean(0)).astype(np.float32),
    )
    return model, len(people)


def triangles(mean: Array) -> np.ndarray:
    """The triangles [898, 3], clockwise in the picture where they face the camera."""
    from mediapipe.python.solutions.face_mesh_connections import FACEMESH_TESSELATION

    edges = set(FACEMESH_TESSELATION)
    after = defaultdict(set)
    for a, b in edges:
        after[a].add(b)
    cycles = {tuple(sorted(((a, b, c), (b, c, a), (c, a, b)))[0]) for a, b in edges for c in after[b] if a in after[c]}
    # An edge belongs to one triangle. A ring of three triangles about a point is a cycle too, though none of the mesh.
    found: list[tuple[int, ...]] = []
    while edges:
        of = defaultdict(list)
        for cycle in cycles:
            for edge in _edges(cycle):
                of[edge].append(cycle)
        sure = {own[0] for edge, own in of.items() if len(own) == 1 and edge in edges}
        found += sorted(sure)
        edges -= {edge for cycle in sure for edge in _edges(cycle)}
        cycles = {cycle for cycle in cycles - sure if set(_edges(cycle)) <= edges}
        if not sure:
            raise SystemExit(f"{len(edges)} edges belong to no triangle")
    found.sort()
    for ring in (RIGHT_EYE, LEFT_EYE, LIPS_INNER):
        found += _filled(ring)
    rows = np.array(found)
    a, b, c = (mean[rows[:, i], :2] for i in range(3))
    turned = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    if np.median(turned[:SKIN_TRIANGLES]) < 0:
        rows[:SKIN_TRIANGLES] = rows[:SKIN_TRIANGLES, ::-1]
    # Fillings go the way that makes each shared edge run both ways once.
    skin = {edge for row in rows[:SKIN_TRIANGLES] for edge in _edges(tuple(row))}
    start = SKIN_TRIANGLES
    for ring in (RIGHT_EYE, LEFT_EYE, LIPS_INNER):
        part = rows[start : start + len(ring) - 2]
        if any(edge in skin for row in part for edge in _edges(tuple(row))):
            part[:] = part[:, ::-1]
        start += len(ring) - 2
    assert len(rows) == TRIANGLES == len({tuple(sorted(row)) for row in rows.tolist()})
    return rows.astype(np.int32)


def _edges(triangle: tuple[int, ...]) -> list[tuple[int, int]]:
    return [(triangle[i], triangle[(i + 1) % 3]) for i in range(3)]


def _filled(ring: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Triangles of a ring, between its first point and the opposite one, from one side to the other."""
    half = len(ring) // 2
    upper, lower = [ring[i] for i in range(half + 1)], [ring[-i] for i in range(half + 1)]
    rows = []
    for i in range(half):
        if i:
            rows.append((upper[i], upper[i + 1], lower[i]))
        if i + 1 < half:
            rows.append((lower[i], upper[i + 1], lower[i + 1]))
    return rows


def main() -> None:
    """Learn, write, and measure on the people of the other split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--stills", type=Path)
    parser.add_argument("--identity", type=int, default=40)
    parser.add_argument("--expression", type=int, default=30)
    parser.add_argument("-o", "--output", type=Path, default=PACKAGED / f"{PACKAGED_NAME}.safetensors")
    chosen = parser.parse_args()
    clips = clips_of(chosen.shards)
    stills = stills_of(chosen.stills) if chosen.stills else []
    model, people = learn(clips["train"], stills, chosen.identity, chosen.expression)
    errors = []
    for _, meshes in clips["val"]:
        seen = meshes.astype(np.float32)
        fit = fit_clip(seen, model)
        apart = (seen - model.points(fit.camera, fit.identity, fit.expression))[:, list(LIPS), :2]
        errors.append((vertex_error(seen, fit, model).mean(), np.linalg.norm(apart, axis=-1).mean()))
    whole, lips = np.mean(errors, 0) * SIDE / 2
    model.save(
        chosen.output,
        {
            "licence": "Apache-2.0; trained on footage of mixed origin, see the model card",
            "data": f"meshes of {len(clips['train'])} clips and {len(stills)} stills of {people} people, train split",
            "val_error_px": f"{whole:.3f}",
        },
    )
    chosen.output.chmod(0o644)
    print(f"{chosen.output}: {people} people, {chosen.output.stat().st_size} bytes")
    print(
        f"{len(errors)} clips of others: mean vertex error {whole:.3f} px of {SIDE}, of lips in the picture {lips:.3f}"
    )
    if chosen.output.parent == PACKAGED:
        manifest = PACKAGED / "manifest.json"
        rows = json.loads(manifest.read_text(encoding="utf-8"))
        card = f"docs/models/{PACKAGED_NAME}.md"
        rows[PACKAGED_NAME] = {
            "file": chosen.output.name,
            "sha256": sha256(chosen.output),
            "family": FAMILY,
            "card": card,
        }
        manifest.write_text(json.dumps(rows, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

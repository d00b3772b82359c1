"""Face models that users hold under their own licence (BFM, FLAME, ICT, LSFM), turned into ours.

A model comes as a table of arrays, and with it a file that says which of its vertices are which points of the face
mesh. It is sampled at the mesh's 468 points, so that all that works with the packaged model works with it: triangles,
fitting, rasters, colours. The axes and the unit of the model do not matter, since its mean is laid over ours.

Known tables (``.npz``, ``.mat``, ``.h5``; N vertices, bases by columns or by rows):

=============  ==========================================================================================
plain          ``mean``, ``identity``, and ``identity_scale``, ``expression``, ``expression_scale`` if any
BFM 2009       ``shapeMU``, ``shapePC``, ``shapeEV`` (standard deviations)
BFM 2017, .h5  ``shape/model/{mean,pcaBasis,pcaVariance}``, ``expression/model/...``
FLAME          ``v_template``, ``shapedirs`` (300 of identity, then expression, one standard deviation each)
=============  ==========================================================================================

A table without expression gets the packaged model's. LSFM and ICT are given with the plain names.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.core.errors import WeightsError
from visavis.face.model3d import MOST_COEFFICIENTS, FaceModel, load_face_model, rigid_weights
from visavis.face.types import SKIN_POINTS

Array = NDArray[np.float64]
Table = Mapping[str, NDArray[Any]]

LEAST_LANDMARKS = 30
_FLAME_IDENTITIES = 300
_MOST_BYTES = 4 << 30
_MOST_VERTICES = 1 << 20
_FARTHEST = 0.15  # that points may lie from the packaged mean face's on average, where eyes are about 1.8 apart
_NO_DIRECTION = 1e-5
_SMALLEST = 1e-30
_KNOWN = "mean and identity; shapeMU and shapePC; shape/model/mean and pcaBasis; or v_template and shapedirs"


@dataclass(frozen=True)
class _Layout:
    """Names of arrays in a kind of table; ``squared`` where scales are variances."""

    mean: str
    identity: str
    identity_scale: str
    expression: str = ""
    expression_scale: str = ""
    expression_mean: str = ""
    squared: bool = False


_LAYOUTS = (
    _Layout("mean", "identity", "identity_scale", "expression", "expression_scale"),
    _Layout("shapeMU", "shapePC", "shapeEV"),
    _Layout(
        "shape/model/mean",
        "shape/model/pcaBasis",
        "shape/model/pcaVariance",
        "expression/model/pcaBasis",
        "expression/model/pcaVariance",
        "expression/model/mean",
        squared=True,
    ),
)


@dataclass(frozen=True)
class _Parts:
    """A model as it came: ``mean [N, 3]`` and modes ``[n, N, 3]``, each one standard deviation."""

    mean: Array
    identity: Array
    expression: Array | None


def convert_face_model(source: Path, landmarks: Path, output: Path) -> dict[str, int]:
    """Write a model as weights of family ``face-model``; returns its numbers of coefficients.

    Args:
        source: the model, as described above.
        landmarks: text, two whole numbers a line: a point of the face mesh (0 to 467), and the model's vertex that it
            is. Points that it leaves out are found between the others, so that 30 well spread ones do.
        output: file to write.

    Raises:
        WeightsError: a table or landmarks that cannot be read, or do not fit each other or a face.
    """
    parts = _parts(source, _read(source))
    points, vertices = _landmarks(landmarks, len(parts.mean))
    own = load_face_model()
    chosen = _vertices(parts.mean, points, vertices, own)
    model = _sampled(parts, chosen, own, f"{landmarks}: its vertices are not these points of the face in {source}")
    model.save(output, {"licence": "as the converted model's", "converted_from": source.name})
    return {"identity": len(model.identity), "expression": len(model.expression)}


def _read(source: Path) -> Table:
    if not source.is_file():
        raise WeightsError(f"{source}: no such face model")
    readers = {".npz": _read_npz, ".mat": _read_mat, ".h5": _read_h5}
    reader = readers.get(source.suffix.lower())
    if reader is None:
        raise WeightsError(f"{source}: face models are read from {', '.join(readers)}")
    try:
        return reader(source)
    except ImportError as error:
        raise WeightsError(f"{source}: reading it needs {error.name}, which is not installed") from error
    except NotImplementedError as error:
        raise WeightsError(f"{source}: is of MATLAB 7.3, which is HDF5; save it as an older .mat or as .npz") from error
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        why = str(error).partition("\n")[0][:200]
        raise WeightsError(f"{source}: cannot be read as {source.suffix.lower()} ({why})") from error


def _read_npz(source: Path) -> Table:
    with zipfile.ZipFile(source) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > _MOST_BYTES:
            raise ValueError(f"unpacks to more than {_MOST_BYTES >> 30} GB")
    with np.load(source, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _read_mat(source: Path) -> Table:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        found: dict[str, Any] = loadmat(source)
    except (MatReadError, zlib.error) as error:
        raise ValueError(str(error)) from error
    return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}


def _read_h5(source: Path) -> Table:
    import h5py

    found: dict[str, NDArray[Any]] = {}
    with h5py.File(source, "r") as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def _parts(source: Path, table: Table) -> _Parts:
    """The table as one of the known ones."""
    if {"v_template", "shapedirs"} <= table.keys():
        mean, modes = _numbers(source, table, "v_template"), _numbers(source, table, "shapedirs")
        if modes.ndim != 3 or modes.shape[:2] != mean.shape or modes.shape[1] != 3 or not modes.shape[2]:
            raise WeightsError(f"{source}: v_template must be [N, 3] and shapedirs [N, 3, n]")
        rows = np.moveaxis(modes, 2, 0)
        more = len(rows) > _FLAME_IDENTITIES
        return _Parts(mean, rows[:_FLAME_IDENTITIES], rows[_FLAME_IDENTITIES:] if more else None)
    for layout in _LAYOUTS:
        if {layout.mean, layout.identity} <= table.keys():
            return _of_layout(source, table, layout)
    raise WeightsError(f"{source}: is none of the known tables ({_KNOWN})")


def _of_layout(source: Path, table: Table, layout: _Layout) -> _Parts:
    mean = _numbers(source, table, layout.mean).reshape(-1)
    if len(mean) % 3 or not 3 <= len(mean) <= 3 * _MOST_VERTICES:
        raise WeightsError(f"{source}: {layout.mean} must be x, y, z of each vertex, and has {len(mean)} numbers")
    if layout.expression_mean in table:
        moved = _numbers(source, table, layout.expression_mean).reshape(-1)
        if moved.shape != mean.shape:
            raise WeightsError(f"{source}: {layout.expression_mean} is not of as many vertices as {layout.mean}")
        mean = mean + moved

    def modes(name: str, scale: str) -> Array:
        return _modes(source, table, name, scale, len(mean), layout.squared)

    expression = modes(layout.expression, layout.expression_scale) if layout.expression in table else None
    return _Parts(mean.reshape(-1, 3), modes(layout.identity, layout.identity_scale), expression)


def _modes(source: Path, table: Table, name: str, scale: str, length: int, squared: bool) -> Array:
    """Modes ``[n, N, 3]`` of a basis by columns ``[3 N, n]``, or by rows ``[n, 3 N]`` or ``[n, N, 3]``."""
    basis = _numbers(source, table, name)
    if basis.ndim == 3:
        basis = basis.reshape(len(basis), -1)
    if basis.ndim == 2 and basis.shape[1] != length and basis.shape[0] == length:
        basis = basis.T
    if basis.ndim != 2 or basis.shape[1] != length or not len(basis):
        raise WeightsError(f"{source}: {name} is {list(table[name].shape)} and has no modes of {length // 3} vertices")
    if scale in table:
        scales = _numbers(source, table, scale).reshape(-1)
        if len(scales) != len(basis) or (scales < 0).any():
            raise WeightsError(f"{source}: {scale} must be {len(basis)} numbers from 0 on, one a mode of {name}")
        basis = basis * (np.sqrt(scales) if squared else scales)[:, None]
    return basis[:MOST_COEFFICIENTS].reshape(-1, length // 3, 3)


def _numbers(source: Path, table: Table, name: str) -> Array:
    values = table[name]
    if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise WeightsError(f"{source}: {name} must hold finite real numbers")
    return np.asarray(values, np.float64)


def _landmarks(path: Path, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Points of the mesh, and the vertices that they are."""
    try:
        lines = [line.split("#")[0].replace(",", " ").split() for line in path.read_text("utf-8").splitlines()]
        rows = [(int(point), int(vertex)) for point, vertex in filter(None, lines)]
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: must hold two whole numbers a line, a point of the mesh and a vertex") from error
    points, vertices = np.array(rows, np.int64).reshape(-1, 2).T
    if len(set(points.tolist())) < max(len(points), LEAST_LANDMARKS):
        raise WeightsError(f"{path}: names {len(set(points.tolist()))} points; {LEAST_LANDMARKS} are needed, each once")
    for what, numbers, most in (("point", points, SKIN_POINTS), ("vertex", vertices, count)):
        wrong = numbers[(numbers < 0) | (numbers >= most)]
        if len(wrong):
            raise WeightsError(f"{path}: {what} {wrong[0]} does not exist; they go from 0 to {most - 1}")
    return points, vertices


def _vertices(mean: Array, points: NDArray[np.int64], vertices: NDArray[np.int64], own: FaceModel) -> NDArray[np.int64]:
    """The vertex of each of the 468 points: those that are named, and the nearest to where the others would be.

    Where they would be: our mean face, bent so that its named points lie on their vertices (a spline of kernel r, the
    thin plate's in three dimensions).
    """
    chosen = np.full(SKIN_POINTS, -1)
    chosen[points] = vertices
    missing = np.flatnonzero(chosen < 0)
    if len(missing):
        still, moved = own.mean[points].astype(np.float64), mean[vertices]
        count = len(points)
        system = np.zeros((count + 4, count + 4))
        system[:count, :count] = np.linalg.norm(still[:, None] - still[None], axis=-1)
        system[:count, count:] = np.concatenate([still, np.ones((count, 1))], 1)
        system[count:, :count] = system[:count, count:].T
        weights = np.linalg.lstsq(system, np.concatenate([moved, np.zeros((4, 3))]), rcond=None)[0]
        others = own.mean[missing].astype(np.float64)
        away = np.linalg.norm(others[:, None] - still[None], axis=-1)
        places = np.concatenate([away, others, np.ones((len(others), 1))], 1) @ weights
        for point, place in zip(missing, places, strict=True):
            chosen[point] = np.argmin(np.square(mean - place).sum(1))
    return chosen


def _sampled(parts: _Parts, chosen: NDArray[np.int64], own: FaceModel, unlike: str) -> FaceModel:
    """The model at the 468 points, laid over our mean; its modes are made orthogonal, to the head's motion too."""
    mean = parts.mean[chosen]
    weight = rigid_weights().astype(np.float64)[:, None]
    moved, still = mean - (weight * mean).sum(0), own.mean - (weight * own.mean).sum(0)
    u, _, vt = np.linalg.svd((weight * still).T @ moved)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    turn = (u * sign) @ vt
    size = 1 / max(float(np.sqrt((weight * moved**2).sum())), _SMALLEST)
    mean = moved @ turn.T * size
    if not np.linalg.norm(mean - still, axis=1).mean() <= _FARTHEST:
        raise WeightsError(unlike)
    free = _without_motion(mean)

    def rows(modes: Array) -> Array:
        return np.asarray(free((modes[:, chosen] @ turn.T * size).reshape(len(modes), -1)), np.float64)

    ours = own.expression * own.expression_scale[:, None, None]
    moving = rows(parts.expression) if parts.expression is not None else free(ours.reshape(len(ours), -1).astype(float))
    between = rows(parts.identity)
    expression, expression_scale = _orthonormal(moving)
    within = between @ expression.T
    identity, identity_scale = _orthonormal(between - within @ expression)
    if not len(expression) or not len(identity):
        raise WeightsError(f"{unlike}, or its modes move nothing there")
    return FaceModel(
        mean.astype(np.float32),
        identity.reshape(-1, SKIN_POINTS, 3).astype(np.float32),
        expression.reshape(-1, SKIN_POINTS, 3).astype(np.float32),
        own.triangles,
        identity_scale.astype(np.float32),
        expression_scale.astype(np.float32),
        np.sqrt((within**2).sum(0)).astype(np.float32),
    )


def _without_motion(mean: Array) -> Callable[[Array], Array]:
    """Takes out of rows ``[n, 1404]`` what moves, turns or grows the mean under the weights of the camera."""
    weight = rigid_weights().astype(np.float64)[:, None]
    modes = [np.broadcast_to(axis, mean.shape) for axis in np.eye(3)]
    modes += [np.cross(axis, mean) for axis in np.eye(3)] + [mean]
    held = np.linalg.qr(np.stack([(weight * mode).reshape(-1) for mode in modes], 1))[0]
    return lambda rows: rows - (rows @ held) @ held.T


def _orthonormal(rows: Array) -> tuple[Array, Array]:
    """Orthonormal rows of the same span and spread, and the standard deviation along each."""
    _, singular, vt = np.linalg.svd(rows, full_matrices=False)
    kept = singular > _NO_DIRECTION * max(float(singular[0]), 1.0)
    return vt[kept], singular[kept]

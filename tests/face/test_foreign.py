"""Face models of others: what a table holds is what the converted model draws, and what does not fit is said."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from made import run
from visavis.core.errors import WeightsError
from visavis.face.fitting import fit_clip, vertex_error
from visavis.face.foreign import convert_face_model
from visavis.face.model3d import load_face_model, rotation_matrices

Table = dict[str, np.ndarray]


def foreign(*, vertices: int = 2000, seed: int = 0) -> tuple[Table, np.ndarray]:
    """A model with axes, unit and vertices of its own: our mean face among others, and which vertices it is."""
    rng = np.random.default_rng(seed)
    own = load_face_model()
    place = rng.permutation(vertices)[:468]
    modes = np.stack([own.identity[i] * own.identity_scale[i] for i in range(3)])
    moved = np.stack([own.expression[i] * own.expression_scale[i] for i in range(4)])
    # Millimetres, y up, z to the camera, and turned a little.
    turn = np.diag([1.0, -1.0, -1.0]) @ rotation_matrices(np.array([0.1, -0.2, 0.3]))

    def spread(points: np.ndarray) -> np.ndarray:
        out = rng.uniform(-400, 400, (vertices, 3)) if points is own.mean else np.zeros((vertices, 3))
        out[place] = points @ turn.T * 70
        return out

    table = {
        "mean": spread(own.mean) + [3.0, 5.0, 900.0],
        "identity": np.stack([spread(mode) for mode in modes]),
        "expression": np.stack([spread(mode) for mode in moved]),
    }
    return table, place


def landmarks(path: Path, place: np.ndarray, points: np.ndarray | None = None) -> Path:
    chosen = np.arange(468) if points is None else points
    path.write_text("# point, vertex\n" + "".join(f"{p}, {place[p]}\n" for p in chosen), encoding="utf-8")
    return path


def plain(table: Table) -> Table:
    return table


def by_columns(table: Table) -> Table:
    """As BFM 2009: coordinates of all vertices in a column, a column for each mode, its deviations apart."""
    modes = table["identity"].reshape(3, -1).T
    scale = np.array([2.0, 4.0, 8.0])
    return {"shapeMU": table["mean"].reshape(-1, 1), "shapePC": modes / scale, "shapeEV": scale[:, None]}


def flame(table: Table) -> Table:
    nothing = np.zeros((297, *table["mean"].shape))
    modes = np.concatenate([table["identity"], nothing, table["expression"]])
    return {"v_template": table["mean"], "shapedirs": np.moveaxis(modes, 0, 2)}


@pytest.mark.parametrize("layout", [plain, by_columns, flame])
@pytest.mark.parametrize("suffix", [".npz", ".mat"])
def test_faces_of_a_foreign_model_are_faces_of_the_converted_one(
    tmp_path: Path, layout: Callable[[Table], Table], suffix: str
):
    table, place = foreign(vertices=600)
    source = tmp_path / f"model{suffix}"
    if suffix == ".mat":
        pytest.importorskip("scipy.io").savemat(source, layout(table))
    else:
        np.savez(source, **layout(table))
    found = convert_face_model(source, landmarks(tmp_path / "points.txt", place), tmp_path / "own.safetensors")
    model = load_face_model(tmp_path / "own.safetensors")
    assert found["identity"] == 3
    assert found["expression"] == (30 if layout is by_columns else 4)
    rows = np.concatenate([model.identity, model.expression]).reshape(-1, 1404).astype(np.float64)
    assert np.abs(rows @ rows.T - np.eye(len(rows))).max() < 1e-5
    # The foreign model draws somebody; in our axes, with a camera, the converted one fits every point.
    face = table["mean"] + np.tensordot([1.0, -0.5, 0.8], table["identity"], 1)
    if layout is not by_columns:
        face = face + np.tensordot([0.5, 1.0, -1.0, 0.3], table["expression"], 1)
    seen = (face[place] - [3, 5, 900]) * np.array([1, -1, -1]) / 200 + [0.1, 0, 0]
    mesh = seen[None].astype(np.float32)
    assert vertex_error(mesh, fit_clip(mesh, model), model).max() < 2e-3


def test_points_that_are_not_named_are_found_between_the_others(tmp_path: Path):
    table, place = foreign()
    # Vertices that are no point of the mesh are far away here; those between are what is looked for.
    np.savez(tmp_path / "model.npz", **table)
    some = np.random.default_rng(1).permutation(468)[:80]
    convert_face_model(tmp_path / "model.npz", landmarks(tmp_path / "p.txt", place, some), tmp_path / "o.safetensors")
    assert np.abs(load_face_model(tmp_path / "o.safetensors").mean - load_face_model().mean).max() < 1e-4


def test_a_model_without_expression_gets_ours(tmp_path: Path):
    table, place = foreign(vertices=500)
    del table["expression"]
    np.savez(tmp_path / "model.npz", **table)
    convert_face_model(tmp_path / "model.npz", landmarks(tmp_path / "p.txt", place), tmp_path / "o.safetensors")
    found, own = load_face_model(tmp_path / "o.safetensors"), load_face_model()
    assert np.abs(found.expression_scale - own.expression_scale).max() < 1e-4


def spoiled(**changes: object) -> Callable[[Table], None]:
    def spoil(table: Table) -> None:
        for name, value in changes.items():
            if value is None:
                del table[name]
            else:
                table[name] = np.asarray(value)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoiled(mean=None), "none of the known tables"),
        (spoiled(mean=np.zeros(7)), "x, y, z of each vertex"),
        (spoiled(identity=np.zeros((3, 10))), "has no modes of 500 vertices"),
        (spoiled(identity_scale=np.ones(2)), "must be 3 numbers"),
        (spoiled(mean=np.full((500, 3), np.nan)), "finite real numbers"),
        (spoiled(mean=np.array(["a"] * 1500)), "finite real numbers"),
        (spoiled(mean=np.zeros((500, 3))), "not these points of the face"),
        (spoiled(mean=np.random.default_rng(0).uniform(-1, 1, (500, 3))), "not these points of the face"),
        (spoiled(identity=np.zeros((2, 500, 3))), "move nothing"),
    ],
)
def test_tables_that_are_no_face_are_refused_in_one_line(tmp_path: Path, spoil: Callable[[Table], None], said: str):
    table, place = foreign(vertices=500)
    spoil(table)
    np.savez(tmp_path / "model.npz", **table)
    with pytest.raises(WeightsError, match=said) as error:
        convert_face_model(tmp_path / "model.npz", landmarks(tmp_path / "p.txt", place), tmp_path / "o.safetensors")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "o.safetensors").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 1\n" * 40, "names 1 points; 30 are needed"),
        ("".join(f"{i} {i}\n" for i in range(20)), "names 20 points; 30 are needed"),
        ("".join(f"{i + 440} {i}\n" for i in range(40)), "point 468 does not exist"),
        ("".join(f"{i} {i + 470}\n" for i in range(40)), "vertex 500 does not exist"),
        ("nose 3\n", "two whole numbers a line"),
        ("1 2 3\n", "two whole numbers a line"),
    ],
)
def test_landmarks_that_do_not_fit_are_refused_in_one_line(tmp_path: Path, text: str, said: str):
    table, _ = foreign(vertices=500)
    np.savez(tmp_path / "model.npz", **table)
    (tmp_path / "p.txt").write_text(text, encoding="utf-8")
    with pytest.raises(WeightsError, match=said):
        convert_face_model(tmp_path / "model.npz", tmp_path / "p.txt", tmp_path / "o.safetensors")


def test_files_that_cannot_be_read_are_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    cases = {
        "a.npz": "cannot be read as .npz",
        "a.mat": "cannot be read as .mat",
        "a.h5": "needs h5py",
        "a.pkl": "read from",
    }
    for name, said in cases.items():
        (tmp_path / name).write_bytes(b"not a model")
        with pytest.raises(WeightsError, match=said):
            convert_face_model(tmp_path / name, tmp_path / "p.txt", tmp_path / "o.safetensors")
    np.savez(tmp_path / "b.npz", mean=np.array([{}], object))
    with pytest.raises(WeightsError, match="pickle"):  # which could run code
        convert_face_model(tmp_path / "b.npz", tmp_path / "p.txt", tmp_path / "o.safetensors")
    with pytest.raises(WeightsError, match="no such face model"):
        convert_face_model(tmp_path / "none.npz", tmp_path / "p.txt", tmp_path / "o.safetensors")


def test_models_of_hdf5_are_read(tmp_path: Path):
    h5py = pytest.importorskip("h5py")
    table, place = foreign(vertices=500)
    with h5py.File(tmp_path / "model.h5", "w") as file:
        for part, modes in (("shape", table["identity"]), ("expression", table["expression"])):
            mean = table["mean"] if part == "shape" else np.zeros((500, 3))
            file[f"{part}/model/mean"] = mean.reshape(-1)
            file[f"{part}/model/pcaBasis"] = modes.reshape(len(modes), -1).T / 3
            file[f"{part}/model/pcaVariance"] = np.full(len(modes), 9.0)
    convert_face_model(tmp_path / "model.h5", landmarks(tmp_path / "p.txt", place), tmp_path / "o.safetensors")
    assert len(load_face_model(tmp_path / "o.safetensors").expression) == 4


def test_the_command_line_converts_and_inspects(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    table, place = foreign(vertices=500)
    np.savez(tmp_path / "model.npz", **table)
    where = str(landmarks(tmp_path / "p.txt", place))
    out = str(tmp_path / "o.safetensors")
    convert = ["weights", "convert", str(tmp_path / "model.npz"), "-o", out, "--json"]
    assert run([*convert, "--family", "face-model", "--landmarks", where]) == 0
    assert json.loads(capsys.readouterr().out)["config"] == {"identity": 3, "expression": 4}
    assert run(["inspect", out, "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["family"], about["licence"]) == ("face-model", "as the converted model's")
    assert run([*convert, "--family", "face-model"]) == 1
    assert "--landmarks" in capsys.readouterr().err

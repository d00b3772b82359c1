"""A training run in a folder: settings, checkpoints, log, and going on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from visavis.core.config import build, load_toml, override
from visavis.core.errors import ConfigError, DataError, OutputError, WeightsError
from visavis.face.morphable import LinearFaceModel
from visavis.training.config import TrainConfig
from visavis.training.data.dataset import Pairs, learn_face_model, load_clips
from visavis.training.loop import StepLog, Trainer
from visavis.training.loop import run as run_loop
from visavis.weights.checkpoint import load, load_into, save

WEIGHTS = "weights.safetensors"
_STATE = "state.safetensors"
_PROGRESS = "progress.json"


def train(
    config_path: Path,
    data: Path,
    settings: Sequence[str] = (),
    *,
    steps: int | None = None,
    resume: bool = False,
    out: Path,
    device: str = "auto",
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Train as a TOML file says; returns the path of the weights.

    Args:
        config_path: settings of :class:`TrainConfig`.
        data: folder of shards.
        settings: ``key=value`` in place of the file's.
        steps: in place of the file's steps.
        resume: go on from the checkpoint in ``out``.
        out: folder of the run; holds the averaged weights, the state to resume from, and log.jsonl.
        device: auto, cpu or cuda.
        say: called with each line of progress.

    Raises:
        ConfigError: unknown or wrong settings, or a folder that holds another run.
        DataError: no shards, or damaged ones.
    """
    config = build(TrainConfig, override(load_toml(config_path), settings))
    if steps is not None:
        config = replace(config, steps=steps)
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device {device}: choose auto, cpu or cuda")
    where = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    started_before = (out / _PROGRESS).is_file()
    if started_before and not resume:
        raise ConfigError(f"{out}: holds a run already; add --resume to go on with it, or choose another --out")
    clips = load_clips(data, config.split, config.stride)
    say(f"{len(clips)} clips, {sum(len(clip.pictures) for clip in clips)} frames in memory")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be made a folder ({error.strerror})") from error
    coefficients = config.model.mesh_coefficients
    face_model = _stored_face_model(out) if started_before else learn_face_model(clips, coefficients)
    pairs = Pairs(
        clips,
        face_model,
        size=config.model.size,
        seed=config.seed,
        region_weight=config.region_weight,
        far_share=config.far_share,
        jitter=config.jitter,
    )
    trainer = Trainer(config, where, face_model)
    if started_before:
        _restore(trainer, out)
        say(f"resumed at step {trainer.steps_done}")
    with (out / "log.jsonl").open("a", encoding="utf-8") as journal:

        def log(entry: StepLog) -> None:
            journal.write(json.dumps(asdict(entry)) + "\n")
            journal.flush()
            left_s = (config.steps - entry.step) * entry.seconds
            losses = " ".join(f"{name} {value:.4f}" for name, value in entry.losses.items())
            say(
                f"step {entry.step}/{config.steps}  {config.batch / entry.seconds:.1f} samples/s  "
                f"{left_s / 60:.0f} min left  {losses}"
            )

        run_loop(trainer, pairs, log=log, checkpoint=lambda: _checkpoint(trainer, face_model, out))
    return out / WEIGHTS


def _checkpoint(trainer: Trainer, face_model: LinearFaceModel, out: Path) -> None:
    """Write everything a resumed run needs aside, then rename it into place as one folder."""
    folder = out / f"step-{trainer.steps_done:08d}"
    aside = out / ".writing"
    _remove(aside)
    aside.mkdir()
    config = trainer.config
    state = {f"network.{name}": tensor for name, tensor in trainer.network.state_dict().items()}
    state |= _optimiser_state("optimiser", trainer.optimiser)
    if trainer.discriminator is not None:
        state |= {f"discriminator.{name}": tensor for name, tensor in trainer.discriminator.state_dict().items()}
        state |= _optimiser_state("judge", trainer.judge)
    state |= {"face.mean": torch.from_numpy(face_model.mean), "face.basis": torch.from_numpy(face_model.basis)}
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}, aside / _STATE)
    meta = {"steps": trainer.steps_done, "losses": asdict(config.losses), "precision": config.precision}
    tensors = trainer.averaged.state_dict()
    save(aside / WEIGHTS, tensors, family="avfr", config=asdict(config.model), meta=meta)
    _remove(folder)
    aside.rename(folder)
    # The pointer moves last: whatever it names is complete.
    pointer = out / f".{_PROGRESS}"
    pointer.write_text(json.dumps({"steps": trainer.steps_done, "checkpoint": folder.name}), encoding="utf-8")
    pointer.replace(out / _PROGRESS)
    link = out / f".{WEIGHTS}"
    link.unlink(missing_ok=True)
    link.hardlink_to(folder / WEIGHTS)
    link.replace(out / WEIGHTS)
    for old in sorted(out.glob("step-*"))[:-2]:
        _remove(old)


def _remove(folder: Path) -> None:
    if folder.is_dir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


def _optimiser_state(name: str, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimiser.state_dict()["state"]
    return {f"{name}.{i}.{key}": torch.as_tensor(value) for i, values in state.items() for key, value in values.items()}


def _last(out: Path) -> Path:
    try:
        progress = json.loads((out / _PROGRESS).read_text(encoding="utf-8"))
        return out / str(progress["checkpoint"])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{out}: its {_PROGRESS} cannot be read; the run cannot be resumed") from error


def _load_state(out: Path) -> dict[str, Tensor]:
    try:
        return load_file(_last(out) / _STATE)
    except Exception as error:  # safetensors raises its own kinds
        raise WeightsError(f"{_last(out)}: the checkpoint is damaged ({error})") from error


def _stored_face_model(out: Path) -> LinearFaceModel:
    state = _load_state(out)
    return LinearFaceModel(state["face.mean"].numpy(), state["face.basis"].numpy())


def _restore(trainer: Trainer, out: Path) -> None:
    state = _load_state(out)

    def part(prefix: str) -> dict[str, Tensor]:
        return {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}

    try:
        trainer.network.load_state_dict(part("network."))
        _restore_optimiser(trainer.optimiser, part("optimiser."))
        if trainer.discriminator is not None:
            trainer.discriminator.load_state_dict(part("discriminator."))
            _restore_optimiser(trainer.judge, part("judge."))
    except RuntimeError as error:
        raise ConfigError(f"{out}: was started with another network; give the same settings to resume") from error
    weights = _last(out) / WEIGHTS
    load_into(trainer.averaged, load(weights), weights)
    trainer.steps_done = int(load(weights, tensors=False).meta["steps"])


def _restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    values = optimiser.state_dict()
    learned = [p for group in optimiser.param_groups for p in group["params"]]
    entries: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        parameter = learned[int(number)]
        # The memory layout decides the order of sums and roundings; it must be the uninterrupted run's.
        alike = torch.empty_like(parameter).copy_(tensor) if tensor.shape == parameter.shape else tensor
        entries.setdefault(int(number), {})[key] = alike.detach()
    values["state"] = entries
    optimiser.load_state_dict(values)

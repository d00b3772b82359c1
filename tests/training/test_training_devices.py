"""Where a run computes changes its speed, not what it learns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from made import made_shards
from processes import PointsTask, learn, settings
from visavis.core.errors import ConfigError
from visavis.training import machine as machines
from visavis.training.config import TrainConfig
from visavis.training.machine import FabricDevices, OneDevice, open_machine
from visavis.training.tasks.avfr import AvfrTask
from visavis.training.trainer import Trainer

HERE = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_shards(tmp_path_factory.mktemp("data") / "shards")


def in_two_processes(kind: str, out: Path) -> dict[str, Tensor]:
    """What two processes that talk through gloo come to."""
    pytest.importorskip("lightning_fabric")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [sys.executable, *launcher, str(HERE / "processes.py"), kind, str(out)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return load_file(out)


def test_two_processes_have_the_gradients_of_one_with_the_joint_batch(tmp_path: Path):
    pair = in_two_processes("points", tmp_path / "points.safetensors")
    joint = learn("points", settings(batch=4, accumulate=1), OneDevice())
    assert pair.keys() == joint.keys()
    for name, tensor in joint.items():
        torch.testing.assert_close(pair[name], tensor, rtol=1e-5, atol=1e-7)


def test_two_processes_teach_a_network_and_its_judge_as_one_does(shards: Path, tmp_path: Path):
    """Batch statistics are each process's own, so that one process sees the same when it takes the halves in turn."""
    pair = in_two_processes(str(shards), tmp_path / "avfr.safetensors")
    alone = learn(str(shards), settings(batch=2, accumulate=2), OneDevice())
    assert pair.keys() == alone.keys()
    for part in ("network", "judge"):
        names = [name for name in alone if name.startswith(part) and name.endswith(".grad")]
        whole = float(torch.stack([alone[name].norm() for name in names]).norm())
        for name in names:
            # A bias before batch normalisation has no gradient but roundings: they count beside the whole.
            assert (pair[name] - alone[name]).norm() < 1e-3 * alone[name].norm() + 2e-4 * whole, name


def test_accumulated_batches_have_the_gradients_of_the_joint_batch():
    joint = learn("points", settings(batch=6, accumulate=1), OneDevice())
    parts = learn("points", settings(batch=2, accumulate=3), OneDevice())
    for name, tensor in joint.items():
        torch.testing.assert_close(parts[name], tensor, rtol=1e-5, atol=1e-7)


def test_a_step_is_adam_on_the_clipped_gradient_and_the_average_follows():
    """Against torch's own parts, put together by hand."""
    config, task = settings(batch=4, accumulate=1), PointsTask()
    trainer = Trainer(config, task, OneDevice())  # type: ignore[arg-type]
    trainer.step([task.batch(0, 4)])
    wanted = PointsTask()
    adam = torch.optim.Adam(wanted.network.parameters(), config.learning_rate, betas=(0.5, 0.999))
    wanted.losses(wanted.batch(0, 4), 0).losses["square"].backward()
    torch.nn.utils.clip_grad_norm_(wanted.network.parameters(), 5.0)
    before = [weight.detach().clone() for weight in wanted.network.parameters()]
    adam.step()
    shares = zip(
        before, wanted.network.parameters(), task.network.parameters(), trainer.averaged.parameters(), strict=True
    )
    for first, then, learned, averaged in shares:
        torch.testing.assert_close(learned, then)
        torch.testing.assert_close(averaged, 0.1 * first + 0.9 * then)


def test_fabric_and_plain_torch_end_at_the_same_bits(shards: Path):
    pytest.importorskip("lightning_fabric")
    fabric, plain = (
        learn(str(shards), settings(batch=2, accumulate=2), machine) for machine in (FabricDevices(), OneDevice())
    )
    assert [name for name in plain if not torch.equal(fabric[name], plain[name])] == []


def test_without_fabric_one_device_is_plain_torch_and_several_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machines, "find_spec", lambda name: None)
    assert isinstance(open_machine("cpu"), OneDevice)
    with pytest.raises(ConfigError, match=r"visavis\[train\]"):
        open_machine("cpu", devices=2)


def test_bf16_is_close_and_weights_stay_exact(shards: Path):
    config = settings(batch=2, accumulate=1)
    half, full = (_first_losses(config, shards, OneDevice("cpu", precision)) for precision in ("bf16", "fp32"))
    assert half.keys() == full.keys()
    assert half["l1"] == pytest.approx(full["l1"], rel=0.02)
    assert half["l1"] != full["l1"]


def _first_losses(config: TrainConfig, shards: Path, machine: OneDevice) -> dict[str, float]:
    task = AvfrTask.start(config, shards, {}, lambda line: None)
    trainer = Trainer(config, task, machine)
    losses = trainer.step([task.batch(0, 2)])
    assert all(weight.dtype == torch.float32 for weight in task.network.parameters())
    return {name: float(loss) for name, loss in losses.items()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler uses what torch deprecates, and looks at every .grad
def test_compiled_parts_learn_the_same_and_keep_their_names():
    config = settings(batch=4, accumulate=1)
    plain = learn("points", config, OneDevice())
    fused = learn("points", replace(config, compile=True), OneDevice())
    assert plain.keys() == fused.keys()
    for name, tensor in plain.items():
        torch.testing.assert_close(fused[name], tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_one_command_trains_in_two_processes_and_goes_on(shards: Path, tmp_path: Path):
    pytest.importorskip("lightning_fabric")
    (tmp_path / "run.toml").write_text('batch = 2\nstride = 1\nlog_every = 1\n[model]\npreset = "tiny"\n')
    verb = [str(Path(sys.executable).with_name("visavis")), "train", str(tmp_path / "run.toml"), "--data", str(shards)]
    verb += ["--out", str(tmp_path / "run"), "--device", "cpu", "--devices", "2", "--json", "--resume"]
    for steps in (2, 3):
        done = subprocess.run(
            [*verb, "--steps", str(steps)], capture_output=True, text=True, check=False, timeout=300, env=os.environ
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["steps"] == steps
    about = json.loads((tmp_path / "run/run.json").read_text())
    assert about["batches_a_step"] == 2

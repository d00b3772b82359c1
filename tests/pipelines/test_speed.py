"""Speed that costs nothing: threads that sleep, as many as help, a precision in hardware, and folded networks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from made import tiny_mesh, tiny_weights
from observing import observed
from visavis.core import processor
from visavis.core.errors import ConfigError
from visavis.core.processor import MOST_THREADS, cpu_quota, has_bf16, useful_threads
from visavis.drawn.synthetic import TalkingFace
from visavis.generators.avfr.config import AvfrConfig
from visavis.generators.avfr.generator import AvfrGenerator
from visavis.generators.avfr.network import AvfrNetwork
from visavis.generators.keypoint import FirstOrderModel, KeypointConfig
from visavis.nn.engine import Engine, choose_precision, choose_threads
from visavis.nn.folding import folded
from visavis.pipelines.load import load_generator


def printed(code: str, **environment: str) -> str:
    """What code prints in a fresh interpreter without settings of waiting threads but these."""
    others = ("OMP_", "GOMP_", "KMP_", "OPENBLAS_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


POLICY = "import os; print(os.environ.get('OMP_WAIT_POLICY'))"
TIMEOUT = "import os; print(os.environ.get('OPENBLAS_THREAD_TIMEOUT'))"
#: Time of processor in a fiftieth of a second of doing nothing after a product of matrices, as a share of it.
IDLE = """
import numpy as np, time
for _ in range(3):
    np.ones((500, 500)) @ np.ones((500, 500))
wall, spent = time.perf_counter(), time.process_time()
time.sleep(0.02)
print((time.process_time() - spent) / (time.perf_counter() - wall))
"""


def test_threads_sleep_while_they_wait():
    assert printed(f"import visavis; {POLICY}") == "passive"
    assert printed(f"import visavis; {TIMEOUT}") == "4"


@pytest.mark.skipif(processor.cores() < 2, reason="a single core has one thread, which does not wait")
def test_no_thread_of_numpy_spins_after_a_product_of_matrices():
    spins, sleeps = (float(printed(IDLE if before else f"import visavis; {IDLE}")) for before in (True, False))
    assert sleeps < 0.5 * spins or spins < 0.1, "OpenBLAS of another make may sleep by itself"


@pytest.mark.parametrize(
    ("name", "value", "policy"),
    [("OMP_WAIT_POLICY", "active", "active"), ("GOMP_SPINCOUNT", "1000", "None"), ("KMP_BLOCKTIME", "200", "None")],
)
def test_what_the_user_said_of_waiting_threads_stands(name: str, value: str, policy: str):
    assert printed(f"import visavis; {POLICY}", **{name: value}) == policy


def test_the_command_line_has_numpy_compute_in_the_thread_that_asks_unless_the_user_says_otherwise():
    threads = "import os; print(os.environ.get('OPENBLAS_NUM_THREADS'))"
    assert printed(f"import visavis.cli.main; {threads}") == "1"
    assert printed(f"import visavis; {threads}") == "None", "a program of the user's own keeps its threads"
    assert printed(f"import visavis.cli.main; {threads}", OPENBLAS_NUM_THREADS="2") == "2"
    assert printed(f"import visavis.cli.main; {threads}", OMP_NUM_THREADS="2") == "None"


def test_what_the_user_said_of_openblas_stands():
    assert printed(f"import visavis; {TIMEOUT}", OPENBLAS_THREAD_TIMEOUT="20") == "20"
    assert printed(f"import numpy, visavis; {TIMEOUT}") == "None", "NumPy read it when it was loaded"


def test_an_environment_that_comes_too_late_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    """Torch is loaded here, and read its settings then."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    processor.let_threads_sleep()
    assert "OMP_WAIT_POLICY" not in os.environ


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_threads_follow_affinity():
    count = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); " + (
        "from visavis.core.processor import useful_threads; print(useful_threads())"
    )
    assert printed(count) == "1"


def group(folder: Path, **files: str) -> None:
    """Write a control group's files; double underscores stand for dots."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.mark.parametrize(
    ("line", "groups", "quota"),
    [
        ("0::/job", {"job": {"cpu__max": "150000 100000\n"}}, 1.5),
        ("0::/job", {"job": {"cpu__max": "max 100000\n"}}, None),
        ("0::/a/b", {"a": {"cpu__max": "100000 100000"}, "a/b": {"cpu__max": "max 100000"}}, 1.0),
        ("0::/not/mounted/here", {".": {"cpu__max": "300000 100000"}}, 3.0),
        ("4:cpu,cpuacct:/j", {"cpu,cpuacct/j": {"cpu__cfs_quota_us": "50000", "cpu__cfs_period_us": "100000"}}, 0.5),
        ("4:cpu,cpuacct:/j", {"cpu,cpuacct/j": {"cpu__cfs_quota_us": "-1", "cpu__cfs_period_us": "100000"}}, None),
        ("3:memory:/job", {"memory/job": {"cpu__max": "1 100000"}}, None),
        ("0::/job", {"job": {"cpu__max": "nonsense"}}, None),
    ],
)
def test_the_quota_of_control_groups_is_found(
    line: str, groups: dict[str, dict[str, str]], quota: float | None, tmp_path: Path
):
    for name, files in groups.items():
        group(tmp_path / "cgroup" / name, **files)
    (tmp_path / "self").write_text(f"{line}\n")
    assert cpu_quota(tmp_path / "self", tmp_path / "cgroup") == quota


def test_a_machine_without_control_groups_has_no_quota(tmp_path: Path):
    assert cpu_quota(tmp_path / "none", tmp_path) is None


@pytest.mark.parametrize(("quota", "threads"), [(0.5, 1), (1.5, 2), (4.0, 4), (None, MOST_THREADS)])
def test_threads_follow_the_quota_and_stop_where_more_do_not_help(
    quota: float | None, threads: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(processor, "cpu_quota", lambda: quota)
    assert useful_threads() == threads


def test_threads_are_lowered_to_what_is_useful_and_never_raised(monkeypatch: pytest.MonkeyPatch):
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("visavis.nn.engine.useful_threads", lambda: 2)
    try:
        for own, chosen in ((1, 1), (2, 2), (3, 2)):
            torch.set_num_threads(own)
            assert choose_threads(None) == chosen
            assert torch.get_num_threads() == own, "the process's own number is left alone"
            with Engine("cpu", "fp32").chosen().computing():
                assert torch.get_num_threads() == chosen
            assert torch.get_num_threads() == own
        torch.set_num_threads(3)
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        assert choose_threads(None) == 3, "the user's own number stands"
        assert choose_threads(1) == 1, "and what a call asks for, above all"
        with pytest.raises(ConfigError, match="--threads 0"):
            choose_threads(0)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("info", "has"),
    [
        ("processor: 0\nflags\t\t: fpu avx512f avx512_bf16 sse\n", True),
        ("flags : fpu amx_bf16\n", True),
        ("Features\t: fp asimd bf16\n", True),
        ("flags : fpu avx512f avx2\nbugs : avx512_bf16\n", False),
        ("", False),
    ],
)
def test_bf16_is_taken_where_the_processor_has_it(
    info: str, has: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "cpuinfo").write_text(info)
    assert has_bf16(tmp_path / "cpuinfo") is has
    monkeypatch.setattr("visavis.nn.engine.has_bf16", lambda: has)
    assert choose_precision("auto", "cpu") == ("bf16" if has else "fp32")
    assert choose_precision("fp32", "cpu") == "fp32"


def test_a_precision_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(ConfigError, match="int8: choose auto, fp32 or bf16"):
        choose_precision("int8", "cpu")


def lived_in(network: nn.Module) -> nn.Module:
    """Give batch norms statistics other than those they start with, and take out what training would have to learn."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 2)
            if module.affine:
                nn.init.normal_(module.weight, 1, 0.2)
                nn.init.normal_(module.bias, 0, 0.2)
    return network.eval()


def avfr_pictures(network: AvfrNetwork, grids: list[torch.Tensor] | None = None) -> torch.Tensor:
    """Render one picture from noise."""
    torch.manual_seed(1)
    source, driver, prior, mel = (torch.rand(1, c, 64, 64) for c in (3, 3, 2, 1))
    values = torch.zeros(1, 10)
    with torch.inference_mode():
        motion = network.detect(source, prior, values)
        still = network.encode(source, motion, prior)
        made = network.render(still, network.detect(driver, prior, values + 0.05), prior[:, :1], mel[:, :, :, :20])
    if grids is not None:
        grids.append(made.grid)
    return made.picture.float()


def tiny_avfr() -> AvfrNetwork:
    """An AVFR network with every part, whose face is a sphere."""
    torch.manual_seed(2)
    network = AvfrNetwork(AvfrConfig.tiny())
    network.mesh_model.mean.copy_(torch.from_numpy(tiny_mesh()))
    lived_in(network)
    nn.init.normal_(network.motion.residual.weight, 0, 0.1)
    nn.init.normal_(network.decoder.layers.last.weight, 0, 0.1)
    return network


def test_a_folded_avfr_network_makes_the_same_pictures():
    network = tiny_avfr()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fast = folded(network)
    assert float((avfr_pictures(network) - avfr_pictures(fast)).abs().max()) < 1e-5
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    norms = [name for name, module in fast.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert not norms, f"left unfolded: {norms}"


def test_a_folded_first_order_model_makes_the_same_pictures():
    network = lived_in(FirstOrderModel(KeypointConfig.tiny()))
    assert isinstance(network, FirstOrderModel)
    fast = folded(network)
    source, driver = torch.rand(2, 1, 3, 64, 64)

    def render(model: FirstOrderModel) -> torch.Tensor:
        with torch.inference_mode():
            return model.render(model.encode(source, model.detect(source)), model.detect(driver)).picture

    assert float((render(network) - render(fast)).abs().max()) < 1e-5


def test_places_stay_exact_in_bf16():
    """Keypoints, and where candidates lead; which of them counts where may move a place by a fifth of a pixel."""
    network = tiny_avfr()
    fast = folded(network, exact=AvfrGenerator.exact, bf16=True)
    grids: list[torch.Tensor] = []
    candidates: list[torch.Tensor] = []
    for each in (network, fast):
        choose = each.motion.choose  # type: ignore[union-attr]

        def noted(judged: torch.Tensor, motions: torch.Tensor, choose: Any = choose) -> Any:
            candidates.append(motions)
            return choose(judged, motions)

        each.motion.choose = noted  # type: ignore[method-assign,union-attr]
    exact = avfr_pictures(network, grids)
    with torch.autocast("cpu", torch.bfloat16):
        reduced = avfr_pictures(fast, grids)
    assert float((candidates[0] - candidates[1]).abs().max()) < 1e-5
    assert 0 < 128 * float((grids[0] - grids[1]).abs().max()) < 0.2
    assert 0 < float((exact - reduced).abs().mean()) < 0.01


def test_a_network_that_is_being_trained_is_not_folded():
    with pytest.raises(ValueError, match="eval"):
        folded(FirstOrderModel(KeypointConfig.tiny()).train())


def test_weights_are_loaded_folded_and_otherwise_where_asked(tmp_path: Path):
    path = str(tiny_weights(tmp_path / "tiny.safetensors"))

    def norms(fold: bool) -> int:
        generator = load_generator(path, Engine("cpu"), fold=fold)
        return sum(isinstance(module, nn.BatchNorm2d) for module in generator.network.modules())  # type: ignore[attr-defined]

    assert norms(True) == 0
    assert norms(False) > 0


def test_the_packaged_network_draws_the_same_face_in_bf16():
    """55 dB are half a grey level: what is written as 8 bits hardly changes."""
    exact, reduced = (load_generator("avfr-256", Engine("cpu", p)) for p in ("fp32", "bf16"))
    seen = observed([next(TalkingFace(seed, 256).frames(1)).pixels for seed in (3, 1)], exact.needs)
    mel = np.random.default_rng(0).random((80, 20)).astype(np.float32)
    motions = [generator.analyse(seen[1]) for generator in (exact, reduced)]
    assert np.array_equal(*(motion.vector for motion in motions)), "keypoints stay in float32"
    pictures = []
    for generator, motion in zip((exact, reduced), motions, strict=True):
        assert isinstance(generator, AvfrGenerator)
        with generator.run.computing(reduced=True):
            # Before it is rounded to 8 bits, which alone would be an error of as much.
            pictures.append(generator._render(generator._prepare(seen[:1]), [motion], mel))
    error = float(np.square(pictures[0] - pictures[1]).mean())
    assert 10 * np.log10(1 / error) > 55

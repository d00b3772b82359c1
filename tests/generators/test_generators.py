"""One contract for every generator: shapes, range, determinism, gradients, learning, saving."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from made import tiny_mesh
from visavis.core.registry import generator_class
from visavis.face.types import Observation
from visavis.generators.avfr.config import AvfrConfig
from visavis.generators.avfr.generator import AvfrGenerator
from visavis.generators.keypoint import KeypointConfig, KeypointGenerator
from visavis.motion.types import KeypointMotion
from visavis.weights.checkpoint import load, load_into, save


def make_avfr(**changes: Any) -> AvfrGenerator:
    from dataclasses import replace

    generator = AvfrGenerator(replace(AvfrConfig.tiny(), **changes))
    if generator.config.mesh_motion:
        generator.network.mesh_model.mean.copy_(torch.from_numpy(tiny_mesh()))
        generator.network.mesh_model.basis.normal_(std=0.01)
        generator.refresh()
    return generator


MAKERS: dict[str, Callable[[], Any]] = {
    "avfr": make_avfr,
    "avfr without mesh motion": lambda: make_avfr(
        mesh_motion=False, composite=False, layers=False, align_identity=False
    ),
    "avfr without sound": lambda: make_avfr(sound=False),
    "avfr without structural prior": lambda: make_avfr(structural_prior=False),
    "avfr without layers": lambda: make_avfr(layers=False),
    "avfr without identity": lambda: make_avfr(identity_aware=False),
    "avfr without jacobians": lambda: make_avfr(jacobians=False),
    "keypoint": lambda: KeypointGenerator(KeypointConfig.tiny()),
}


@pytest.fixture(params=MAKERS)
def generator(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    return MAKERS[request.param]()


def observation(seed: int, size: int) -> Observation:
    """Noise with every prior; a mesh that differs from seed to seed."""
    rng = np.random.default_rng(seed)
    mesh = tiny_mesh() + 0.02 * rng.standard_normal((478, 3)).astype(np.float32)
    return Observation(
        picture=rng.integers(0, 256, (size, size, 3)).astype(np.uint8),
        mesh=mesh,
        segmentation=rng.integers(0, 256, (size, size)).astype(np.uint8),
        mel=rng.uniform(0, 1, (80, 20)).astype(np.float32),
    )


def rendered(generator: Any, source: int = 0, driving: int = 1) -> torch.Tensor:
    driver = observation(driving, generator.size)
    person = generator.prepare([observation(source, generator.size)])
    picture: torch.Tensor = generator.render(person, generator.analyse(driver), driver.mel)
    return picture


def test_pictures_have_the_size_and_range_that_is_promised(generator: Any):
    picture = rendered(generator)
    assert picture.shape == (1, 3, generator.size, generator.size)
    assert 0 <= float(picture.min()) <= float(picture.max()) <= 1


def test_the_same_input_gives_the_same_picture(generator: Any):
    assert torch.equal(rendered(generator), rendered(generator))


def test_preparing_once_is_preparing_each_time(generator: Any):
    drivers = [observation(seed, generator.size) for seed in (1, 2)]
    person = generator.prepare([observation(0, generator.size)])
    once = [generator.render(person, generator.analyse(d), d.mel) for d in drivers]
    assert torch.equal(once[1], rendered(generator, driving=2))
    assert not torch.equal(once[0], once[1])


def test_all_motion_that_is_needed_fits_in_the_vector(generator: Any):
    """What a receiver has is the person and the vector; it must draw the same picture."""
    driver = observation(1, generator.size)
    person = generator.prepare([observation(0, generator.size)])
    motion = generator.analyse(driver)
    vector = motion.vector()
    assert vector.shape == (1, generator.layout.size)
    received = KeypointMotion.from_vector(vector, generator.layout)
    picture = generator.render(person, received, driver.mel)
    assert torch.equal(picture, generator.render(person, motion, driver.mel))


def test_it_saves_and_loads_exactly(generator: Any, tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    save(path, generator.network.state_dict(), family=generator.family, config=generator.plain_config)
    stored = load(path)
    again = generator_class(stored.family).from_config(stored.config)
    load_into(again.network, stored, path)
    again.refresh()
    assert torch.equal(rendered(generator), rendered(again))


def forward(generator: Any, driving: int = 1) -> torch.Tensor:
    """The training path, from pixels to picture, with gradients."""
    network, size = generator.network, generator.size
    pictures, priors, meshes, drawings, mels = [], [], [], [], []
    for seed in (0, driving):
        seen = observation(seed, size)
        pictures.append(torch.from_numpy(seen.picture / np.float32(255)).permute(2, 0, 1)[None])
        assert seen.segmentation is not None and seen.mel is not None
        mask = torch.from_numpy(seen.segmentation / np.float32(255))[None, None]
        drawings.append(mask)
        priors.append(torch.cat([mask, mask], 1))
        mels.append(torch.from_numpy(seen.mel)[None, None])
        model = getattr(generator, "face_model", None)
        meshes.append(None if model is None else torch.from_numpy(model.fit(seen.mesh))[None])
    if isinstance(generator, KeypointGenerator):
        still = network.encode(pictures[0], network.detect(pictures[0]))
        return network.render(still, network.detect(pictures[1])).picture  # type: ignore[no-any-return]
    source = network.detect(pictures[0], priors[0], meshes[0])
    still = network.encode(pictures[0], source, priors[0])
    moved = network.detect(pictures[1], priors[1], meshes[1])
    return network.render(still, moved, drawings[1], mels[1]).picture  # type: ignore[no-any-return]


def test_the_gradient_reaches_every_parameter(generator: Any):
    generator.network.train()
    # Zero-initialised heads would hide what lies before them.
    with torch.no_grad():
        for parameter in generator.network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    noise = torch.rand(1, 3, generator.size, generator.size)
    ((forward(generator) - noise) ** 2).sum().backward()
    without = [n for n, p in generator.network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A bias before batch norm has no effect, by construction; nor has an activation that is dead for one sample.
    assert [name for name in without if not name.endswith("bias")] == []


def test_it_can_learn_one_picture(generator: Any):
    network = generator.network.train()
    truth = torch.from_numpy(observation(1, generator.size).picture / np.float32(255)).permute(2, 0, 1)[None]
    truth = torch.nn.functional.avg_pool2d(truth, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    losses = []
    for _ in range(40):
        loss = (forward(generator) - truth).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.6 * losses[0]


def test_attention_is_the_sigmoid_of_a_dot_product_at_each_place():
    from visavis.nn.attention import AudioVisualAttention

    query, motion = torch.randn(1, 4), torch.randn(1, 4, 2, 3)
    found = AudioVisualAttention()(query, motion)
    for y in range(2):
        for x in range(3):
            by_hand = 1 / (1 + np.exp(-float((query[0] * motion[0, :, y, x]).sum())))
            assert float(found[0, 0, y, x]) == pytest.approx(by_hand, abs=1e-6)


def test_sound_changes_the_picture_only_where_there_is_an_ear():
    torch.manual_seed(0)
    hears, deaf = make_avfr(), make_avfr(sound=False)
    silence, loud = np.zeros((80, 20), np.float32), np.ones((80, 20), np.float32)
    for generator, differs in ((hears, True), (deaf, False)):
        person = generator.prepare([observation(0, 64)])
        motion = generator.analyse(observation(1, 64))
        a, b = (generator.render(person, motion, mel) for mel in (silence, loud))
        assert torch.equal(a, b) is not differs


def test_an_untrained_network_already_follows_the_mesh():
    """The mesh has a head start among the candidate motions: a shifted mesh shifts the picture."""
    torch.manual_seed(0)
    generator = make_avfr()
    still = observation(0, 64)
    assert still.mesh is not None
    moved = Observation(
        still.picture, mesh=still.mesh + np.array([0.2, 0, 0], np.float32), segmentation=still.segmentation
    )
    network = generator.network
    person = generator.prepare([still])
    motion = generator.analyse(moved)
    with torch.no_grad():
        out = network.render(person.still, motion, torch.zeros(1, 1, 64, 64), None)
        same = network.render(person.still, generator.analyse(still), torch.zeros(1, 1, 64, 64), None)
    shift = (out.grid - same.grid)[0, 8, 8, 0]
    assert float(shift) == pytest.approx(-0.2, abs=0.08)

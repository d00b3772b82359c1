"""One contract for every generator: shapes, range, determinism, gradients, learning, saving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from made import tiny_mesh
from visavis.audio.feature import MEL_WINDOW, window_samples
from visavis.core.errors import ConfigError
from visavis.face.surface import face_motion
from visavis.face.types import Observation
from visavis.generators.avfr.config import AvfrConfig
from visavis.generators.avfr.generator import AvfrGenerator
from visavis.generators.base import Generator, Person, Prior
from visavis.generators.headgan.config import HeadganConfig
from visavis.generators.headgan.generator import HeadganGenerator
from visavis.generators.keypoint import KeypointConfig, KeypointGenerator
from visavis.generators.rhythmic.config import RhythmicConfig
from visavis.generators.rhythmic.generator import RhythmicGenerator
from visavis.generators.rhythmic.projection import frontal
from visavis.media.frame import Pixels
from visavis.motion.keypoints import KeypointMotion
from visavis.motion.kind import Mode, mesh_carrier
from visavis.motion.layout import Motion
from visavis.nn.engine import PLAIN
from visavis.nn.pictures import as_tensor
from visavis.pipelines.load import load_generator
from visavis.weights.checkpoint import save


def make_avfr(**changes: Any) -> AvfrGenerator:
    generator = AvfrGenerator(replace(AvfrConfig.tiny(), **changes))
    if generator.config.mesh_motion:
        generator.network.mesh_model.mean.copy_(torch.from_numpy(tiny_mesh()))
        generator.network.mesh_model.basis.normal_(std=0.01)
    return generator


def make_headgan(**changes: Any) -> HeadganGenerator:
    from dataclasses import replace

    return HeadganGenerator(replace(HeadganConfig.tiny(), **{"sound": 0, "hidden": 16, **changes}))


def make_rhythmic(**changes: Any) -> RhythmicGenerator:
    return RhythmicGenerator(replace(RhythmicConfig.tiny(), **{"embedding": 8, "hidden": 8, **changes}))


LIGHT: dict[str, Any] = {
    "sound": False,
    "coarse_heads": True,
    "light": True,
    "light_widths": (4, 6, 8),
    "light_blocks": (1, 2, 1),
    "light_carried": (3, 5),
}

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
    "avfr with coarse heads": lambda: make_avfr(coarse_heads=True),
    "avfr with a light decoder": lambda: make_avfr(**LIGHT),
    "keypoint": lambda: KeypointGenerator(KeypointConfig.tiny()),
    "headgan": lambda: make_headgan(),
    "headgan that hears": lambda: make_headgan(sound=300),
    "headgan without layers": lambda: make_headgan(layers=False),
    "headgan as published": lambda: make_headgan(
        fold=1, mesh_flow=False, irises=False, residual=False, composite=False, layers=False, sound_code=0
    ),
    "headgan without memory": lambda: make_headgan(memory=0),
    "rhythmic": lambda: make_rhythmic(),
    "rhythmic as published": lambda: make_rhythmic(
        fold=1,
        nmfc=False,
        irises=False,
        expression=False,
        unprojection=True,
        surroundings=False,
        gate="all",
        residual=False,
        composite=False,
        layers=False,
        modulation_kernel=3,
    ),
    "rhythmic without layers": lambda: make_rhythmic(layers=False),
    "rhythmic without the 3D-aware module": lambda: make_rhythmic(projection=False),
    "rhythmic without hybrid attention": lambda: make_rhythmic(attention=False),
    "rhythmic without non-linear composition": lambda: make_rhythmic(
        composition=False, residual=False, composite=False, layers=False
    ),
    "rhythmic without warping": lambda: make_rhythmic(warping=False),
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
    )


def sound(generator: Generator, seed: int) -> NDArray[np.float32] | None:
    """Noise of the shape that the generator hears."""
    if generator.hears is None:
        return None
    return np.random.default_rng(seed).uniform(0, 1, generator.hears.shape).astype(np.float32)


def person(generator: Generator, source: int = 0) -> Person:
    """Of as many references as the generator needs."""
    return generator.prepare([observation(source + 50 * n, generator.size) for n in range(generator.references.least)])


def window(generator: Generator, *seeds: int) -> list[Motion]:
    """Motions of the last frames, the oldest first; the first is repeated for what was before it."""
    motions = [generator.analyse(observation(seed, generator.size)) for seed in seeds]
    return ([motions[0]] * generator.memory + motions)[-generator.memory - 1 :]


def rendered(generator: Generator, source: int = 0, driving: int = 1) -> Pixels:
    return person(generator, source).render(window(generator, driving), sound(generator, driving))


def test_pictures_have_the_size_and_type_that_is_promised(generator: Generator):
    picture = rendered(generator)
    assert picture.shape == (generator.size, generator.size, 3)
    assert picture.dtype == np.uint8 and picture.flags.c_contiguous


def test_the_same_input_gives_the_same_picture(generator: Generator):
    assert np.array_equal(rendered(generator), rendered(generator))


def test_preparing_once_is_preparing_each_time(generator: Generator):
    ready = person(generator)
    once = [ready.render(window(generator, seed), sound(generator, seed)) for seed in (1, 2)]
    assert np.array_equal(once[1], rendered(generator, driving=2))
    assert not np.array_equal(once[0], once[1])


def test_all_motion_that_is_needed_fits_in_the_vector(generator: Generator):
    """What a receiver has is the person and the vector; it must draw the same picture."""
    ready, heard = person(generator), sound(generator, 1)
    motions = window(generator, 1)
    layout = generator.kind.layout
    assert all(motion.vector.shape == (layout.size,) and motion.vector.dtype == np.float32 for motion in motions)
    received = [Motion(np.frombuffer(motion.vector.tobytes(), np.float32), layout) for motion in motions]
    assert np.array_equal(ready.render(received, heard), ready.render(motions, heard))


def test_a_driving_frame_needs_no_more_than_is_said_of_it(generator: Generator):
    whole = observation(1, generator.size)
    assert generator.needs_of_driver <= generator.needs
    lean = Observation(
        whole.picture,
        mesh=whole.mesh if Prior.MESH in generator.needs_of_driver else None,
        segmentation=whole.segmentation if Prior.SEGMENTATION in generator.needs_of_driver else None,
    )
    assert np.array_equal(generator.analyse(lean).vector, generator.analyse(whole).vector)


def test_motion_is_carried_from_one_person_to_another(generator: Generator):
    """Whatever the kind: the result is of the same layout, finite, and what belongs to the person stays."""
    kind, size = generator.kind, generator.size
    source, start, driving = (generator.analyse(observation(seed, size)) for seed in (0, 1, 2))
    for mode in Mode:
        carry = kind.carrier(source, start, mode)
        moved = carry(driving)
        assert moved.layout == kind.layout and np.isfinite(moved.vector).all()
        for part in kind.layout.parts:
            assert not part.held or np.array_equal(moved[part.name], source[part.name]), "who it is stays"
    points = kind.points(driving)
    assert points is None or (points.ndim == 2 and points.shape[1] == 2)


def test_meshes_alone_drive_it_as_pictures_do_or_it_says_why_not(generator: Generator):
    kind, size = generator.kind, generator.size
    seen = [observation(seed, size) for seed in (0, 1, 2)]
    meshes = [one.mesh for one in seen if one.mesh is not None]
    source, start, driving = (generator.analyse(one) for one in seen)
    if "camera" not in source or generator.family == "fifth":
        with pytest.raises(ConfigError, match="cannot be driven by a face mesh"):
            mesh_carrier(kind, source, meshes[1])
        return
    usual, moved = kind.carrier(source, start)(driving), mesh_carrier(kind, source, meshes[1])(meshes[2])
    assert moved.layout == kind.layout and np.isfinite(moved.vector).all()
    for part in kind.layout.parts:
        # What no mesh tells are keypoints off the face.
        assert "keypoints" in kind.layout or np.allclose(moved[part.name], usual[part.name], atol=1e-5)
    assert np.allclose(moved["camera"], usual["camera"], atol=1e-5)
    beside = kind.of_mesh(meshes[2], driving)
    assert np.allclose(beside["camera"], driving["camera"], atol=1e-5), "beside its own picture nothing changes"
    if "keypoints" in kind.layout:
        assert np.allclose(moved["shape"], usual["shape"], atol=1e-5)
        assert np.allclose(beside["keypoints"], driving["keypoints"], atol=1e-4)


def test_what_it_says_of_itself_is_true(generator: Generator):
    least, most = generator.references
    assert 1 <= least <= most and generator.memory >= 0
    ready = person(generator)
    motions = window(generator, 1)
    with pytest.raises(ValueError, match=str(generator.memory + 1)):
        ready.render([*motions, motions[0]], None)
    with pytest.raises(ValueError, match="references"):
        generator.prepare([])
    hears = generator.hears
    if hears is not None:
        before, after = window_samples(hears)
        made = hears.compute(np.zeros(before + after, np.float32))
        assert made.shape == hears.shape and made.dtype == np.float32
    assert ready.render(motions, None).shape == (generator.size, generator.size, 3), "silence is heard by all"


def test_it_says_what_it_costs_and_computes_nothing_for_it(generator: Generator):
    cost = generator.cost()
    assert cost.parameters["total"] == sum(p.numel() for p in generator.network.parameters())  # type: ignore[attr-defined]
    assert cost.gmac["per_frame"]["total"] > 0


def test_a_folded_one_makes_the_same_pictures(generator: Generator):
    before = rendered(generator)
    generator.fold()
    assert np.abs(before.astype(int) - rendered(generator)).max() <= 1


def test_it_saves_and_loads_exactly(generator: Any, tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    save(path, generator.network.state_dict(), family=generator.family, config=generator.plain_config)
    again = load_generator(str(path), PLAIN, fold=False)
    assert np.array_equal(rendered(generator), rendered(again))


def forward_headgan(generator: HeadganGenerator, driving: int) -> torch.Tensor:
    """The same of a 3D face."""
    network, size = generator.network, generator.size
    seen = [observation(seed, size) for seed in (0, driving)]
    faces = [generator._vertices(generator.analyse(one)) for one in seen]
    there, points = (torch.from_numpy(vertices)[None] for vertices in faces)
    source, index = (generator._seen(vertices) for vertices in faces)
    face, moved = (generator._pictures(i[:, None], v[None]) for i, v in zip((source, index), faces, strict=True))
    assert seen[0].segmentation is not None
    person = torch.from_numpy(seen[0].segmentation / np.float32(255))[None, None]
    still = network.encode(as_tensor(seen[0].picture), face, person)
    window = moved.repeat(1, generator.memory + 1, 1, 1)
    motion = face_motion(index, points, there, generator._triangles)
    heard = torch.linspace(-1, 1, generator.config.sound)[None] if generator.config.sound else None
    return network.render(still, window, motion, heard).picture


def forward_rhythmic(generator: RhythmicGenerator, driving: int) -> torch.Tensor:
    """The same of several references of a 3D face."""
    network, size, count = generator.network, generator.size, generator.references.most
    seen = [observation(seed, size) for seed in (*range(50, 50 + count), driving)]
    motions = [generator.analyse(one) for one in seen]
    faces = [generator._vertices(motion) for motion in motions]
    vertices = torch.from_numpy(np.stack(faces))[None]
    cameras = torch.from_numpy(np.stack([motion["camera"] for motion in motions]))[None]
    index = torch.stack([generator._seen(points) for points in faces], 1)
    pictures = torch.stack([as_tensor(one.picture) for one in seen[:-1]], 1)
    landmarks = generator.aimer.landmarks(index[:, :-1], vertices[:, :-1])
    still = network.encode(pictures, landmarks, generator._persons(seen[:-1]))
    mesh = None
    if generator.config.unprojection:
        mesh = generator._maps.mesh(network.unprojection(pictures[:, int(frontal(cameras[:, :-1])[0])]))
    aim = generator.aimer.aim(
        index[:, -1], vertices[:, -1], cameras[:, -1], vertices[:, :-1], cameras[:, :-1], mesh=mesh
    )
    return network.render(still, aim).picture


def forward(generator: Any, driving: int = 1) -> torch.Tensor:
    """The training path, from pixels to picture, with gradients."""
    if isinstance(generator, HeadganGenerator):
        return forward_headgan(generator, driving)
    if isinstance(generator, RhythmicGenerator):
        return forward_rhythmic(generator, driving)
    network, size = generator.network, generator.size
    pictures, priors, meshes, drawings, mels = [], [], [], [], []
    for seed in (0, driving):
        seen = observation(seed, size)
        pictures.append(torch.from_numpy(seen.picture / np.float32(255)).permute(2, 0, 1)[None])
        assert seen.segmentation is not None
        mask = torch.from_numpy(seen.segmentation / np.float32(255))[None, None]
        drawings.append(mask)
        priors.append(torch.cat([mask, mask], 1))
        heard = np.random.default_rng(seed).uniform(0, 1, MEL_WINDOW.shape).astype(np.float32)
        mels.append(torch.from_numpy(heard)[None, None])
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
    silence, loud = np.zeros(MEL_WINDOW.shape, np.float32), np.ones(MEL_WINDOW.shape, np.float32)
    for generator, differs in ((hears, True), (deaf, False)):
        ready, motions = person(generator), window(generator, 1)
        first, second = (ready.render(motions, mel) for mel in (silence, loud))
        assert np.array_equal(first, second) is not differs


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
    first, motion = (KeypointMotion.of(generator.analyse(seen)).tensors() for seen in (still, moved))
    prior, drawing = torch.zeros(1, 2, 64, 64), torch.zeros(1, 1, 64, 64)
    with torch.no_grad():
        encoded = network.encode(as_tensor(still.picture), first, prior)
        out = network.render(encoded, motion, drawing, None)
        same = network.render(encoded, first, drawing, None)
    shift = (out.grid - same.grid)[0, 8, 8, 0]
    assert float(shift) == pytest.approx(-0.2, abs=0.08)

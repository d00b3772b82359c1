"""The 3D-aware network as a generator: which references it looks at, and what its motion says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from visavis.core.errors import FaceError
from visavis.face.model3d import load_face_model
from visavis.face.types import Observation
from visavis.generators.rhythmic.config import RhythmicConfig
from visavis.generators.rhythmic.generator import Prepared, RhythmicGenerator
from visavis.motion.layout import Motion


def make(**changes: object) -> RhythmicGenerator:
    torch.manual_seed(0)
    return RhythmicGenerator(replace(RhythmicConfig.tiny(), **changes))  # type: ignore[arg-type]


def seen(yaw: float, seed: int = 0) -> Observation:
    """A face that is turned so far, in radians, on a smooth picture that differs from seed to seed."""
    model, rng = load_face_model(), np.random.default_rng(seed)
    mesh = model.points(np.array([0, 0, -0.7, 0, yaw, 0]), np.zeros(40), np.zeros(30))
    irises = mesh[[33, 133, 133, 133, 133, 263, 362, 362, 362, 362]]
    picture = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    return Observation(
        picture, mesh=np.concatenate([mesh, irises]).astype(np.float32), segmentation=np.full((64, 64), 255, np.uint8)
    )


def prepared(generator: RhythmicGenerator, *references: Observation) -> Prepared:
    return generator.prepare(references)._prepared  # type: ignore[attr-defined,no-any-return]


def aim(generator: RhythmicGenerator, person: Prepared, yaw: float) -> tuple[int, int]:
    """Numbers of the frontal and of the matched reference for a face that is turned so far."""
    motion = generator.analyse(seen(yaw))
    vertices = generator._vertices(motion)
    index, points = generator._seen(vertices), torch.from_numpy(vertices)[None]
    camera = torch.from_numpy(motion["camera"])[None]
    found = generator.aimer.aim(index, points, camera, person.vertices, person.cameras)
    return int(found.frontal), int(found.matched)


def test_the_frontal_picture_is_projected_and_the_nearest_one_is_matched():
    generator = make()
    person = prepared(generator, seen(-0.4), seen(0.05, 1), seen(0.5, 2))
    assert [aim(generator, person, yaw) for yaw in (-0.5, 0.0, 0.4)] == [(1, 0), (1, 1), (1, 2)]


def test_every_reference_counts():
    generator = make()
    motion = [generator.analyse(seen(0.2))]
    first, second, third = seen(0.0), seen(0.3, 1), seen(0.3, 2)
    pictures = [generator.prepare(shown).render(motion, None) for shown in ([first], [first, second], [first, third])]
    assert not np.array_equal(pictures[0], pictures[1]) and not np.array_equal(pictures[1], pictures[2])


def test_a_gate_of_all_references_is_shown_the_same_ones_again():
    generator = make(gate="all", references=2)
    one, motion = seen(0.1), [generator.analyse(seen(0.2))]
    assert np.array_equal(
        generator.prepare([one]).render(motion, None), generator.prepare([one, one]).render(motion, None)
    )
    with pytest.raises(ValueError, match="1 to 2 references"):
        generator.prepare([one] * 3)


def test_the_projected_face_has_the_source_s_expression_or_the_target_s():
    """As published the mesh is posed and no more; our switch moves its lips too."""
    still, turned = seen(0.0), seen(0.3)
    for follows in (False, True):
        generator = make(expression=follows)
        person = prepared(generator, still)
        motion = generator.analyse(turned)
        smile = motion.with_parts(expression=3 * generator.face.expression_scale)
        shifts = []
        for each in (motion, smile):
            vertices = generator._vertices(each)
            points, camera = torch.from_numpy(vertices)[None], torch.from_numpy(each["camera"])[None]
            found = generator.aimer.aim(generator._seen(vertices), points, camera, person.vertices, person.cameras)
            shifts.append(found.motion.shift)
        assert torch.allclose(*shifts, atol=1e-5) is not follows


def test_motion_says_where_eyes_look_if_irises_are_drawn():
    assert "gaze" in make().kind.layout
    generator = make(irises=False)
    assert "gaze" not in generator.kind.layout
    motion = generator.analyse(seen(0.1))
    again = Motion(np.frombuffer(motion.vector.tobytes(), np.float32), generator.kind.layout)
    ready = generator.prepare([seen(0.0)])
    assert np.array_equal(ready.render([motion], None), ready.render([again], None))


def test_priors_that_lack_are_named():
    generator = make()
    bare = Observation(seen(0.0).picture)
    with pytest.raises(FaceError, match="mesh"):
        generator.analyse(bare)
    with pytest.raises(FaceError, match="segmentation"):
        generator.prepare([replace(seen(0.0), segmentation=None)])

"""Learning a motion table: components that undo themselves, and levels that save bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from layouts import six_values
from visavis.codec.learn import learn_levels, principal_components, regression
from visavis.codec.motion_coder import MotionEncoder
from visavis.codec.transform import MotionTable, plain_table


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    """Motions of 6 values of which two carry nearly everything."""
    noise = np.random.default_rng(0)
    mix = noise.standard_normal((2, 6))
    walks = [np.cumsum(noise.standard_normal((200, 2)) * 0.02, 0) for _ in range(6)]
    return [walk @ mix + 0.0005 * noise.standard_normal((200, 6)) for walk in walks]


def test_components_are_told_apart_by_how_far_they_move_the_picture(clips: list[np.ndarray]):
    metric = np.diag([1.0, 4, 1, 1, 1, 1]) * 128**2
    analysis, inverse = principal_components(clips, metric)
    assert np.allclose(analysis @ inverse, np.eye(6), atol=1e-9)
    changes = np.concatenate([clip[8:] - clip[:-8] for clip in clips]) @ analysis.T
    spread = changes.var(0)
    assert (np.diff(spread) <= 1e-6).all() and spread[:2].sum() > 0.99 * spread.sum()
    # A change of one in a component is one pixel of movement.
    assert np.allclose(np.diag(inverse.T @ metric @ inverse), 1, atol=1e-3)


def test_what_follows_from_something_is_found():
    noise = np.random.default_rng(0)
    inputs, truth = noise.standard_normal((500, 4)), noise.standard_normal((4, 3))
    assert np.abs(regression(inputs, inputs @ truth, 1e-9) - truth).max() < 1e-6


def test_learned_levels_save_bits_on_other_motion(clips: list[np.ndarray]):
    analysis, inverse = principal_components(clips[:5], np.eye(6) * 128**2)
    plain = plain_table(six_values())
    table = replace(plain, analysis=analysis.astype(np.float32), synthesis=inverse.T.astype(np.float32))
    learned = learn_levels(table, [table.analyse(clip.astype(np.float32)) for clip in clips[:5]])
    motion = table.analyse(clips[5].astype(np.float32))

    def size(used: MotionTable) -> int:
        encoder = MotionEncoder(used)
        return sum(len(encoder.encode(motion[at : at + 8], 12)[0]) for at in range(0, 200, 8))

    assert size(learned) < 0.8 * size(table)

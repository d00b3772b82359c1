"""Learning a motion table: components that undo themselves, and levels that save bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from layouts import six_values
from visavis.codec.learn import learn_levels, principal_components, regression, worth_sending
from visavis.codec.motion_coder import MotionEncoder
from visavis.codec.transform import MotionTable, plain_table


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    """Motions of 6 values of which two carry nearly everything."""
    noise = np.random.default_rng(0)
    mix = noise.standard_normal((2, 6))
    walks = [np.cumsum(noise.standard_normal((200, 2)) * 0.02, 0) for _ in range(6)]
    return [walk @ mix + 0.0005 * noise.standard_normal((200, 6)) for walk in walks]


def changes(clips: list[np.ndarray], apart: int = 8) -> np.ndarray:
    return np.concatenate([clip[apart:] - clip[:-apart] for clip in clips])


def test_components_are_told_apart_by_how_far_they_move_the_picture(clips: list[np.ndarray]):
    metric = np.diag([1.0, 4, 1, 1, 1, 1]) * 128**2
    analysis, inverse, spread = principal_components(changes(clips), metric)
    assert np.allclose(analysis @ inverse, np.eye(6), atol=1e-9)
    assert np.allclose(spread**2, ((changes(clips) @ analysis.T) ** 2).mean(0), rtol=1e-6)
    assert (np.diff(spread) <= 1e-6).all() and (spread[:2] ** 2).sum() > 0.99 * (spread**2).sum()
    # A change of one in a component is one pixel of movement.
    assert np.allclose(np.diag(inverse.T @ metric @ inverse), 1, atol=1e-3)


def test_what_moves_the_picture_is_sent_and_the_rest_is_told_from_it(clips: list[np.ndarray]):
    metric = np.eye(6) * 128**2
    analysis, synthesis = worth_sending(changes(clips), changes(clips, 40), metric, 0.5)
    assert analysis.shape == synthesis.shape == (2, 6)
    assert np.allclose(analysis @ synthesis.T, np.eye(2), atol=1e-9)
    left = changes(clips, 20) - changes(clips, 20) @ analysis.T @ synthesis
    assert 128 * np.abs(left).max() < 0.5


def test_a_value_that_nobody_sees_costs_nothing_and_is_told_from_what_goes_with_it():
    noise = np.random.default_rng(3)
    seen = noise.standard_normal((500, 1))
    moved = np.concatenate([seen, 2 * seen, noise.standard_normal((500, 1))], 1)
    analysis, synthesis = worth_sending(moved, moved, np.diag([1.0, 0, 0]), 0.01)
    assert len(analysis) == 1
    back = moved @ analysis.T @ synthesis
    assert np.allclose(back[:, :2], moved[:, :2], atol=0.05 * np.abs(moved).max())
    assert np.abs(back[:, 2]).mean() < 0.2


def test_what_follows_from_something_is_found():
    noise = np.random.default_rng(0)
    inputs, truth = noise.standard_normal((500, 4)), noise.standard_normal((4, 3))
    assert np.abs(regression(inputs, inputs @ truth, 1e-9) - truth).max() < 1e-6


def test_learned_levels_save_bits_on_other_motion(clips: list[np.ndarray]):
    analysis, inverse, _ = principal_components(changes(clips[:5]), np.eye(6) * 128**2)
    plain = plain_table(six_values())
    table = replace(plain, analysis=analysis.astype(np.float32), synthesis=inverse.T.astype(np.float32))
    learned = learn_levels(table, [table.analyse(clip.astype(np.float32)) for clip in clips[:5]])
    motion = table.analyse(clips[5].astype(np.float32))

    def size(used: MotionTable) -> int:
        encoder = MotionEncoder(used)
        return sum(len(encoder.encode(motion[at : at + 8], 12)[0]) for at in range(0, 200, 8))

    assert size(learned) < 0.8 * size(table)

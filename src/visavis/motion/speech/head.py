"""A head in speech, between Phi's networks: units, the dynamic linear layer, what of the sound it follows.

What is computed here is computed of torch's tensors in training, and of NumPy's arrays in a stream
(:mod:`visavis.nn.arrays`); the networks are :mod:`visavis.motion.speech.phi`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from visavis.audio.mel import MEL_BANDS
from visavis.motion.speech.heard import MEL_NUMBERS, STEPS
from visavis.nn.arrays import Tensor

CAMERA_VALUES = 6
#: tau of the paper: frames of a reference clip.
REFERENCE_FRAMES = 64
#: How far heads move about their middle in a clip (medians): the units of head motion in here.
HEAD_SCALE = (0.05, 0.04, 0.016, 0.056, 0.055, 0.044)
#: Frames over which the gates of the noise are averaged, so that they do not move the head themselves; and the features
#: of the sound: heads are heavy, and what they do from frame to frame with it is the tracker's, whom jaws mislead.
GATE_FRAMES, FEATURE_FRAMES = 12, 6
#: Of the extrapolator: frames that its last convolution looks at; bands and frames that each of its first two does.
KERNEL = 5
PICTURE_KERNEL = (5, 3)
#: Frames before a frame that its features and its gates depend on.
REACH = 2 * (PICTURE_KERNEL[1] - 1) + KERNEL - 1 + GATE_FRAMES - 1


class Layer(NamedTuple):
    """The dynamic linear layer ``{W, b}`` of B rhythms.

    Attributes:
        sound: ``[B, 6, audio]``, what each feature of the sound does.
        noise: ``[B, 6, CHANNELS]``, what each channel of noise does.
        bias: ``[B, 6]``.
        tremor: ``[B, 6]``, logarithm of the tracker's own noise, which is told apart and not repeated.
    """

    sound: Tensor
    noise: Tensor
    bias: Tensor
    tremor: Tensor


def moved(layer: Layer, features: Any, noise: Any) -> Any:
    """The linear layer at each frame, ``[B, T, 6]`` of features ``[B, T, audio]`` and noise ``[B, T, CHANNELS]``."""
    told = features @ layer.sound.swapaxes(1, 2) + layer.bias[:, None]
    return told + noise @ layer.noise.swapaxes(1, 2)


def spectrum(heard: Any) -> Any:
    """The 80 bands at frames' own times, ``[B, T, 80]``, of what is heard."""
    bands = heard[..., :MEL_NUMBERS].reshape(*heard.shape[:-1], MEL_BANDS, STEPS)
    return bands[..., STEPS // 2 - 1 : STEPS // 2 + 1].mean(-1)


def in_head_units(
    cameras: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Cameras ``[T, 6]`` about their middle, in units of :data:`HEAD_SCALE`."""
    away = cameras - np.median(cameras, axis=0)
    return np.asarray(away / np.array(HEAD_SCALE), np.float32)

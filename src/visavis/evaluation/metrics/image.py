"""Metrics of pictures against their ground truth, ``uint8 [H, W, 3]`` RGB."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.media.frame import Pixels

_WINDOW, _SIGMA = (11, 11), 1.5


def l1(made: Pixels, real: Pixels) -> float:
    """Mean absolute difference, RGB in [0, 1]."""
    return float(np.abs(made.astype(np.float32) - real.astype(np.float32)).mean() / 255)


def psnr(made: Pixels, real: Pixels) -> float:
    """Peak signal-to-noise ratio in dB of 8-bit RGB; 100 for equal pictures."""
    error = float(((made.astype(np.float64) - real.astype(np.float64)) ** 2).mean())
    return 100.0 if error == 0 else float(10 * np.log10(255**2 / error))


def ssim(made: Pixels, real: Pixels) -> float:
    """Structural similarity of luma (Wang et al. 2004): Gaussian window of 11, sigma 1.5, borders left out."""
    a, b = _luma(made), _luma(real)
    mean_a, mean_b = _blur(a), _blur(b)
    var_a = _blur(a * a) - mean_a**2
    var_b = _blur(b * b) - mean_b**2
    both = _blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    score = (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    edge = _WINDOW[0] // 2
    return float(score[edge:-edge, edge:-edge].mean())


def _luma(picture: Pixels) -> NDArray[np.float64]:
    return np.asarray(picture.astype(np.float64) @ np.array([0.299, 0.587, 0.114]), np.float64)


def _blur(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(x, _WINDOW, _SIGMA, borderType=cv2.BORDER_REFLECT), np.float64)

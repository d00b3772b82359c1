"""Perceptual distances between pictures: LPIPS, the first order model's VGG-19 pyramid, and our own face network's."""

from visavis.nn.perceptual.base import PerceptualDistance
from visavis.nn.perceptual.choice import choose
from visavis.nn.perceptual.face import FaceDistance
from visavis.nn.perceptual.lpips import Lpips
from visavis.nn.perceptual.vgg19 import Vgg19Pyramid

__all__ = ["FaceDistance", "Lpips", "PerceptualDistance", "Vgg19Pyramid", "choose"]

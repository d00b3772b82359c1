"""Perceptual distances between pictures: LPIPS, a pyramid of VGG-19, EfficientNet-Lite0, our face network's."""

from visavis.nn.perceptual.base import PerceptualDistance
from visavis.nn.perceptual.choice import choose
from visavis.nn.perceptual.efficientnet import EfficientNetDistance
from visavis.nn.perceptual.face import FaceDistance
from visavis.nn.perceptual.lpips import Lpips
from visavis.nn.perceptual.vgg19 import Vgg19Pyramid

__all__ = ["EfficientNetDistance", "FaceDistance", "Lpips", "PerceptualDistance", "Vgg19Pyramid", "choose"]

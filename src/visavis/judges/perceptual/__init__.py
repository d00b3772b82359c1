"""Perceptual distances between pictures: LPIPS, a pyramid of VGG-19, EfficientNet-Lite0, our face network's."""

from visavis.judges.perceptual.base import PerceptualDistance
from visavis.judges.perceptual.choice import choose
from visavis.judges.perceptual.efficientnet import EfficientNetDistance
from visavis.judges.perceptual.face import FaceDistance
from visavis.judges.perceptual.lpips import Lpips
from visavis.judges.perceptual.vgg19 import Vgg19Pyramid

__all__ = ["EfficientNetDistance", "FaceDistance", "Lpips", "PerceptualDistance", "Vgg19Pyramid", "choose"]

"""Colours of pictures that are told in a space of their own (ICC profiles) to those of sRGB."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

#: Modes in which a profile's colours may be told, and what they become. Others are read as they are.
_BECOMES = {"RGB": "RGB", "RGBA": "RGBA", "L": "RGB", "CMYK": "RGB"}
_SPACES = {"RGB": "RGB", "RGBA": "RGB", "L": "GRAY", "CMYK": "CMYK"}


def in_srgb(picture: Image.Image) -> Image.Image:
    """The picture with its colours told in sRGB; unchanged without a profile, or with one that cannot be used.

    Phones tell theirs in Display P3, cameras in Adobe RGB or ProPhoto: read as sRGB, skin would be pale.
    """
    data = picture.info.get("icc_profile")
    if not data:
        return picture
    picture = _plain(picture)
    if picture.mode not in _BECOMES:
        return picture
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        if profile.profile.xcolor_space.strip() != _SPACES[picture.mode]:
            return picture
        turned = ImageCms.profileToProfile(
            picture,
            profile,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode=_BECOMES[picture.mode],
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return picture  # a damaged profile says nothing about the colours
    return picture if turned is None else turned


def _plain(picture: Image.Image) -> Image.Image:
    """Palettes and grey with transparency in a mode that a profile applies to."""
    if picture.mode in {"P", "PA"}:
        return picture.convert("RGBA" if "transparency" in picture.info or picture.mode == "PA" else "RGB")
    if picture.mode == "LA":
        grey = np.asarray(picture)
        return Image.fromarray(grey[..., [0, 0, 0, 1]], "RGBA")
    return picture

"""Still pictures: read from whatever people have, written as PNG."""

from __future__ import annotations

import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from visavis.core.errors import MediaError
from visavis.media.container import MOST_SIDE, check_readable, check_size
from visavis.media.frame import Frame, Pixels
from visavis.media.profiles import in_srgb

_STILL_FORMATS = {"PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF", "MPO", "AVIF", "JPEG2000"}


def is_picture(path: Path) -> bool:
    """Whether the file's content, not its name, is a still picture's."""
    file = check_readable(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file) as picture:
                return picture.format in _STILL_FORMATS and getattr(picture, "n_frames", 1) == 1
    except Exception:
        # Pillow raises many kinds of errors for hostile headers; all mean that this is no picture that it knows.
        return path.suffix.lower() in {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


def read_picture(path: Path) -> Frame:
    """Read a picture upright as RGB ``uint8 [H, W, 3]``, colours of sRGB; transparency is laid over white."""
    file = check_readable(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file) as picture:
                check_size(path, *picture.size)
                picture.load()
                upright = ImageOps.exif_transpose(picture)
        return Frame(_rgb(upright), Fraction(0))
    except MediaError:
        raise
    except Image.DecompressionBombError as error:
        raise MediaError(f"{path}: is too large; at most {MOST_SIDE} a side and 64 megapixels") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise MediaError(f"{path}: is not a picture that can be read, or is damaged") from error


def _rgb(picture: Image.Image) -> Pixels:
    if picture.mode.startswith("I;16") or picture.mode == "I":
        grey = np.clip(np.asarray(picture).astype(np.float64) / 257, 0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, 2)
    picture = in_srgb(picture)
    if picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        ground = Image.new("RGBA", layer.size, "white")
        picture = Image.alpha_composite(ground, layer)
    return np.array(picture.convert("RGB"), np.uint8)


def write_picture(path: Path, pixels: Pixels) -> None:
    """Write RGB ``uint8 [H, W, 3]`` as the format that the name's ending says."""
    Image.fromarray(pixels).save(path)

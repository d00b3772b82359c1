"""Still pictures out, whole or not at all, with the mark that they are generated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from visavis.core.errors import OutputError
from visavis.media.frame import Pixels
from visavis.media.output import Place, disk_errors
from visavis.media.provenance import xmp

_PNG, _JPEG, _WEBP = "PNG", "JPEG", "WEBP"
_FORMATS = {".png": _PNG, ".jpg": _JPEG, ".jpeg": _JPEG, ".webp": _WEBP}
_QUALITY = 92
#: Endings of names under which still pictures are written.
PICTURE_KINDS = tuple(_FORMATS)


def write_marked_picture(path: Path, pixels: Pixels, metadata: Mapping[str, str], *, replace: bool) -> None:
    """Write RGB ``uint8 [H, W, 3]`` as the format that the name's ending says; it appears when it is complete.

    Args:
        path: a file to write; its ending is one of :data:`PICTURE_KINDS`.
        pixels: the picture.
        metadata: as of videos, of which ``comment`` is kept: as XMP, and where the format has comments as one.
        replace: whether a file that has the name by then is replaced.

    Raises:
        OutputError: the kind cannot be written, the picture is too large for it, or the place cannot be used.
    """
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise OutputError(f"{path}: its ending must be one of {', '.join(PICTURE_KINDS)}")
    place = Place(path, replace=replace)
    try:
        with disk_errors(path), place.aside.open("wb") as file:
            try:
                Image.fromarray(pixels).save(file, kind, **_settings(kind, metadata.get("comment", "")))
            except ValueError as error:  # of the coders, for sides that their format cannot tell
                height, width = pixels.shape[:2]
                raise OutputError(f"{path}: {width}x{height} is too large for {kind}; write a .png") from error
    except BaseException:
        place.abandon()
        raise
    place.settle()


def _settings(kind: str, comment: str) -> dict[str, Any]:
    if kind == _PNG:
        texts = PngInfo()
        if comment:
            texts.add_text("Comment", comment)
            texts.add_itxt("XML:com.adobe.xmp", xmp(comment).decode())
        return {"pnginfo": texts}
    marks: dict[str, Any] = {"xmp": xmp(comment)} if comment else {}
    if kind == _JPEG:
        return {**marks, "comment": comment, "quality": _QUALITY, "subsampling": 0}
    return {**marks, "quality": _QUALITY, "method": 4}

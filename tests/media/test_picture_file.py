"""Still pictures out: marked, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from visavis.core.errors import OutputError
from visavis.drawn.synthetic import draw
from visavis.media.contact_sheet import row_of
from visavis.media.picture_file import PICTURE_KINDS, write_marked_picture
from visavis.media.provenance import DIGITAL_SOURCE_TYPE, marks

_TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_every_kind_keeps_the_picture_and_says_that_it_is_generated(kind: str, tmp_path: Path):
    path, pixels = tmp_path / f"a{kind}", draw(96, seed=1)
    write_marked_picture(path, pixels, marks("folder/avfr-256.safetensors"), replace=False)
    assert os.listdir(tmp_path) == [path.name]
    with Image.open(path) as picture:
        found = np.asarray(picture.convert("RGB"), float)
        packet = picture.info.get("xmp") or picture.info["XML:com.adobe.xmp"]
        comment = picture.info.get("comment") or picture.info.get("Comment")
    assert np.abs(found - pixels).mean() < (0.01 if kind == ".png" else 3)
    (description,) = ElementTree.fromstring(packet)[0]
    assert description.attrib[_TYPE] == DIGITAL_SOURCE_TYPE, "where tools look for it"
    assert "AI-generated" in "".join(description.itertext()) and "folder" not in "".join(description.itertext())
    if kind != ".webp":  # which has no comments
        assert "AI-generated" in (comment.decode() if isinstance(comment, bytes) else str(comment))


def test_what_has_the_name_by_then_stays_unless_it_may_be_replaced(tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_text("mine")
    with pytest.raises(OutputError, match="kept as"):
        write_marked_picture(path, draw(32, seed=1), {}, replace=False)
    assert path.read_text() == "mine"
    write_marked_picture(path, draw(32, seed=1), {}, replace=True)
    assert path.stat().st_size > 200


@pytest.mark.parametrize(("name", "width"), [("a.webp", 17_000), ("a.jpg", 66_000), ("a.bmp", 16), ("a", 16)])
def test_what_a_kind_cannot_hold_is_refused_and_leaves_nothing(name: str, width: int, tmp_path: Path):
    with pytest.raises(OutputError, match="a"):
        write_marked_picture(tmp_path / name, np.zeros((2, width, 3), np.uint8), marks("m"), replace=False)
    assert os.listdir(tmp_path) == []


def test_a_row_shows_every_picture_under_its_label_and_large_ones_smaller():
    pictures = [np.full((64, 48, 3), value, np.uint8) for value in (10, 200)]
    row = row_of(pictures, ["one", "two"])
    bar = row.shape[0] - 64
    assert row.shape[1] == 96
    assert (row[bar:, :48] == 10).all() and (row[bar:, 48:] == 200).all()
    assert row[:bar, :48].min() < 100 and row[:bar, 48:].min() < 100, "both labels"
    large = row_of([np.full((2048, 1024, 3), 7, np.uint8)] * 3, ["a", "b", "c"])
    assert large.shape == (bar + 512, 3 * 256, 3)

"""The picture in the README: what `make demo` makes, a few moments of it side by side, of drawn people only.

    python tools/readme_picture.py docs/pictures/demo.jpg

To be run again whenever weights or the transfer of motion change. Rows: the driving clip; the portrait, and how it
follows; the clip as it comes out of a call.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from visavis import EncodeOptions, ReenactOptions, decode_file, encode_file, reenact_file
from visavis.media.frame import Pixels
from visavis.media.reader import VideoReader
from visavis.media.still import write_picture
from visavis.media.synthetic import draw, write_clip

SIDE = 150
GAP = 6
SECONDS = 4.0
MOMENTS = (0.3, 0.9, 1.6, 2.2, 3.5)  # seconds: neutral, turned, mouth open, a blink, turned back
QUALITY = 88


def moments(video: Path) -> list[Pixels]:
    """Frames of a video at the moments."""
    with VideoReader(video) as reader:
        wanted = [round(moment * float(reader.info.fps)) for moment in MOMENTS]
        found = {number: frame.pixels for number, frame in enumerate(reader) if number in wanted}
    return [found[min(number, max(found))] for number in wanted]


def sheet(rows: list[list[Pixels | None]]) -> Image.Image:
    """Pictures in rows on white; None leaves a place empty."""
    across, down = len(rows[0]), len(rows)
    size = (across * (SIDE + GAP) - GAP, down * (SIDE + GAP) - GAP)
    made = Image.new("RGB", size, "white")
    for y, row in enumerate(rows):
        for x, pixels in enumerate(row):
            if pixels is not None:
                small = Image.fromarray(np.ascontiguousarray(pixels)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
                made.paste(small, (x * (SIDE + GAP), y * (SIDE + GAP)))
    return made


def main() -> None:
    """Make the inputs, run the product on them, and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", default="avfr-256")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        portrait = draw(512, seed=3)
        write_picture(folder / "portrait.png", portrait)
        write_clip(folder / "driving.mp4", SECONDS, seed=1)
        made, call = folder / "reenacted.mp4", folder / "call.vsv"
        reenact_file(
            folder / "portrait.png", folder / "driving.mp4", made, ReenactOptions(model=options.model, precision="fp32")
        )
        encode_file(folder / "driving.mp4", call, EncodeOptions(model=options.model, precision="fp32"))
        decode_file(call, folder / "call.mp4", precision="fp32")
        rows = [
            [None, *moments(folder / "driving.mp4")],
            [portrait, *moments(made)],
            [None, *moments(folder / "call.mp4")],
        ]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    sheet(rows).save(options.output, quality=QUALITY, subsampling=0)
    print(f"{options.output}: {options.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()

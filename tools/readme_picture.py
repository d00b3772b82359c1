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

from visavis import EncodeOptions, ReenactOptions, decode_file, encode_file, read_frames, reenact_file
from visavis.drawn.synthetic import Pose, TalkingFace, draw, write_clip
from visavis.media.frame import Pixels
from visavis.media.still import write_picture
from visavis.nn.engine import Engine

SIDE = 150
GAP = 6
SECONDS = 3.0
SHOWN = 0.8  # of a picture's side, around the face
QUALITY = 88


def telling_moments(face: TalkingFace) -> list[int]:
    """Numbers of the frames to show: the start, the furthest turn to either side, the widest mouth, a blink."""
    poses = [face.pose(number / float(face.fps)) for number in range(round(SECONDS * face.fps))]
    chosen = [int(np.argmax([score(pose) for pose in poses])) for score in (_left, _right, _mouth, _lids)]
    return [0, *sorted(chosen)]


def _left(pose: Pose) -> float:
    return -pose.yaw


def _right(pose: Pose) -> float:
    return pose.yaw


def _mouth(pose: Pose) -> float:
    return pose.mouth - pose.lids


def _lids(pose: Pose) -> float:
    return pose.lids


def frames_at(video: Path, wanted: list[int]) -> list[Pixels]:
    """Frames of a video by their numbers, or its last where it is shorter."""
    found = {number: frame.pixels for number, frame in enumerate(read_frames(video))}
    return [found[min(number, max(found))] for number in wanted]


def sheet(rows: list[list[Pixels | None]]) -> Image.Image:
    """Pictures in rows on white; None leaves a place empty."""
    across, down = len(rows[0]), len(rows)
    size = (across * (SIDE + GAP) - GAP, down * (SIDE + GAP) - GAP)
    made = Image.new("RGB", size, "white")
    for y, row in enumerate(rows):
        for x, pixels in enumerate(row):
            if pixels is not None:
                edge = round(pixels.shape[0] * (1 - SHOWN) / 2)
                cut = np.ascontiguousarray(pixels[edge : -edge or None, edge : -edge or None])
                small = Image.fromarray(cut).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
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
        engine = Engine(precision="fp32")
        how = ReenactOptions(model=options.model, engine=engine)
        reenact_file(folder / "portrait.png", folder / "driving.mp4", made, how)
        encode_file(folder / "driving.mp4", call, EncodeOptions(model=options.model, engine=engine))
        decode_file(call, folder / "call.mp4", engine=engine)
        wanted = telling_moments(TalkingFace(1))
        rows = [
            [None, *frames_at(folder / "driving.mp4", wanted)],
            [portrait, *frames_at(made, wanted)],
            [None, *frames_at(folder / "call.mp4", wanted)],
        ]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    sheet(rows).save(options.output, quality=QUALITY, subsampling=0)
    print(f"{options.output}: {options.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()

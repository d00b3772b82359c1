"""Which still codec carries a pivot best: bytes against fidelity, and times, on first frames of a data set's clips.

python benchmarks/pivot_codecs.py DATASET [--split val] [--out docs/measurements/pivot-codecs.md]
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from visavis.codec.stills import decode_still, encode_still
from visavis.codec.svt_av1 import quiet
from visavis.evaluation.metrics.image import psnr, ssim
from visavis.evaluation.protocol import find_clips
from visavis.media.frame import Pixels
from visavis.media.reader import VideoReader

BUDGETS = (700, 1000, 1500, 2000, 3000, 4000)
Encode = Callable[[Pixels, int], bytes]
Decode = Callable[[bytes], Pixels]


def first_frames(dataset: Path, split: str) -> Iterator[Pixels]:
    """The first frame of one clip an identity."""
    seen = set()
    for clip in find_clips(dataset, split):
        if clip.identity not in seen:
            seen.add(clip.identity)
            with VideoReader(clip.path) as reader:
                yield next(iter(reader)).pixels


def through_pyav(name: str, decoder: str, options: Callable[[int], dict[str, str]]) -> tuple[Encode, Decode]:
    """One intra frame of a video codec, its bytes as the encoder gives them."""

    def encode(pixels: Pixels, level: int) -> bytes:
        context = av.CodecContext.create(name, "w")
        context.height, context.width, context.pix_fmt = *pixels.shape[:2], "yuv420p"
        context.time_base, context.framerate, context.options = Fraction(1, 25), Fraction(25), options(level)
        picture = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
        picture.pts = 0
        return b"".join(bytes(packet) for packet in [*context.encode(picture), *context.encode(None)])

    def decode(data: bytes) -> Pixels:
        context = av.CodecContext.create(decoder, "r")
        return [*context.decode(av.Packet(data)), *context.decode(None)][0].to_ndarray(format="rgb24")

    return encode, decode


def through_pillow(kind: str, **options: object) -> tuple[Encode, Decode]:
    """A picture file in memory; of AVIF only the part that holds the picture counts."""

    def encode(pixels: Pixels, level: int) -> bytes:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind, quality=level, **options)
        return file.getvalue()

    def decode(data: bytes) -> Pixels:
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    return encode, decode


def counted(name: str, data: bytes) -> int:
    """Bytes that a call would send: an AVIF file's boxes before its data can be left out."""
    return len(data) - data.index(b"mdat") - 4 if name.startswith("AVIF") else len(data)


def svt_av1(preset: int) -> tuple[Encode, Decode]:
    """SVT-AV1's still pictures as FFmpeg makes them: limited range, temporal delimiter left in."""
    options = {"preset": str(preset), "svtav1-params": "avif=1:tune=1:lp=1"}
    return through_pyav("libsvtav1", "libdav1d", lambda q: {"crf": str(q), **options})


X265 = "log-level=none:info=0:repeat-headers=1:aq-mode=0"
CODECS: dict[str, tuple[tuple[Encode, Decode], range]] = {
    "AV1 SVT-AV1 preset 2 (ours)": ((encode_still, decode_still), range(6, 48, 5)),
    **{
        f"AV1 SVT-AV1 preset {preset}, limited range": (svt_av1(preset), range(57, 15, -5))
        for preset in (0, 2, 4, 6, 8)
    },
    "AVIF libaom speed 0, boxes left out": (through_pillow("AVIF", speed=0, subsampling="4:2:0"), range(2, 75, 9)),
    "AVIF libaom speed 6, boxes left out": (through_pillow("AVIF", speed=6, subsampling="4:2:0"), range(2, 75, 9)),
    "VP9 libvpx best": (
        through_pyav("libvpx-vp9", "vp9", lambda q: {"crf": str(q), "b": "0", "deadline": "best"}),
        range(63, 36, -3),
    ),
    "H.265 x265 veryslow": (
        through_pyav("libx265", "hevc", lambda q: {"preset": "veryslow", "crf": str(q), "x265-params": X265}),
        range(44, 17, -3),
    ),
    "WebP libwebp method 6": (through_pillow("WEBP", method=6), range(0, 73, 9)),
    "H.264 x264 veryslow": (
        through_pyav("libx264", "h264", lambda q: {"preset": "veryslow", "crf": str(q)}),
        range(51, 20, -4),
    ),
    "JPEG progressive": (through_pillow("JPEG", optimize=True, progressive=True), range(3, 60, 7)),
}


def measure(name: str, pictures: list[Pixels]) -> tuple[list[list[float]], float, float]:
    """Per level the mean bytes, psnr and ssim; and ms a picture to encode and to decode."""
    (encode, decode), levels = CODECS[name]
    rows, encode_ms, decode_ms = [], [], []
    for level in levels:
        row = []
        for picture in pictures:
            start = time.perf_counter()
            data = encode(picture, level)
            middle = time.perf_counter()
            back = decode(data)
            encode_ms.append(1e3 * (middle - start))
            decode_ms.append(1e3 * (time.perf_counter() - middle))
            row.append((counted(name, data), psnr(back, picture), ssim(back, picture)))
        rows.append(list(np.mean(row, 0)))
    return sorted(rows), float(np.median(encode_ms)), float(np.median(decode_ms))


def at(rows: list[list[float]], budget: int) -> str:
    """Fidelity at a number of bytes, between the two nearest levels; a dash where the codec does not reach it."""
    sizes = np.log([row[0] for row in rows])
    if not sizes[0] <= np.log(budget) <= sizes[-1]:
        return "-"
    values = [float(np.interp(np.log(budget), sizes, [row[k] for row in rows])) for k in (1, 2)]
    return f"{values[0]:.1f} / {values[1]:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    quiet()
    pictures = list(first_frames(options.dataset, options.split))
    lines = [
        f"First frames of {len(pictures)} identities at {pictures[0].shape[1]}x{pictures[0].shape[0]}; psnr / ssim at"
        " so many bytes, between the two nearest levels.\n",
        "| codec | " + " | ".join(f"{b} B" for b in BUDGETS) + " | encode ms | decode ms |",
        "|---" * (len(BUDGETS) + 3) + "|",
    ]
    for name in CODECS:
        rows, encode_ms, decode_ms = measure(name, pictures)
        cells = " | ".join(at(rows, budget) for budget in BUDGETS)
        lines.append(f"| {name} | {cells} | {encode_ms:.1f} | {decode_ms:.1f} |")
        print(lines[-1], flush=True)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

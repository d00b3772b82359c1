"""How good inputs are spoiled: any bytes, and the insides of forms that are known, with sums put right again."""

from __future__ import annotations

import io
import random
import re
import struct
import tarfile
import zlib
from collections.abc import Callable

Mutator = Callable[[bytes, random.Random], bytes]

_NUMBERS = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
_WORDS = (
    b"-1",
    b"0",
    b"1e999",
    b"nan",
    b"NaN",
    b"4294967296",
    b"9" * 400,
    b"[]",
    b"{}",
    b'"\\ud800"',
    b"null",
    b"true",
)


def flip(data: bytes, draw: random.Random) -> bytes:
    """Change some bits."""
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 4, 16, 64))):
        out[draw.randrange(len(out))] ^= 1 << draw.randrange(8)
    return bytes(out)


def cut(data: bytes, draw: random.Random) -> bytes:
    """Keep the start."""
    return data[: draw.randrange(len(data))]


def drop(data: bytes, draw: random.Random) -> bytes:
    """Leave a block out."""
    first, last = _block(data, draw)
    return data[:first] + data[last:]


def double(data: bytes, draw: random.Random) -> bytes:
    """Repeat a block."""
    first, last = _block(data, draw)
    return data[:last] + data[first:last] * draw.choice((1, 2, 50)) + data[last:]


def swap(data: bytes, draw: random.Random) -> bytes:
    """Exchange two blocks that lie side by side."""
    first, last = _block(data, draw)
    middle = draw.randint(first, last)
    return data[:first] + data[middle:last] + data[first:middle] + data[last:]


def blank(data: bytes, draw: random.Random) -> bytes:
    """Fill a block with zeros, ones or noise."""
    first, last = _block(data, draw)
    fill = draw.choice((bytes(last - first), b"\xff" * (last - first), draw.randbytes(last - first)))
    return data[:first] + fill + data[last:]


def set_number(data: bytes, draw: random.Random) -> bytes:
    """Write the end of a range over what may be a length."""
    width = draw.choice((1, 2, 4, 8))
    if len(data) < width:
        return data
    start = draw.randrange(min(len(data) - width + 1, draw.choice((64, 1024, len(data)))))
    order = draw.choice(("little", "big"))
    value = draw.choice(_NUMBERS) % (1 << 8 * width)
    return data[:start] + value.to_bytes(width, order) + data[start + width :]  # type: ignore[arg-type]


def set_word(data: bytes, draw: random.Random) -> bytes:
    """Put another value where text has a number or a word."""
    found = list(re.finditer(rb'-?[0-9][0-9.e+-]*|"[^"\n]{0,40}"|true|false', data[: 1 << 16]))
    if not found:
        return flip(data, draw)
    place = draw.choice(found)
    word = draw.choice((*_WORDS, b"[" * 3000, draw.choice(found)[0]))
    return data[: place.start()] + word + data[place.end() :]


def _block(data: bytes, draw: random.Random) -> tuple[int, int]:
    first = draw.randrange(len(data))
    return first, min(len(data), first + draw.choice((1, 4, 16, 100, 1000, 10_000)))


PLAIN: tuple[Mutator, ...] = (flip, cut, drop, double, swap, blank, set_number)


def in_header(data: bytes, draw: random.Random) -> bytes:
    """Change the text in front of the tensors, whose length is put right."""
    (length,) = struct.unpack("<Q", data[:8])
    header = draw.choice((set_word, set_word, flip, drop, double))(data[8 : 8 + length], draw)
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def in_member(data: bytes, draw: random.Random) -> bytes:
    """Change one member of a tar file, whose sums are right."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=out, mode="w") as new:
        entries = list(old)
        chosen = draw.randrange(len(entries))
        for number, entry in enumerate(entries):
            stream = old.extractfile(entry)
            content = b"" if stream is None else stream.read()
            if number == chosen:
                content = draw.choice((*PLAIN, set_word))(content, draw)
            entry.size = len(content)
            new.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def in_chunk(data: bytes, draw: random.Random) -> bytes:
    """Change one chunk of a PNG, whose check sum is put right."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks.append(data[at + 4 : at + 8 + length])
        at += 12 + length
    chosen = draw.randrange(len(chunks))
    chunks[chosen] = chunks[chosen][:4] + draw.choice(PLAIN)(chunks[chosen][4:] or b"\0", draw)
    return data[:8] + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


def in_packet(data: bytes, draw: random.Random) -> bytes:
    """Change one packet of a call, whose length is put right."""
    from visavis.codec.container import record

    packets, at = [], 4
    while at < len(data):
        length, size = (data[at], 1) if data[at] < 0x80 else ((data[at] & 0x7F) | data[at + 1] << 7, 2)
        packets.append(data[at + size : at + size + length])
        at += size + length
    chosen = draw.randrange(len(packets))
    packets[chosen] = (draw.choice((flip, cut, drop, blank, set_number))(packets[chosen], draw) or b"\0")[:1100]
    return data[:4] + b"".join(map(record, packets))


MUTATORS: dict[str, tuple[Mutator, ...]] = {
    ".safetensors": (*PLAIN, in_header, in_header, in_header),
    ".tar": (*PLAIN, in_member, in_member, in_member, in_member, in_member),
    ".png": (*PLAIN, in_chunk, in_chunk, in_chunk),
    ".vsv": (*PLAIN, in_packet, in_packet, in_packet, in_packet),
    ".toml": (*PLAIN, set_word, set_word, set_word, set_word),
    ".csv": (*PLAIN, set_word, set_word),
}


def mutated(data: bytes, name: str, draw: random.Random) -> tuple[str, bytes]:
    """Spoil a good input of that name; returns in which way, and the result."""
    ending = name[name.rindex(".") :]
    chosen = [draw.choice(MUTATORS.get(ending, PLAIN)) for _ in range(draw.choice((1, 1, 2)))]
    for number, mutator in enumerate(chosen):
        # What is spoiled already may no longer have the form that the second one knows.
        data = (mutator if number == 0 or mutator in PLAIN else flip)(data or b"\0", draw)
    return " and ".join(mutator.__name__ for mutator in chosen), data

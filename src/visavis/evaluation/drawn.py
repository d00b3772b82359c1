"""A data set of drawn people who talk: the benchmark that needs nobody's clips, and says the same everywhere."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from visavis.drawn.synthetic import write_clip
from visavis.evaluation.protocol import CLIPS, MANIFEST

SPLIT = "drawn"
#: Seeds of the people: every skin, both kinds of hair, each with a voice and a way of moving of their own.
PEOPLE = (0, 1, 2, 3, 4)
SECONDS = 3.0


@contextmanager
def drawn_dataset(people: Sequence[int] = PEOPLE, seconds: float = SECONDS) -> Iterator[Path]:
    """Draw the data set into a folder that vanishes afterwards: clips of 256x256, 25 fps, with speech.

    Args:
        people: seeds; others than the usual ones, and
        seconds: another length, give another benchmark, for tests.
    """
    with TemporaryDirectory(prefix="visavis-drawn-") as name:
        folder = Path(name)
        (folder / CLIPS).mkdir()
        with (folder / MANIFEST).open("w", newline="", encoding="utf-8") as file:
            rows = csv.DictWriter(file, ["id", "identity", "split"])
            rows.writeheader()
            for seed in people:
                person = f"drawn-{seed}"
                write_clip(folder / CLIPS / f"{person}.mp4", seconds, seed=seed)
                rows.writerow({"id": person, "identity": person, "split": SPLIT})
        yield folder

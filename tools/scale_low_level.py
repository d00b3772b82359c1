"""Print the constants that bring the low-level numbers of sound to unit scale, measured over the training speech.

python tools/scale_low_level.py SHARDS
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from visavis.audio import low_level
from visavis.data.shards import read
from visavis.data.sound import SAMPLES_A_FRAME

_STEP = SAMPLES_A_FRAME // 160


def main() -> None:
    """Print means and deviations of the raw numbers of the training clips whose sound is the speaker's own."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("shards", type=Path)
    options = parser.parse_args()
    found = []
    for record in read(options.shards):
        if record.info["split"] == "train" and record.info.get("sound_is_speech"):
            samples = record.sound()
            if samples is not None:
                found.append(low_level.raw_numbers(samples, _STEP))
    numbers = np.concatenate(found)
    print(f"# {len(found)} clips, {len(numbers)} frames")
    for name, values in (("_CENTRE", numbers.mean(0)), ("_SCALE", np.maximum(numbers.std(0), 1e-3))):
        print(f"{name} = np.array([{', '.join(f'{value:.3g}' for value in values)}])")


if __name__ == "__main__":
    main()

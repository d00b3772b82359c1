"""Speak a sentence into a WAV file: python tools/say.py OUT.wav "a sentence"

espeak-ng says it, which comes with ``pip install espeakng-loader`` (a part of the development extra). Where that is not
installed, the drawn talking face's own voice is written instead, which has syllables and no words; which of both it was
is printed.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
from synthesise_speech import RATE_HZ, Espeak

from visavis.drawn.synthetic import TalkingFace, write_wave
from visavis.media.frame import Sound

_VOICE, _WORDS_A_MINUTE, _PITCH, _RANGE = "gmw/en-US+f2", 150, 55, 60
_SILENCE_S = 0.4
_SECONDS_A_WORD = 0.4


def main(output: str, sentence: str) -> None:
    """Write the sentence, with a little silence around it."""
    try:
        spoken, who = Espeak().say(sentence, _VOICE, _WORDS_A_MINUTE, _PITCH, _RANGE), "espeak-ng"
    except SystemExit as missing:
        spoken = TalkingFace(2).sound(_SECONDS_A_WORD * len(sentence.split()), RATE_HZ).samples
        who = f"the drawn face's own voice, without words ({missing})"
    silence = np.zeros(round(_SILENCE_S * RATE_HZ), np.float32)
    write_wave(Path(output), Sound(np.concatenate([silence, spoken, silence]), RATE_HZ, Fraction(0)))
    print(f"{output}: spoken by {who}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: python tools/say.py OUT.wav SENTENCE")
    main(sys.argv[1], sys.argv[2])

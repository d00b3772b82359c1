"""Synthesise speech with known words, for the recogniser of characters to learn from.

python tools/synthesise_speech.py -o FOLDER --hours 4

Words of tools/words in random order, and invented ones, are read by many voices of espeak-ng (``pip install
espeakng-loader``; a program under the GPL that is used as such, and no part of the package). One word in ten and one
voice in eight are kept for split val: its texts and voices are new to what learns from train.
"""

from __future__ import annotations

import argparse
import ctypes
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.audio.characters import parts_needed
from visavis.audio.mel import RATE_HZ
from visavis.data.spoken import Utterance, compressed, write_spoken

_WORDS = Path(__file__).parent / "words"
#: Voices by the words that they read, with how often.
_LANGUAGES: dict[str, tuple[float, tuple[str, ...]]] = {
    "en": (
        0.62,
        (
            *("gmw/en-US", "gmw/en-US", "gmw/en", "gmw/en-GB-x-rp", "gmw/en-029"),
            *("gmw/en-GB-scotland", "gmw/en-GB-x-gbclan", "gmw/en-GB-x-gbcwmd", "gmw/en-US-nyc"),
        ),
    ),
    "pt": (0.12, ("roa/pt-BR", "roa/pt-BR", "roa/pt")),
    "es": (0.09, ("roa/es", "roa/es-419")),
    "it": (0.09, ("roa/it",)),
    "de": (0.08, ("gmw/de",)),
}
#: Ways of speaking that espeak-ng lays over a voice; croaks, robots and whispers are left out.
_VARIANTS = (
    *("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5", "klatt", "klatt2", "klatt3"),
    *("klatt4", "Alex", "Alicia", "Andrea", "Andy", "Annie", "Denis", "Diogo", "Gene", "Gene2", "Henrique", "Hugo"),
    *("Jacky", "Lee", "Marco", "Mario", "Michael", "Mike", "Nguyen", "Reed", "RicishayMax", "Storm", "Tweaky"),
    *("adam", "anika", "antonio", "aunty", "belinda", "benjamin", "boris", "caleb", "david", "ed", "edward", "grandma"),
    *("grandpa", "gustave", "ian", "iven", "john", "kaukovalta", "linda", "marcelo", "max", "michel", "miguel"),
    *("norbert", "pablo", "paul", "pedro", "quincy", "rob", "robert", "sandro", "shelby", "steph", "travis", "victor"),
    *("zac", ""),
)
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER
_SHORTEST_S, _LONGEST_S = 1.0, 3.5
_PARTS_A_SECOND = 25
_ENDINGS = ("s", "ed", "ing", "er", "ly")
_FILE_MINUTES = 20


class Espeak:
    """espeak-ng as a library; one in a process.

    Raises:
        SystemExit: the package that carries it is not installed.
    """

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise SystemExit("espeak-ng is needed: pip install espeakng-loader") from error
        self._library = ctypes.cdll.LoadLibrary(espeakng_loader.get_library_path())
        self.rate_hz = int(self._library.espeak_Initialize(2, 500, espeakng_loader.get_data_path().encode(), 0))
        self._heard: list[NDArray[np.int16]] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._callback = kind(self._take)  # held, since the library keeps only its address
        self._library.espeak_SetSynthCallback(self._callback)

    def _take(self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: int | None) -> int:
        if samples and count:
            self._heard.append(np.ctypeslib.as_array(samples, (count,)).astype(np.int16))
        return 0

    def say(self, text: str, voice: str, words_a_minute: int, pitch: int, pitch_range: int) -> NDArray[np.float32]:
        """Samples at 16 kHz, the silence around them cut off; pitch and its range from 0 to 100."""
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SystemExit(f"espeak-ng has no voice '{voice}'")
        for parameter, value in ((_RATE, words_a_minute), (_PITCH, pitch), (_RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._heard.clear()
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, 1, 0, 1, None, None)
        self._library.espeak_Synchronize()
        samples = np.concatenate([*self._heard, np.zeros(1, np.int16)]).astype(np.float32) / (1 << 15)
        return _trimmed(_resampled(samples, self.rate_hz))


def _resampled(samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
    """To 16 kHz through the spectrum; whole utterances end in silence, so that its wrapping around is not heard."""
    count = -(-len(samples) * RATE_HZ // rate_hz)
    spectrum = np.fft.rfft(samples)[: count // 2 + 1]
    return np.asarray(np.fft.irfft(spectrum, count) * (count / len(samples)), np.float32)


def _trimmed(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    margin = RATE_HZ // 50
    return samples[max(loud[0] - margin, 0) : loud[-1] + margin] if len(loud) else samples[:0]


@dataclass
class Words:
    """Words of a language, and how sentences are made of them."""

    train: list[str]
    val: list[str]
    english: bool

    @classmethod
    def of(cls, language: str) -> Words:
        words = (_WORDS / f"{language}.txt").read_text(encoding="utf-8").split()
        kept = [word for word in words if _share(word) < 0.1]
        return cls([word for word in words if _share(word) >= 0.1], kept, language == "en")

    def sentence(self, rng: np.random.Generator, split: str, count: int) -> str:
        """``count`` words; of split val about half of them are never heard in train."""
        return " ".join(self._word(rng, split) for _ in range(count))

    def _word(self, rng: np.random.Generator, split: str) -> str:
        if rng.random() < 0.1 and split == "train":
            return _invented(rng)
        of = self.val if split == "val" and rng.random() < 0.5 else self.train
        word = str(of[int(rng.integers(len(of)))])
        if self.english and len(word) > 2 and rng.random() < 0.15:
            ending = _ENDINGS[int(rng.integers(len(_ENDINGS)))]
            word = (word[:-1] if word[-1] == "e" and ending[0] != "s" and ending != "ly" else word) + ending
        return word


def _share(name: str) -> float:
    """A number in [0, 1) that is a name's own."""
    return zlib.crc32(name.encode()) / 2**32


def _invented(rng: np.random.Generator) -> str:
    """A word of two or three plain syllables."""
    starts = [*"bcdfgklmnprstvwz", "br", "dr", "fl", "gr", "pl", "pr", "sp", "st", "tr", "sh", "ch"]
    middles = [*"aeiouaeiou", "ee", "oo", "ai", "ou"]
    ends = ["", "", "", *"nmrltsdkp", "st", "nd"]
    pick = [starts, middles, ends]
    return "".join(str(part[int(rng.integers(len(part)))]) for _ in range(int(rng.integers(1, 3))) for part in pick)


def utterances(seconds: float, seed: int) -> Iterator[Utterance]:
    """Yield about so much speech, one utterance in twelve for split val."""
    espeak, rng = Espeak(), np.random.default_rng(seed)
    words = {language: Words.of(language) for language in _LANGUAGES}
    names, shares = list(_LANGUAGES), [share for share, _ in _LANGUAGES.values()]
    said = 0.0
    while said < seconds:
        split = "val" if rng.random() < 1 / 12 else "train"
        language = str(names[int(rng.choice(len(names), p=shares))])
        voices = _LANGUAGES[language][1]
        variants = [name for name in _VARIANTS if (_share(f"voice {name}") < 0.125) == (split == "val")]
        variant = variants[int(rng.integers(len(variants)))]
        voice = voices[int(rng.integers(len(voices)))] + (f"+{variant}" if variant else "")
        text = words[language].sentence(rng, split, int(rng.integers(3, 10)))
        pace = (int(rng.integers(110, 215)), int(rng.integers(15, 85)), int(rng.integers(20, 90)))
        samples = espeak.say(text, voice, *pace)
        length = len(samples) / RATE_HZ
        if not _SHORTEST_S <= length <= _LONGEST_S or parts_needed(text) > 0.9 * _PARTS_A_SECOND * length:
            continue
        said += length
        yield Utterance(text, voice, split, compressed(samples * (0.5 / np.abs(samples).max())))


def main() -> None:
    """Write files of about twenty minutes each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the files")
    parser.add_argument("--hours", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    held: list[Utterance] = []
    files = count = samples = 0
    for utterance in utterances(3600 * options.hours, options.seed):
        held.append(utterance)
        samples += len(utterance.sound)
        if samples >= _FILE_MINUTES * 60 * RATE_HZ:
            write_spoken(options.out / f"spoken-{files:05d}.npz", held)
            files, count, samples, held = files + 1, count + len(held), 0, []
    if held:
        write_spoken(options.out / f"spoken-{files:05d}.npz", held)
    print(f"{options.out}: {count + len(held)} utterances")


if __name__ == "__main__":
    main()

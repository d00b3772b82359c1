"""Measure the recogniser of characters: its errors on synthesised speech, and real speech by an outside opinion.

python tools/measure_characters.py errors SPOKEN [--weights FILE]
python tools/measure_characters.py phones SHARDS MANIFEST.csv [--weights FILE]

``errors`` reads the utterances of split val, whose voices and half of whose words are new to the network, and prints
error rates of the best path, by language and by how strongly the recording is disturbed (0 to 1, as in training).

``phones`` needs pocketsphinx (pip install pocketsphinx), whose English acoustic model labels each 10 ms of real speech
with one of 40 phones, without knowing any words (allphone decoding). Clips are those in English (a column ``language``
of the manifest, by ``id``) whose sound is the speaker's own. Printed are, over parts of 40 ms of people left out, how
often a linear probe (ridge regression to one of n, in five parts by person) finds the phone, how often it does among
parts that are no silence, and how much the likeliest character alone tells of the phone, in bits, above what it tells
when the parts of each clip are moved on by a random number.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from visavis.audio.character_network import CharacterNetwork
from visavis.audio.characters import BLANK, PART_SAMPLES, best_path, edit_distance
from visavis.audio.low_level import SIZE as LOW_LEVEL
from visavis.audio.mel import log_mel
from visavis.audio.recogniser import CharacterConfig, CharacterRecogniser
from visavis.audio.speech import SpeechFeatures
from visavis.data.shards import read
from visavis.data.spoken import expanded, read_spoken
from visavis.training.data.rooms import recorded

_STRENGTHS = (0.0, 0.5, 1.0)
_UTTERANCES = 600
_FOLDS = 5
_PENALTY = 300.0
_SILENCE = "SIL"
_SHUFFLES = 20
_ROWS_A_PART = 4  # of 10 ms

Array = NDArray[np.float64]


def errors(recogniser: CharacterRecogniser, spoken: Path) -> None:
    """Print a table of error rates."""
    held = [utterance for utterance in read_spoken(spoken) if utterance.split == "val"][:_UTTERANCES]
    wrong: dict[tuple[str, float], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for number, utterance in enumerate(held):
        language = "English" if "/en" in utterance.voice else "others"
        for strength in _STRENGTHS:
            rng = np.random.default_rng([number, int(10 * strength)])
            samples = np.pad(expanded(utterance.sound), recogniser.reach_samples + PART_SAMPLES)
            if strength:
                samples = recorded(samples, expanded(held[number - 1].sound), strength, rng)
            text = _heard(recogniser.network, samples)
            said, counts = utterance.text, wrong[language, strength]
            counts[0] += edit_distance(text, said)
            counts[1] += len(said)
            counts[2] += edit_distance(text.split(), said.split())
            counts[3] += len(said.split())
    print(f"{len(held)} utterances, {len({u.voice for u in held})} voices")
    print("| | disturbed by | characters wrong | words wrong |\n|---|---|---|---|")
    for (language, strength), (bad, said, bad_words, words) in sorted(wrong.items()):
        print(f"| {language} | {strength:.1f} | {bad / said:.3f} | {bad_words / words:.3f} |")


def _heard(network: CharacterNetwork, samples: NDArray[np.float32]) -> str:
    with torch.inference_mode():
        return best_path(network(torch.from_numpy(log_mel(samples))[None])[0].argmax(0).tolist()).strip()


def phones(recogniser: CharacterRecogniser, shards: Path, manifest: Path) -> None:
    """Print a table of probes and the shared information."""
    with manifest.open(encoding="utf-8", newline="") as file:
        languages = {row["id"]: row["language"] for row in csv.DictReader(file)}
    trained = SpeechFeatures(recogniser)
    torch.manual_seed(0)
    untrained = SpeechFeatures(CharacterRecogniser.of(CharacterNetwork(CharacterConfig())))
    said: list[list[str]] = []
    people: list[str] = []
    numbers: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
    likeliest: list[NDArray[np.int64]] = []
    decoder = _Allphone()
    for record in read(shards):
        samples = record.sound() if record.info.get("sound_is_speech") else None
        if samples is None or languages.get(record.name) != "en":
            continue
        count = len(samples) // PART_SAMPLES
        labels = decoder.phones(samples, count)
        mine, other = trained.of_clip(samples, count), untrained.of_clip(samples, count)
        # Of a frame's parts the fifth begins at its time.
        part = slice(LOW_LEVEL + 4 * BLANK, LOW_LEVEL + 5 * BLANK)
        for name, values in (
            ("characters of the part (27)", mine[:, part]),
            ("the same, untrained network (27)", other[:, part]),
            ("low-level (84)", mine[:, :LOW_LEVEL]),
            ("characters (216)", mine[:, LOW_LEVEL:]),
            ("the same, untrained network (216)", other[:, LOW_LEVEL:]),
            ("both (300)", mine),
        ):
            numbers[name].append(values)
        likeliest.append(mine[:, part].argmax(1))
        said.append(labels)
        people.append(str(record.info["identity"]))
    _print_phones(said, people, numbers, likeliest)


class _Allphone:
    """pocketsphinx, listening for phones and no words."""

    def __init__(self) -> None:
        try:
            from pocketsphinx import Decoder, get_model_path
        except ImportError as error:
            raise SystemExit("phones needs pocketsphinx: pip install pocketsphinx") from error
        self._decoder = Decoder(
            hmm=get_model_path("en-us/en-us"),
            allphone=get_model_path("en-us/en-us-phone.lm.bin"),
            **{"dict": None, "lm": None, "lw": 2.0, "beam": 1e-10, "pbeam": 1e-10, "loglevel": "FATAL"},
        )

    def phones(self, samples: NDArray[np.float32], parts: int) -> list[str]:
        """The phone at the middle of each part; noises count as silence."""
        self._decoder.start_utt()
        self._decoder.process_raw((samples * 32767).astype(np.int16).tobytes(), full_utt=True)
        self._decoder.end_utt()
        labels = [_SILENCE] * (_ROWS_A_PART * parts + _ROWS_A_PART)
        for segment in self._decoder.seg():
            name = _SILENCE if segment.word.startswith("+") else segment.word
            for row in range(segment.start_frame, min(segment.end_frame + 1, len(labels))):
                labels[row] = name
        return [labels[_ROWS_A_PART * part + _ROWS_A_PART // 2] for part in range(parts)]


def _print_phones(
    said: list[list[str]],
    people: list[str],
    numbers: dict[str, list[NDArray[np.float32]]],
    likeliest: list[NDArray[np.int64]],
) -> None:
    names = sorted({label for labels in said for label in labels})
    labels = np.concatenate([[names.index(label) for label in row] for row in said])
    person = np.concatenate([[who] * len(row) for who, row in zip(people, said, strict=True)])
    speech = labels != names.index(_SILENCE)
    print(f"{len(said)} clips, {len(set(people))} people, {len(labels)} parts, {len(names)} phones")
    most = [np.bincount(rows).max() / len(rows) for rows in (labels, labels[speech])]
    print("| numbers | phone found | where there is speech |\n|---|---|---|")
    print(f"| none: the most frequent phone | {most[0]:.3f} | {most[1]:.3f} |")
    for name, rows in numbers.items():
        right = _probed(np.concatenate(rows).astype(np.float64), labels, person, speech)
        print(f"| {name} | {right[0]:.3f} | {right[1]:.3f} |", flush=True)
    rng = np.random.default_rng(0)
    told = _information(np.concatenate(likeliest), labels)
    moved = [
        _information(np.concatenate([np.roll(row, int(rng.integers(1, len(row)))) for row in likeliest]), labels)
        for _ in range(_SHUFFLES)
    ]
    print(f"the likeliest character tells {told:.3f} bits of the phone; moved in time {np.mean(moved):.3f}", end=" ")
    print(f"(at most {np.max(moved):.3f} of {_SHUFFLES})")


def _probed(numbers: Array, labels: NDArray[np.int64], person: NDArray[np.str_], speech: NDArray[np.bool_]) -> Array:
    """Share of parts whose phone is found: of all, and, by a probe of its own, of those that are speech."""
    return np.array([_found(numbers, labels, person), _found(numbers[speech], labels[speech], person[speech])])


def _found(numbers: Array, labels: NDArray[np.int64], person: NDArray[np.str_]) -> float:
    people, wanted = sorted(set(person.tolist())), np.eye(labels.max() + 1)[labels]
    right = 0
    for fold in range(_FOLDS):
        out = np.isin(person, people[fold::_FOLDS])
        mean, scale = numbers[~out].mean(0), numbers[~out].std(0) + 1e-6
        plain = np.c_[(numbers - mean) / scale, np.ones(len(numbers))]
        gram = plain[~out].T @ plain[~out] + _PENALTY * np.eye(plain.shape[1])
        guess = (plain[out] @ np.linalg.solve(gram, plain[~out].T @ wanted[~out])).argmax(1)
        right += int((guess == labels[out]).sum())
    return right / len(labels)


def _information(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Bits that one label tells of the other."""
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1 / len(a))
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log2(joint[seen] / apart[seen])).sum())


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    kinds = parser.add_subparsers(dest="kind", required=True)
    of_errors, of_phones = kinds.add_parser("errors"), kinds.add_parser("phones")
    of_errors.add_argument("spoken", type=Path)
    of_phones.add_argument("shards", type=Path)
    of_phones.add_argument("manifest", type=Path)
    for one in (of_errors, of_phones):
        one.add_argument("--weights", type=Path, help="in place of the packaged ones")
    options = parser.parse_args()
    torch.set_num_threads(1)
    recogniser = CharacterRecogniser.load(options.weights)
    if options.kind == "errors":
        errors(recogniser, options.spoken)
    else:
        phones(recogniser, options.shards, options.manifest)


if __name__ == "__main__":
    main()

"""300 numbers of sound a frame: who hears characters, what a frame hears, and that a stream hears what a clip does."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from visavis.audio.character_network import CharacterNetwork
from visavis.audio.characters import BLANK, CHARACTERS, PART_SAMPLES, best_path, edit_distance, encode, parts_needed
from visavis.audio.mel import log_mel
from visavis.audio.recogniser import CharacterConfig, CharacterRecogniser
from visavis.audio.speech import PARTS, SpeechFeatures
from visavis.audio.wav2vec2 import Wav2Vec2Recogniser
from visavis.core.errors import WeightsError
from visavis.drawn.synthetic import TalkingFace

SECONDS = 3


@pytest.fixture(scope="module")
def features() -> SpeechFeatures:
    return SpeechFeatures(CharacterRecogniser.of(network()))


def network(config: CharacterConfig | None = None) -> CharacterNetwork:
    """Of random weights, with running statistics that are not the trivial ones."""
    torch.manual_seed(0)
    made = CharacterNetwork(config or CharacterConfig.tiny())
    with torch.no_grad():
        for _ in range(20):
            made.train()(torch.rand(4, 80, made.config.mel_frames + 40))
    return made


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return TalkingFace(0, 64).sound(SECONDS).samples


def window(features: SpeechFeatures, samples: np.ndarray, at: int) -> np.ndarray:
    """Cut what a frame at sample ``at`` hears out of a clip, with silence around it."""
    before, after = np.zeros(features.before_samples, np.float32), np.zeros(features.after_samples, np.float32)
    return np.concatenate([before, samples, after])[at : at + features.window_samples]


# --- characters


def test_repetitions_are_one_character_and_blanks_part_equal_ones():
    assert best_path([]) == "" and best_path([BLANK] * 4) == ""
    said = [*encode("hh"), BLANK, *encode("eell"), BLANK, *encode("l  o"), BLANK]
    assert best_path(said) == "hell o"
    assert parts_needed("hello") == 6 and parts_needed("") == 0


@pytest.mark.parametrize("seed", range(6))
def test_edit_distance_is_the_definition_s(seed: int):
    rng = np.random.default_rng(seed)
    a, b = ("".join(rng.choice([*"abc"], int(rng.integers(8)))) for _ in range(2))

    def slow(i: int, j: int) -> int:
        if min(i, j) == 0:
            return i + j
        return min(slow(i - 1, j) + 1, slow(i, j - 1) + 1, slow(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    assert edit_distance(a, b) == slow(len(a), len(b))


# --- the network


@pytest.mark.parametrize("config", [CharacterConfig.tiny(), CharacterConfig()])
def test_a_part_hears_its_reach_to_either_side_and_nothing_else(config: CharacterConfig):
    recogniser = CharacterRecogniser.of(network(config))
    reach = recogniser.reach_samples
    sound = (0.1 * np.random.default_rng(0).standard_normal(2 * reach + 3 * PART_SAMPLES)).astype(np.float32)
    whole = recogniser.logits(sound)
    assert whole.shape == (3, 27)
    own = sound[PART_SAMPLES : 2 * PART_SAMPLES + 2 * reach]
    np.testing.assert_allclose(recogniser.logits(own)[0], whole[1], atol=1e-4)
    for edge in (slice(0, 80), slice(-80, None)):  # the outermost samples matter
        near = own.astype(np.float32)
        near[edge] = 0
        heard = np.abs(recogniser.logits(near)[0] - recogniser.logits(own)[0]).max()
        assert heard > 1e-7
    assert recogniser.logits(sound[: 2 * reach + PART_SAMPLES - 1]).shape == (0, 27)


def test_evidence_is_the_log_odds_against_the_blank():
    made = network()
    recogniser = CharacterRecogniser.of(made)
    sound = (0.1 * np.random.default_rng(1).standard_normal(2 * recogniser.reach_samples + 640)).astype(np.float32)
    with torch.no_grad():
        shares = made.eval()(torch.from_numpy(log_mel(sound))[None]).softmax(1)[0, :, 0]
    expected = (shares[:BLANK] / shares[BLANK]).log()
    np.testing.assert_allclose(recogniser.logits(sound)[0], expected.numpy(), atol=1e-4)
    assert len(CHARACTERS) == BLANK == 27


# --- features


def test_the_size_is_the_paper_s(features: SpeechFeatures):
    assert features.size == 300 == 84 + 2 * PARTS * 27 and features.shape == (300,) and features.rate_hz == 16_000


def test_the_reach_in_seconds_is_exact():
    whole = SpeechFeatures(CharacterRecogniser.of(network(CharacterConfig())))
    assert whole.before_s == whole.after_s == Fraction(4 * 640 + 7000, 16_000)
    assert whole.window_samples == 19_120


@pytest.mark.parametrize("fps", [25, 50, 30, Fraction(30_000, 1001)])
def test_a_stream_hears_what_a_whole_clip_does(features: SpeechFeatures, samples: np.ndarray, fps: Fraction | int):
    count = int(SECONDS * fps)
    whole = features.of_clip(samples, count, fps)
    assert whole.shape == (count, 300) and whole.dtype == np.float32
    for k in (0, 1, count // 2, count - 1):
        at = round(Fraction(16_000 * k) / Fraction(fps))
        np.testing.assert_allclose(features.compute(window(features, samples, at)), whole[k], atol=1e-4)
    np.testing.assert_array_equal(features.of_clip(samples, count, fps), whole)


def test_frames_beyond_the_sound_hear_silence(features: SpeechFeatures, samples: np.ndarray):
    silence = features.compute(np.zeros(features.window_samples, np.float32))
    assert np.isfinite(silence).all()
    long = features.of_clip(samples, 25 * SECONDS + 40)
    np.testing.assert_allclose(long[-1], silence, atol=1e-4)
    np.testing.assert_allclose(features.of_clip(samples[:0], 3), np.stack([silence] * 3), atol=1e-4)
    assert features.of_clip(samples, 0).shape == (0, 300)


def test_the_parts_lie_in_order_of_time(features: SpeechFeatures, samples: np.ndarray):
    """A frame later every part has moved one place to the front."""
    numbers = features.of_clip(samples, 50)[:, 84:].reshape(50, 8, 27)
    np.testing.assert_allclose(numbers[11, :-1], numbers[10, 1:], atol=1e-4)


def test_a_window_of_another_length_is_refused(features: SpeechFeatures):
    with pytest.raises(ValueError, match="samples"):
        features.compute(np.zeros(features.window_samples + 1, np.float32))


def test_numbers_stay_bounded(features: SpeechFeatures):
    loud = np.sign(np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
    assert np.abs(features.of_clip(loud, 25)).max() <= 5


# --- wav2vec 2.0


def test_without_transformers_or_weights_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(WeightsError, match="needs transformers") as caught:
        Wav2Vec2Recogniser(tmp_path)
    assert "\n" not in str(caught.value)


def test_wav2vec2_gives_its_evidence_by_part(tmp_path: Path, samples: np.ndarray):
    transformers = pytest.importorskip("transformers")
    with pytest.raises(WeightsError, match="no wav2vec"):
        Wav2Vec2Recogniser(tmp_path)
    tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVKXJQZ"]
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    convolutions = {"conv_dim": (8,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    config = transformers.Wav2Vec2Config(vocab_size=len(tokens), pad_token_id=0, **shape, **convolutions)
    transformers.Wav2Vec2ForCTC(config).save_pretrained(tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    features = SpeechFeatures(Wav2Vec2Recogniser(tmp_path))
    whole = features.of_clip(samples, 4)
    np.testing.assert_allclose(features.compute(window(features, samples, 640)), whole[1], atol=1e-4)
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 4}))
    with pytest.raises(WeightsError, match="vocabulary"):
        Wav2Vec2Recogniser(tmp_path)

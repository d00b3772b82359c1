"""A portrait talks: as long as the speech, at rest in silence, by the rhythm of a clip; as files and as a stream."""

from __future__ import annotations

import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from made import good_inputs, run
from made_speaker import LoudSpeaker
from visavis import Sound, Talker, TalkOptions, TalkReport, VisavisError, talk_file
from visavis.drawn.synthetic import TalkingFace, write_clip
from visavis.face.mesh import LIP_PAIRS, mean_gap
from visavis.media.reader import SoundReader, VideoReader
from visavis.motion.amounts import Amounts
from visavis.motion.spoken_face import Sitter
from visavis.nn.engine import Engine
from visavis.pipelines.actor import Actor, camera_of
from visavis.pipelines.talking import Performance

EXACT = Engine("cpu", "fp32", 1)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of good inputs, and speech of several kinds."""
    folder = tmp_path_factory.mktemp("inputs")
    good_inputs(folder)
    write_clip(folder / "clip.mp4", 3.2, seed=2, size=256)
    write_clip(folder / "mute.mp4", 0.4, seed=1, size=256, sound=False)
    return folder


def write_speech(path: Path, seconds: float, rate_hz: int = 16_000, channels: int = 1, loud: float = 0.3) -> Path:
    """A tone, as 16-bit PCM."""
    count = round(seconds * rate_hz)
    tone = loud * np.sin(2 * np.pi * 220 * np.arange(count) / rate_hz)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((np.repeat(tone[:, None], channels, 1) * 32767).astype("<i2").tobytes())
    return path


def talk(inputs: Path, speech: Path, output: Path, portrait: str = "portrait.png", **options: Any) -> TalkReport:
    speaker = options.pop("speaker", None) or LoudSpeaker()
    told = TalkOptions(model=str(inputs / "tiny.safetensors"), engine=EXACT, **options)
    return talk_file(inputs / portrait, speech, output, told, speaker=speaker)


def pictures(path: Path) -> list[np.ndarray]:
    with VideoReader(path) as reader:
        return [frame.pixels for frame in reader]


@pytest.mark.parametrize(
    ("seconds", "rate_hz", "channels", "frames"),
    [(0.4, 16_000, 1, 10), (0.41, 44_100, 2, 11), (0.2, 11_025, 6, 5), (0.03, 8000, 1, 1), (0.5, 12_345, 1, 13)],
)
def test_it_is_as_long_as_the_speech(
    seconds: float, rate_hz: int, channels: int, frames: int, inputs: Path, tmp_path: Path
):
    speech = write_speech(tmp_path / "speech.wav", seconds, rate_hz, channels)
    report = talk(inputs, speech, tmp_path / "out.mp4")
    assert (report.frames, report.fps, report.frames_of_speech) == (frames, 25.0, frames)
    with VideoReader(tmp_path / "out.mp4") as reader:
        assert [frame.time for frame in reader] == [Fraction(n, 25) for n in range(frames)]
    assert set(report.as_json()) >= {"latency_ms", "frames_of_speech", "ms_per_frame", "frames_without_face"}


def test_its_sound_is_the_speech_to_the_sample(inputs: Path, tmp_path: Path):
    speech = write_speech(tmp_path / "speech.wav", 0.5, 48_000, 2)
    talk(inputs, speech, tmp_path / "out.mkv")

    def samples(path: Path) -> np.ndarray:
        with SoundReader(path, None) as reader:
            return np.concatenate([chunk.samples for chunk in reader])

    made, true = samples(tmp_path / "out.mkv"), samples(speech)
    lags = [np.corrcoef(made[2000 + lag : 20_000 + lag], true[2000:20_000])[0, 1] for lag in range(-3, 4)]
    assert int(np.argmax(lags)) == 3 and lags[3] > 0.99
    with av.open(str(tmp_path / "out.mkv")) as file:
        assert "trainedAlgorithmicMedia" in str(file.metadata) or "AI" in str(file.metadata)


def test_progress_tells_how_far_it_is(inputs: Path, tmp_path: Path):
    speech, told = write_speech(tmp_path / "speech.wav", 0.1), []
    options = TalkOptions(model=str(inputs / "tiny.safetensors"), engine=EXACT)
    talk_file(
        inputs / "portrait.png",
        speech,
        tmp_path / "out.mp4",
        options,
        lambda done, total: told.append((done, total)),
        speaker=LoudSpeaker(),
    )
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_silence_is_idle_and_counted(inputs: Path, tmp_path: Path):
    quiet = write_speech(tmp_path / "quiet.wav", 0.4, loud=0.0)
    loud = write_speech(tmp_path / "loud.wav", 0.4)
    assert talk(inputs, quiet, tmp_path / "quiet.mp4").frames_of_speech == 0
    talk(inputs, loud, tmp_path / "loud.mp4")
    assert not np.array_equal(pictures(tmp_path / "quiet.mp4")[5], pictures(tmp_path / "loud.mp4")[5])


def test_amounts_seed_and_a_still_head_count(inputs: Path, tmp_path: Path):
    speech = write_speech(tmp_path / "speech.wav", 0.2)
    made = {}
    for name, told in {
        "plain": {},
        "again": {},
        "seed": {"seed": 5},
        "still": {"still": True},
        "held": {"amounts": Amounts(head=0)},
    }.items():
        talk(inputs, speech, tmp_path / f"{name}.mp4", **told)
        made[name] = pictures(tmp_path / f"{name}.mp4")[4]
    assert np.array_equal(made["plain"], made["again"])
    assert not any(np.array_equal(made["plain"], made[name]) for name in ("seed", "still", "held"))


def test_a_clip_tells_the_rhythm_of_its_head(inputs: Path, tmp_path: Path):
    speech, speaker = write_speech(tmp_path / "speech.wav", 0.1), LoudSpeaker()
    talk(inputs, speech, tmp_path / "a.mp4", "clip.mp4", speaker=speaker)
    assert speaker.references == [((75, 6), (75, 1), (75,))]
    assert speaker.asked[0]["rhythm"] == pytest.approx(0.16, abs=0.05), "radians by which the drawn head turns"
    talk(inputs, speech, tmp_path / "b.mp4", reference=inputs / "mute.mp4", speaker=speaker)
    assert speaker.references[1] == ((10, 6), (10, 1), (10,)), "one that is short and silent tells what it can"
    talk(inputs, speech, tmp_path / "c.mp4", "clip.mp4", still=True, speaker=speaker)
    assert speaker.asked[2] == speaker.asked[0] | {"head": False}, "the mouth is that of the clip"
    talk(inputs, speech, tmp_path / "d.mp4", "clip.mp4", still=True, expression=inputs / "mute.mp4", speaker=speaker)
    assert len(speaker.references) == 3 and speaker.asked[3]["rhythm"] is None, "nothing of it would be seen"


def test_a_video_may_lend_its_head_or_its_face(inputs: Path):
    with Actor(inputs / "clip.mp4") as actor:
        sitter, seen = Sitter(actor.known[:1]), list(actor.meshes())
    assert len(seen) == 80
    with Actor(inputs / "clip.mp4") as head, Actor(inputs / "clip.mp4") as face:
        performance = Performance(LoudSpeaker(), sitter, head=head, expression=face)
        played = [performance.next(None) for _ in range(90)]
    gaps = [[mean_gap(mesh[:, :2], LIP_PAIRS) for mesh in meshes[5:75]] for meshes in (played, seen)]
    turns = [[camera_of(mesh)[4] for mesh in meshes[5:75]] for meshes in (played, seen)]
    assert np.corrcoef(*gaps)[0, 1] > 0.9
    assert np.corrcoef(*turns)[0, 1] > 0.99 and abs(camera_of(played[0])[4]) < 1e-3, "from rest on"
    assert np.allclose(played[81], played[77], atol=0.02), "and back when the video has ended"


@pytest.mark.parametrize("chunk", [800, 5000, 40_000])
def test_a_stream_is_the_file(chunk: int, inputs: Path, tmp_path: Path):
    speech = TalkingFace(2).sound(0.6, 16_000).samples

    def talker() -> Talker:
        model = str(inputs / "tiny.safetensors")
        return Talker(inputs / "portrait.png", model=model, engine=EXACT, speaker=LoudSpeaker())

    pushed, made, late = talker(), [], []
    for start in range(0, len(speech), chunk):
        made += pushed.push(speech[start : start + chunk], 16_000)
        late.append(min(start + chunk, len(speech)) / 16 - (float(made[-1].time) * 1000 if made else -40))
    assert max(late) <= pushed.latency_ms + 40, "milliseconds that the newest frame is behind the sound"
    made += pushed.finish()
    whole = list(talker().stream([Sound(speech, 16_000, Fraction(0))]))
    assert [frame.time for frame in made] == [Fraction(n, 25) for n in range(15)]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(made, whole, strict=True))
    with pytest.raises(VisavisError, match="ended"):
        pushed.push(speech, 16_000)


def test_a_gap_in_a_stream_is_silence(inputs: Path):
    speaker = LoudSpeaker()
    talker = Talker(
        next(TalkingFace(3, 256).frames(1)), model=str(inputs / "tiny.safetensors"), head=False, speaker=speaker
    )
    tone = np.full(1600, 0.3, np.float32)
    frames = talker.push(Sound(tone, 16_000, Fraction(0))) + talker.push(Sound(tone, 16_000, Fraction(1, 2)))
    assert len(frames + talker.finish()) == 15
    with pytest.raises(VisavisError, match="too long a gap"):
        Talker(inputs / "portrait.png", model=str(inputs / "tiny.safetensors"), speaker=speaker).push(
            Sound(tone, 16_000, Fraction(1000))
        )


REFUSED: dict[str, tuple[Callable[[Path], dict[str, Any]], str]] = {
    "no sound": (lambda here: {"speech": here / "mute.mp4"}, "no sound"),
    "no speech file": (lambda here: {"speech": here / "missing.wav"}, "missing.wav"),
    "a picture as speech": (lambda here: {"speech": here / "portrait.png"}, "portrait.png"),
    "no portrait": (lambda here: {"portrait": "voice.wav"}, "voice.wav"),
    "another face": (lambda here: {"face": 2}, "face number 2"),
    "a still reference": (lambda here: {"reference": here / "portrait.png"}, "still picture"),
    "a head that is none": (lambda here: {"head": here / "voice.wav"}, "voice.wav"),
    "its own input": (lambda here: {"output": here / "clip.mp4", "reference": here / "clip.mp4"}, "clip.mp4"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_and_leaves_nothing(case: str, inputs: Path, tmp_path: Path):
    told, named = REFUSED[case]
    options = {"speech": inputs / "voice.wav", "output": tmp_path / "out.mp4", **told(inputs)}
    with pytest.raises(VisavisError, match=named):
        talk(inputs, options.pop("speech"), options.pop("output"), **options)
    assert not list(tmp_path.iterdir())


def test_the_command_talks(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("visavis.pipelines.talk.load_speaker", lambda _: LoudSpeaker())
    monkeypatch.chdir(inputs)
    words = f"talk portrait.png voice.wav -o {tmp_path}/out.mp4 --model tiny.safetensors --amount lips=1.2 --json"
    assert run(words.split()) == 0
    printed = capfd.readouterr().out
    assert '"frames": 25' in printed and '"latency_ms"' in printed
    assert run(words.split()) == 1, "the result exists"
    assert len(capfd.readouterr().err.splitlines()) == 1
    assert run([*words.split(), "--force", "--model", "keypoints"]) == 1

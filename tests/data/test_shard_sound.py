"""The sound that shards keep: exact, at its pictures' time, read with NumPy alone, and never trusted."""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
import tarfile
import wave
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from limited import memory_limit
from made_shards import contents
from visavis.audio.mel import RATE_HZ, WINDOW_SAMPLES, log_mel
from visavis.core.errors import DataError
from visavis.data import flac
from visavis.data.prepare.clip import prepare_clip
from visavis.data.prepare.report import PrepareReport
from visavis.data.shards import MOST_FRAMES, ClipRecord, Priors, append, read
from visavis.data.sound import clip_sound
from visavis.data.sources import ClipTask
from visavis.drawn.synthetic import TalkingFace, draw, write_clip, write_wave
from visavis.media.flac import encode_flac, in_16_bits
from visavis.media.frame import Frame, Sound
from visavis.media.reader import VideoReader
from visavis.media.writer import VideoWriter

LEASE = Path(__file__).parents[2] / "tools" / "lease.py"
INFO = {"identity": "a", "split": "train"}


def coded(samples: NDArray[np.int16], rate_hz: int = RATE_HZ, form: str = "s16", **options: str) -> bytes:
    """FLAC as FFmpeg writes it with these options."""
    out = io.BytesIO()
    with av.open(out, "w", format="flac") as file:
        stream = file.add_stream("flac", rate=rate_hz, layout="mono", options=options)
        frame = av.AudioFrame.from_ndarray(samples[None], format=form, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
        file.mux([*stream.encode(frame), *stream.encode(None)])
    return out.getvalue()


def record(sound: bytes | None, **info: object) -> ClipRecord:
    return ClipRecord("a", b"video", b"priors", {**INFO, **info}, sound)


def pictures(clip: ClipRecord, folder: Path) -> list[NDArray[np.uint8]]:
    """All of a clip."""
    (folder / "shown.mp4").write_bytes(clip.video)
    with VideoReader(folder / "shown.mp4") as reader:
        return [frame.pixels for frame in reader]


def sounds() -> dict[str, NDArray[np.int16]]:
    rng = np.random.default_rng(0)
    voice = in_16_bits(TalkingFace(1).sound(1.0).samples)
    return {
        "a voice": voice,
        "silence": np.zeros(16_000, np.int16),
        "one value": np.full(6400, -7, np.int16),
        "noise": rng.integers(-(1 << 15), 1 << 15, 6400).astype(np.int16),
        "the loudest square": np.where(np.arange(6400) // 40 % 2, 32767, -32768).astype(np.int16),
        "low bits unused": (voice >> 4 << 4).astype(np.int16),
        "steps": np.cumsum(rng.integers(-40, 41, 6400)).astype(np.int16),
        "clicks": np.where(np.arange(12_800) % 1500 == 77, 30_000, 0).astype(np.int16),
        "one frame": voice[:640],
    }


@pytest.mark.parametrize("case", sounds())
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression_level": "0"},
        {"compression_level": "12"},
        {"lpc_type": "fixed"},
        {"lpc_type": "none"},
        {"lpc_type": "cholesky", "max_prediction_order": "32", "min_prediction_order": "20"},
        {"min_partition_order": "4", "max_partition_order": "8"},
    ],
    ids=lambda options: " ".join(options.values()) or "as prepared",
)
def test_what_ffmpeg_codes_comes_out_exactly(case: str, options: dict[str, str]):
    samples = sounds()[case]
    data = coded(samples, **options) if options else encode_flac(samples, RATE_HZ)
    np.testing.assert_array_equal(flac.decode(data, RATE_HZ, len(samples)), samples)


def test_what_is_prepared_comes_out_of_ffmpeg_exactly():
    """The outside opinion: shards' sound is ordinary FLAC."""
    samples = sounds()["a voice"]
    with av.open(io.BytesIO(encode_flac(samples, RATE_HZ))) as file:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
        assert file.streams.audio[0].rate == RATE_HZ
    np.testing.assert_array_equal(heard, samples)
    assert encode_flac(samples, RATE_HZ) == encode_flac(samples, RATE_HZ)


def test_the_sound_of_a_shard_is_that_of_its_video(whole: tuple[Path, PrepareReport]):
    """Frame k of the spectrogram and of the sound hear the same; the video's sound is AAC."""
    for clip in read(whole[0]):
        sound, mel = clip.sound(), Priors.decode(clip.priors).mel
        assert sound is not None and mel is not None
        assert sound.dtype == np.float32 and sound.shape == (640 * clip.info["frames"],)
        lead = WINDOW_SAMPLES // 2
        again = log_mel(np.pad(sound, (lead, WINDOW_SAMPLES - lead)))[:, : mel.shape[1]]
        begins = 160 * np.arange(mel.shape[1]) - lead
        inside = (begins >= 0) & (begins + 400 <= len(sound))  # the spectrogram hears what is before and after, too
        loud = mel[:, inside] > 0.4  # below that, 16 bits are heard
        assert loud.mean() > 0.1
        np.testing.assert_allclose(again[:, inside][loud], mel[:, inside][loud], atol=0.01)


def test_a_click_lies_at_its_frame(tmp_path: Path):
    """A clip that begins in the middle of a video whose sound clicks when a picture appears, and ends early."""
    samples = np.zeros(16 * 1280, np.float32)  # of 32 kHz: it ends where frame 16 begins
    samples[12 * 1280 : 12 * 1280 + 40] = 0.9
    write_wave(tmp_path / "clicks.wav", Sound(samples, 32_000, Fraction(0)))
    with VideoWriter(tmp_path / "a.mp4", size=(256, 256), fps=Fraction(25), sound=tmp_path / "clicks.wav") as writer:
        for number in range(20):
            lit = np.full((256, 256, 3), 255, np.uint8) if number == 12 else draw(256, 1)
            writer.write(Frame(lit, Fraction(number, 25)))
    task = ClipTask("a", tmp_path / "a.mp4", "a", "train", start=Fraction(8, 25), seconds=Fraction(10, 25))
    clip = prepare_clip(task)
    sound = clip.sound()
    assert sound is not None and clip.info["frames"] == 10 and len(sound) == 10 * 640
    lit = int(np.argmax([picture.mean() for picture in pictures(clip, tmp_path)]))
    assert abs(int(np.abs(sound).argmax()) - lit * 640) < 80, "within 5 ms of where the picture appears"
    assert lit == 4
    assert np.abs(sound[9 * 640 :]).max() < 0.01, "silence where the sound has ended"


def test_sound_begins_with_the_clip_and_is_silence_after_its_end(tmp_path: Path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        ramp = np.arange(-16_000, 16_000, dtype="<i2")
        file.writeframes(ramp.tobytes())
    for start in (Fraction(0), Fraction(1, 25), Fraction(3, 2)):
        found = clip_sound(tmp_path / "a.wav", start, 20)
        assert found is not None
        first = round(start * RATE_HZ)
        expected = np.pad(ramp[first : first + 12_800], (0, max(0, first + 12_800 - len(ramp))))
        np.testing.assert_array_equal(flac.decode(found.flac, RATE_HZ, 12_800), expected)


def test_a_silent_video_has_no_sound(tmp_path: Path):
    write_clip(tmp_path / "a.mp4", 0.2, size=256, sound=False)
    clip = prepare_clip(ClipTask("a", tmp_path / "a.mp4", "a", "train"))
    assert clip.flac is None and clip.sound() is None
    assert clip.members().keys() == {"mp4", "npz", "json"}


def test_shards_without_sound_are_read_as_ever(whole: tuple[Path, PrepareReport], tmp_path: Path):
    ours = list(read(whole[0]))
    with tarfile.open(tmp_path / "train-00000.tar", "w") as shard:
        for clip in ours:
            append(shard, replace(clip, flac=None))
    assert [name for name in contents(tmp_path)["train-00000.tar"] if name.endswith("flac")] == []
    again = list(read(tmp_path))
    assert [clip.sound() for clip in again] == [None] * len(ours)
    assert [replace(clip, flac=None) for clip in ours] == again


@pytest.mark.parametrize("order", ["flac json mp4 npz", "mp4 npz json flac", "json flac txt npz mp4"])
def test_members_may_come_in_any_order(whole: tuple[Path, PrepareReport], tmp_path: Path, order: str):
    """Other tools sort them, or put what came later last."""
    ours = list(read(whole[0]))
    with tarfile.open(tmp_path / "train-00000.tar", "w") as shard:
        for clip in ours:
            for ending in order.split():
                data = {**clip.members(), "txt": b"a remark"}[ending]
                entry = tarfile.TarInfo(f"{clip.name}.{ending}")
                entry.size = len(data)
                shard.addfile(entry, io.BytesIO(data))
    assert list(read(tmp_path)) == ours


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves its files to the collector
def test_webdataset_reads_the_sound(whole: tuple[Path, PrepareReport]):
    webdataset = pytest.importorskip("webdataset")
    samples = list(webdataset.WebDataset([str(path) for path in whole[0].glob("*.tar")], shardshuffle=False))
    assert [sample["flac"] for sample in samples] == [clip.flac for clip in read(whole[0])]


def test_a_lease_takes_the_sound_along_or_leaves_it(whole: tuple[Path, PrepareReport], tmp_path: Path):
    spec = importlib.util.spec_from_file_location("lease", LEASE)
    assert spec is not None and spec.loader is not None
    lease = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lease)
    words = ["pack", str(whole[0]), "--every", "2", "-o"]
    assert lease.main([*words, str(tmp_path / "with")]) == 0
    assert lease.main([*words, str(tmp_path / "without"), "--no-sound"]) == 0
    ours = [clip.flac for clip in read(whole[0])]
    assert None not in ours and [clip.flac for clip in read(tmp_path / "with")] == ours
    assert [clip.flac for clip in read(tmp_path / "without")] == [None] * len(ours)


def test_sound_is_read_where_nothing_but_numpy_can_read_it(whole: tuple[Path, PrepareReport]):
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('av', 'librosa', 'scipy', 'mediapipe', 'soundfile')))\n"
        "from pathlib import Path\nfrom visavis.data.shards import read\n"
        "print(sum(len(clip.sound()) for clip in read(Path(sys.argv[1]))))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(whole[0])], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 4 * 5 * 640


# Sound from strangers


VOICE = encode_flac(sounds()["a voice"], RATE_HZ)


def claimed(samples: int, block: int = 1152) -> bytes:
    """A header that claims so many samples in blocks of that size, and the voice's frames."""
    packed = RATE_HZ << 44 | (16 - 1) << 36 | samples
    about = block.to_bytes(2) * 2 + bytes(6) + packed.to_bytes(8) + bytes(16)
    return VOICE[:8] + about + VOICE[42:]


BAD_SOUND: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "text": lambda: b"not a sound " * 100,
    "a wave": lambda: b"RIFF" + bytes(1000),
    "another container": lambda: b"OggS" + bytes(1000),
    "a header alone": lambda: VOICE[:42],
    "cut in its header": lambda: VOICE[:30],
    "a header without end": lambda: VOICE[:4] + b"\0" + VOICE[5:42] + b"\1\xff\xff\xff",
    "cut short": lambda: VOICE[: len(VOICE) // 2],
    "cut by a byte": lambda: VOICE[:-3],
    "another rate": lambda: coded(sounds()["a voice"], 48_000),
    "24 bits": lambda: coded(np.zeros(6400, np.int32), form="s32"),
    "68,719,476,735 samples": lambda: claimed((1 << 36) - 1),
    "more samples than a clip has": lambda: coded(np.zeros(640 * MOST_FRAMES + 640, np.int16)),
    "no samples": lambda: claimed(0),
    "more samples than there are": lambda: claimed(32_000),
    "fewer samples than there are": lambda: claimed(640),
    "blocks of one sample": lambda: claimed(16_000, 16),
    "blocks of another size": lambda: claimed(16_000, 4096),
    "half a frame": lambda: coded(sounds()["a voice"][:1000]),
    "a longer clip": lambda: coded(sounds()["a voice"][:6400]),
}


@pytest.mark.parametrize("case", BAD_SOUND)
def test_sound_that_does_not_fit_is_refused_in_one_line(case: str):
    data = BAD_SOUND[case]()
    with memory_limit(512), pytest.raises(DataError, match=r"^clip a: .*sound") as refused:
        record(data, frames=25).sound()
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 200


def test_no_flipped_bit_goes_unseen():
    """Wherever it is: in the header, in a frame, or in what is over of a byte."""
    truth = sounds()["a voice"][:3200]
    good, rng = encode_flac(truth, RATE_HZ), np.random.default_rng(0)
    for bit in [*range(0, 42 * 8, 3), *rng.integers(42 * 8, len(good) * 8, 60).tolist()]:
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        try:
            heard = flac.decode(bytes(data), RATE_HZ, 3200)
        except DataError as error:
            assert "\n" not in str(error)
        else:
            np.testing.assert_array_equal(heard, truth)


def test_wild_predictions_end_in_one_line():
    """Noise behind a sound header makes weights, shifts and codes of any kind."""
    rng = np.random.default_rng(1)
    for _ in range(100):
        frame = b"\xff\xf8\x35\x08\x00\x00\x00" + bytes([2 * int(rng.integers(0, 64))]) + rng.bytes(4000)
        packed = RATE_HZ << 44 | (16 - 1) << 36 | 1152
        about = (1152).to_bytes(2) * 2 + bytes(6) + packed.to_bytes(8) + bytes(15) + b"\1"
        with pytest.raises(DataError, match="damaged sound"):
            flac.decode(b"fLaC\x80\0\0\x22" + about + frame, RATE_HZ, 1152)

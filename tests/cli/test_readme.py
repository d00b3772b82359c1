"""The README is run: every command, every Python example, every option and figure that can be checked."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from made import FRAMES, made_shards, run
from visavis.drawn.synthetic import TalkingFace, draw, write_clip, write_wave
from visavis.evaluation.study.form import SCORES, Key
from visavis.generators.keypoint import FirstOrderModel, KeypointConfig
from visavis.media.still import write_picture
from visavis.weights.store import PACKAGED, packaged

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = list(dict.fromkeys(re.findall(r"^    (visavis .*?)(?:\s{2,}#.*)?$", README, re.MULTILINE)))
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
#: Verbs that take a data set or train, and those that time themselves: minutes, even of the little that is drawn here.
LONG = ("prepare", "train", "evaluate", "rate", "bench", "doctor")
#: What a test shortens; every other word of a command is run as it stands.
SHORTER = {"--steps 500": "--steps 2"}
RECIPE = 'task = "keypoint"\nbatch = 2\nstride = 2\nlog_every = 1\n[model]\npreset = "tiny"\n'


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that the README's commands name, drawn; not to be changed."""
    folder = tmp_path_factory.mktemp("readme")
    write_picture(folder / "portrait.jpg", draw(256, seed=3))
    write_clip(folder / "talking.mp4", FRAMES / 25, seed=1)
    write_wave(folder / "speech.wav", TalkingFace(2).sound(0.2))
    for name in "ab":
        shutil.copy(folder / "talking.mp4", folder / f"{name}.mp4")
    network = FirstOrderModel(KeypointConfig.tiny()).state_dict()
    parts = {
        part: {name.removeprefix(f"{part}."): x for name, x in network.items() if name.startswith(f"{part}.")}
        for part in ("generator", "kp_detector")
    }
    torch.save(parts, folder / "vox.pth.tar")
    return folder


@pytest.fixture
def here(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the inputs as the current folder."""
    folder = tmp_path / "here"
    shutil.copytree(inputs, folder)
    monkeypatch.chdir(folder)
    return folder


def words(command: str) -> list[str]:
    """Arguments of a command of the README, shortened where it would take long."""
    for long, short in SHORTER.items():
        command = command.replace(long, short)
    return shlex.split(command)[1:]


def prepare_for(command: str, folder: Path) -> None:
    """Make what a command reads and an earlier one of the README would have left."""
    if "call.vsv" in command and "-o call.vsv" not in command:
        assert run(words("visavis encode talking.mp4 -o call.vsv")) == 0
    if "--force" in command and "talk " in command:
        assert run(words("visavis talk portrait.jpg speech.wav -o talk.mp4")) == 0
    if "sei read" in command:
        assert run(words("visavis sei write talking.mp4 -o told.mp4")) == 0
    if "tabulate" in command:
        (page,) = [c for c in COMMANDS if c.startswith("visavis study ") and "tabulate" not in c]
        assert run(words(page)) == 0
        key = Key.read(folder / "study.key.json")
        scores = {shown.id: {score.name: 4 for score in SCORES} for shown in key.shown}
        (folder / "answers-ann.json").write_text(json.dumps({"study": key.study, "rater": "ann", "answers": scores}))
    if "--data DATASET" in command or "prepare" in command:
        seconds = "4.2" if " rate " in command else "0.6"
        tool = [sys.executable, str(ROOT / "tools/draw_dataset.py"), "DATASET", "--people", "1", "--seconds", seconds]
        subprocess.run(tool, check=True)
    if "--data shards" in command:
        made_shards(folder / "shards", clips=4)
        (folder / "recipe.toml").write_text(RECIPE)


@pytest.mark.parametrize(
    "command", [pytest.param(c, marks=[pytest.mark.slow] if c.split()[1] in LONG else []) for c in COMMANDS]
)
def test_the_command_works_as_it_stands(command: str, here: Path, capfd: pytest.CaptureFixture[str]):
    prepare_for(command, here)
    status = run(words(command))
    assert status == 0, capfd.readouterr().err
    if "-o" in words(command):
        result = here / words(command)[words(command).index("-o") + 1]
        assert any(result.iterdir()) if result.is_dir() else result.stat().st_size > 0


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_example_works_as_it_stands(number: int, here: Path):
    def pictures():
        return [frame.pixels for frame in TalkingFace(1, 256).frames(3)]

    names: dict[str, object] = {"pictures": pictures}
    exec(compile(EXAMPLES[number], f"README example {number}", "exec"), names)
    report, show, rest = (names.get(name) for name in ("report", "show", "rest"))
    if report is not None:
        assert (here / "result.mp4").is_file()
    elif isinstance(rest, list):
        assert len(rest) == FRAMES, "a call so short comes out at its end"
    else:
        assert getattr(show, "shape", None) == (256, 256, 3)


def test_every_verb_is_in_the_readme(capsys: pytest.CaptureFixture[str]):
    run(["--help"])
    listed = set(re.findall(r"^\W*(\w+)  +", capsys.readouterr().out, re.MULTILINE))
    verbs = {command.split()[1] for command in COMMANDS}
    assert verbs and verbs <= listed | {"study", "weights"}
    assert {
        "reenact",
        "talk",
        "dub",
        "edit",
        "encode",
        "decode",
        "prepare",
        "train",
        "evaluate",
        "rate",
        "study",
        "inspect",
        "sei",
    } <= verbs


@pytest.mark.parametrize(
    "section, verbs", [("Reenact", ["reenact"]), ("Edit", ["edit"]), ("Talk", ["talk"]), ("Call", ["encode", "decode"])]
)
def test_every_option_in_a_table_is_an_option_of_its_verbs(
    section: str, verbs: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "200")
    text = README.split(f"\n## {section}\n")[1].split("\n## ")[0]
    options = set(re.findall(r"(--[a-z][a-z-]+)", "".join(line for line in text.splitlines() if line.startswith("|"))))
    for verb in verbs:
        assert run([verb, "--help"]) == 0
    helped = capsys.readouterr().out
    assert options and not {option for option in options if option not in helped}


def test_every_packaged_model_is_in_the_table_with_its_size_and_the_scores_of_its_card():
    for entry in packaged().values():
        cells = rf"^\| \[{entry.name}\]\((docs/models/.*?)\) \| .*? \| ([\d.]+) MB \| .*? \| (.*?) \|$"
        ((card, size, score),) = re.findall(cells, README, re.MULTILINE)
        assert float(size) == pytest.approx((PACKAGED / entry.file).stat().st_size / 1e6, abs=0.06)
        said = re.findall(r"\d+\.\d+", score)
        text = (ROOT / card).read_text(encoding="utf-8")
        assert said and not [figure for figure in said if figure not in text], "the card has the figures"


def test_rows_of_the_drawn_benchmark_are_those_of_its_page():
    """The page's are held by the benchmark's own test."""
    page = (ROOT / "docs/evaluation.md").read_text(encoding="utf-8").partition("<!-- drawn same -->")[2]
    head = "| | copy | mesh-warp | avfr-256 | headgan-256 |\n|---|---|---|---|---|\n"
    table = README.partition(head)[2].partition("\n\n")[0]
    rows = table.splitlines()
    assert len(rows) == 6
    assert all(row in page.partition("<!-- end -->")[0].splitlines() for row in rows)


def test_links_into_the_repository_lead_somewhere():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert len(targets) > 10
    assert not [target for target in targets if not (ROOT / target).exists()]


def test_every_make_target_that_is_named_exists():
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets is not None
    assert {"demo", "test"} <= set(re.findall(r"^    make (\w+)", README, re.MULTILINE)) <= set(targets[1].split())
    listed = re.search(r"`make (setup[^`]*)`", README)
    assert listed is not None and set(re.split(r"[ |]+", listed[1])) <= set(targets[1].split())


def test_the_picture_is_small_enough_to_load_at_once():
    picture = ROOT / "docs/pictures/demo.jpg"
    assert 10_000 < picture.stat().st_size < 300_000

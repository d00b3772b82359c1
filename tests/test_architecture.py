"""The house: what may be imported where, and how light the front door is."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import visavis

PACKAGE = Path(visavis.__file__).parent
ROOT = Path(__file__).parents[1]
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PAGES = [
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "README.md",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))),
]
HEAVY = ("torch", "numpy", "cv2", "mediapipe", "av", "librosa")


def python(code: str) -> str:
    """Run code in a fresh interpreter and return what it printed."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules(*rooms: str) -> list[str]:
    """Names of all modules in rooms of the package."""
    files = [file for room in rooms for file in sorted((PACKAGE / room).rglob("*.py")) if file.name != "__init__.py"]
    return ["visavis." + ".".join(file.relative_to(PACKAGE).with_suffix("").parts) for file in files]


def import_without(blocked: tuple[str, ...], names: list[str]) -> None:
    """Import modules in an interpreter in which the blocked packages cannot be imported."""
    block = f"import sys, importlib; sys.modules.update(dict.fromkeys({blocked!r}))"
    python(f"{block}; [importlib.import_module(name) for name in {names!r}]")


def test_the_public_api_is_exactly_this():
    """Adding a name is a promise; removing one breaks people. Change this list on purpose only."""
    assert sorted(visavis.__all__) == [
        "CallDecoder",
        "CallEncoder",
        "CallSettings",
        "DubOptions",
        "DubReport",
        "EditOptions",
        "EditReport",
        "EncodeOptions",
        "Engine",
        "Frame",
        "ReenactOptions",
        "ReenactReport",
        "Reenactor",
        "Sound",
        "TalkOptions",
        "TalkReport",
        "Talker",
        "VisavisError",
        "WeightsId",
        "decode_file",
        "dub_file",
        "edit_file",
        "encode_file",
        "load_generator",
        "read_frames",
        "reenact_file",
        "talk_file",
    ]
    for name in visavis.__all__:
        assert getattr(visavis, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(visavis, "no_such_name")


def test_importing_the_package_imports_nothing_heavy():
    loaded = python("import sys, visavis; print(*sys.modules)").split()
    assert not set(HEAVY) & set(loaded)


def test_the_command_line_loads_nothing_heavy_before_a_verb_runs():
    loaded = python("import sys, visavis.cli.main; print(*sys.modules)").split()
    assert not set(HEAVY) & set(loaded)


def test_core_and_media_work_without_torch():
    import_without(("torch",), modules("core", "media", "codec"))


def test_training_can_be_imported_without_mediapipe_and_pyav():
    """A rented GPU machine needs neither to train from shards."""
    import_without(("mediapipe", "av"), modules("training"))


def test_no_family_is_imported_but_by_its_own_task():
    """Any family can be deleted: its folder, its task, and a line in each registry."""
    theirs = {
        "avfr": {"training/tasks/avfr.py", "training/tasks/kept.py"},
        "headgan": {"training/tasks/headgan.py", "training/head_losses.py"},
        "keypoint": {"training/tasks/keypoint.py"},
        "rhythmic": {"training/tasks/rhythmic.py", "training/rhythmic_losses.py"},
    }
    for family, allowed in theirs.items():
        own = [PACKAGE / "generators" / family, PACKAGE / "generators" / f"{family}.py"]
        importing = re.compile(
            rf"^\s*(from|import) visavis\.generators(\.{family}\b| import .*\b{family}\b)", re.MULTILINE
        )
        found = {
            str(path.relative_to(PACKAGE))
            for path in PACKAGE.rglob("*.py")
            if not {path, *path.parents} & set(own) and importing.search(path.read_text(encoding="utf-8"))
        }
        assert found == allowed


def test_each_generator_can_be_imported_without_the_others():
    families = {f"visavis.generators.{family}" for family in ("avfr", "headgan", "keypoint", "rhythmic")}
    for room in ("avfr", "headgan", "rhythmic"):
        import_without(tuple(families - {f"visavis.generators.{room}"}), modules(f"generators/{room}"))
    import_without(tuple(families - {"visavis.generators.keypoint"}), ["visavis.generators.keypoint"])


def test_pickles_are_opened_in_two_files_and_without_running_them():
    opening = re.compile(r"torch\.load\(|pickle\.loads?\(|allow_pickle=True")
    calls = {}
    for path in PACKAGE.rglob("*.py"):
        if lines := [line for line in path.read_text(encoding="utf-8").splitlines() if opening.search(line)]:
            calls[str(path.relative_to(PACKAGE))] = lines
    assert set(calls) == {"weights/convert.py", "evaluation/metrics/tables.py"}
    assert all("weights_only=True" in line for lines in calls.values() for line in lines)


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page: str):
    """A path counts from the repository or the package; a bare name lies in a folder that its line names."""
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        named = [name for name in re.findall(r"`([\w./-]+)`", line) if re.search(r"\.(py|toml)$|^(\w+/)+$", name)]
        folders = [ROOT, PACKAGE]
        for name in named:
            for base in (ROOT, PACKAGE):
                place = base / name
                folders += [place, *(up for up in place.parents if PACKAGE in (up, *up.parents))]
        folders += [PACKAGE / "training", PACKAGE / "training" / "recipes"]  # recipes are known by their names
        for name in named:
            if name.endswith("/") and page != "ARCHITECTURE.md":
                continue  # of users' folders, too
            assert any((folder / name).exists() for folder in folders), f"{page} names {name}: {line[:80]}"


def test_a_row_of_the_architecture_stands_once():
    rows = re.findall(r"^\| ([^|]+) \|", ARCHITECTURE, re.MULTILINE)
    assert [row for row, times in Counter(rows).items() if times > 1 and row not in ("what", "room", "...")] == []
    rooms = ARCHITECTURE.partition("## Rooms")[2].partition("## Where")[0]
    named = set(re.findall(r"^\| `(\w+)/`(?:, `(\w+)/`)?", rooms, re.MULTILINE))
    assert {name for pair in named for name in pair if name} == {
        path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"
    }
    assert rooms.count("\n| `") <= 15


def test_no_room_for_odds_and_ends():
    names = {file.stem for file in PACKAGE.rglob("*.py")} | {folder.name for folder in PACKAGE.rglob("*/")}
    assert not names & {"utils", "util", "helpers", "common", "misc"}


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()

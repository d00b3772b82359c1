"""The house: what may be imported where, and how light the front door is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import visavis

PACKAGE = Path(visavis.__file__).parent
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
        "EditOptions",
        "EditReport",
        "EncodeOptions",
        "Engine",
        "Frame",
        "ReenactOptions",
        "ReenactReport",
        "Reenactor",
        "Sound",
        "VisavisError",
        "WeightsId",
        "decode_file",
        "edit_file",
        "encode_file",
        "load_generator",
        "read_frames",
        "reenact_file",
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


def test_each_generator_can_be_imported_without_the_other():
    import_without(("visavis.generators.avfr",), ["visavis.generators.keypoint"])
    import_without(("visavis.generators.keypoint",), modules("generators/avfr"))


def test_no_room_for_odds_and_ends():
    names = {file.stem for file in PACKAGE.rglob("*.py")} | {folder.name for folder in PACKAGE.rglob("*/")}
    assert not names & {"utils", "util", "helpers", "common", "misc"}


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()

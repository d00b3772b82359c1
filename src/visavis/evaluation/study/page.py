"""Writes the page of a blind study: source and driver beside one result at a time, and nothing that names a model.

Everything shown is written anew by one encoder under names drawn by chance, so neither file names nor metadata nor
codecs give a model away. The key stays beside the folder that raters get, not in it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from visavis.core.aside import filled_aside, write_whole
from visavis.core.errors import DataError, OutputError
from visavis.evaluation.study.form import LEAST, MOST, SCORES, Key, Shown
from visavis.media.provenance import DIGITAL_SOURCE_TYPE
from visavis.media.reader import SoundReader, VideoReader
from visavis.media.still import is_picture, read_picture, write_picture
from visavis.media.writer import VideoWriter

_TEMPLATE = Path(__file__).with_name("template.html")
_PLACE = "/*STUDY*/ null"
_HIDDEN_MARK = {"comment": f"AI-generated; shown in a blind study. digitalSourceType={DIGITAL_SOURCE_TYPE}"}

Progress = Callable[[int, "int | None"], None]


@dataclass(frozen=True)
class Item:
    """One source and driver, and what each model made of them.

    Attributes:
        name: stem of the driver's file.
        source, driving: picture or video of the person, video that drives.
        results: video by model.
    """

    name: str
    source: Path
    driving: Path
    results: dict[str, Path]


def gather(results: Sequence[Path], source: Path, driving: Path) -> list[Item]:
    """Match files to items.

    Args:
        results: one file or folder a model; the model is called by its stem.
        source, driving: a file each; or a folder each, whose files belong to the results of the same stem.

    Raises:
        DataError: a model twice, files mixed with folders, a result without source or driver, or a missing result.
    """
    models = [path.name if path.is_dir() else path.stem for path in results]
    if len(set(models)) < len(models):
        raise DataError(f"two models have one name: {', '.join(sorted(models))}; rename a file or folder")
    for path in (*results, source, driving):
        if not path.exists():
            raise DataError(f"{path}: no such file or folder")
    if len({path.is_dir() for path in results}) > 1:
        raise DataError("give either one file a model or one folder a model, not both")
    if results[0].is_file():
        if source.is_dir() or driving.is_dir():
            raise DataError("with one file a model, --source and --driving must be files too")
        return [Item(driving.stem, source, driving, dict(zip(models, results, strict=True)))]
    tables = {model: _by_stem(folder) for model, folder in zip(models, results, strict=True)}
    names = sorted(set().union(*tables.values()))
    if not names:
        raise DataError(f"{results[0]}: holds no file")
    for model, table in tables.items():
        if missing := [name for name in names if name not in table]:
            raise DataError(f"{model}: has no result '{missing[0]}', which another model has")
    return [
        Item(name, _of(source, name), _of(driving, name), {model: table[name] for model, table in tables.items()})
        for name in names
    ]


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            if path.stem in found:
                raise DataError(f"{folder}: two files are called '{path.stem}'")
            found[path.stem] = path
    return found


def _of(where: Path, name: str) -> Path:
    if where.is_file():
        return where
    table = _by_stem(where)
    if name not in table:
        raise DataError(f"{where}: has no file '{name}' for the result of that name")
    return table[name]


def write_study(
    items: Sequence[Item],
    folder: Path,
    key: Path,
    *,
    seed: int = 0,
    force: bool = False,
    progress: Progress | None = None,
) -> Key:
    """Write ``folder/index.html`` with its media, and the key.

    Args:
        items: see :func:`gather`.
        folder: what raters get.
        key: JSON file that un-blinds the answers; must lie outside ``folder``.
        seed: draws the names under which results are shown. The order is drawn by the page, anew for each rater.
        force: replace an earlier study and its key.

    Raises:
        MediaError: something that cannot be shown.
        OutputError: nothing may be written there.
    """
    _check_place(folder, key, force)
    # The names of all that is shown go in too, so that two studies with one seed are told apart.
    draw = random.Random(repr((seed, [(item.name, *item.results) for item in items])))
    shown = tuple(Shown(_name(draw), item.name, model) for item in items for model in item.results)
    made = Key(_name(draw), shown)
    of = {(entry.item, entry.model): entry.id for entry in shown}
    with filled_aside(folder) as aside:
        media = aside / "media"
        media.mkdir()
        screens = []
        for done, item in enumerate(items, 1):
            given = {"source": f"{_name(draw)}.png", "driving": f"{_name(draw)}.mp4"}
            _copy_picture(item.source, media / given["source"])
            _copy_video(item.driving, media / given["driving"], {})
            for model, path in item.results.items():
                token = of[item.name, model]
                _copy_video(path, media / f"{token}.mp4", _HIDDEN_MARK)
                screens.append({"id": token, **given})
            if progress is not None:
                progress(done, len(items))
        # By name, so that not even the page's text keeps the models' order.
        screens.sort(key=lambda screen: screen["id"])
        (aside / "index.html").write_text(page(made.study, screens), encoding="utf-8")
    write_whole(key, made.text().encode())
    return made


def page(study: str, screens: Sequence[dict[str, str]]) -> str:
    """The page's HTML; ``screens`` holds id, source and driving (file names in ``media``) of each result."""
    values = {
        "study": study,
        "least": LEAST,
        "most": MOST,
        "scores": [asdict(score) for score in SCORES],
        "screens": list(screens),
    }
    text = json.dumps(values)
    # Inside a script element only these could end it early or start a comment.
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return _TEMPLATE.read_text(encoding="utf-8").replace(_PLACE, text)


def _name(draw: random.Random) -> str:
    return f"{draw.getrandbits(64):016x}"


def _check_place(folder: Path, key: Path, force: bool) -> None:
    if key.resolve().is_relative_to(folder.resolve()):
        raise OutputError(f"{key}: the key would go to the raters; put it outside {folder}")
    if not folder.parent.is_dir() or not key.parent.is_dir():
        raise OutputError(f"{folder}: the folder {folder.parent} or {key.parent} does not exist")
    for path in (folder, key):
        if path.exists() and not force:
            raise OutputError(f"{path}: exists already; --force replaces it")
    if folder.exists() and {path.name for path in folder.iterdir()} - {"index.html", "media"}:
        raise OutputError(f"{folder}: holds more than a study; choose another folder")


def _copy_picture(source: Path, target: Path) -> None:
    """The source as PNG: a picture, or the first frame of a video."""
    if is_picture(source):
        write_picture(target, read_picture(source).pixels)
        return
    with VideoReader(source) as reader:
        write_picture(target, next(iter(reader)).pixels)


def _copy_video(source: Path, target: Path, metadata: dict[str, str]) -> None:
    """The video as H.264 and AAC, which every browser plays."""
    with SoundReader(source) as sound:
        heard = source if sound.has_sound else None
    with VideoReader(source) as reader:
        size = reader.info.height, reader.info.width
        with VideoWriter(target, size=size, fps=reader.info.fps, sound=heard, metadata=metadata) as writer:
            for frame in reader:
                if frame.pixels.shape[:2] == size:
                    writer.write(frame)

"""Train on a GPU machine that is lent for minutes: little goes there, little comes back, and it is cut off in time.

    python tools/lease.py pack SHARDS -o lease/data        # here: pieces small enough to travel
    python tools/lease.py train RECIPE --data DATA --back OUT --seconds 540 [--from EARLIER] [--set key=value ...]
    python tools/lease.py unpack OUT -o runs/mine          # here: the run's folder, to look at or to go on with

``train`` goes on from what an earlier lease left in EARLIER, leaves its state in OUT after every checkpoint, and ends
before the seconds are over. It needs torch, NumPy, OpenCV and safetensors, and neither MediaPipe nor PyAV.
docs/training.md shows a whole lease.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shutil
import sys
import tarfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from visavis.core.errors import DataError, VisavisError
from visavis.data.quality import is_kept
from visavis.data.shards import ClipRecord, Priors, ShardWriter, read
from visavis.training.checkpoint import WEIGHTS, holds_run, last_checkpoint
from visavis.training.data.heard import write_heard
from visavis.training.run import train

MIB = 2**20
INDEX = "run.index.json"
MARGIN_S = 25.0  # for a last step, its checkpoint and the copy


def pack(
    shards: Path,
    out: Path,
    most_mib: float,
    *,
    every: int = 1,
    clips: Mapping[str, int] | None = None,
    sound: bool = True,
    spectrograms: bool = True,
    heard: bool = False,
) -> list[Path]:
    """Repack shards into tar files of at most ``most_mib``, each of which can travel alone.

    Args:
        shards: folder of shards.
        out: folder of the pieces, empty or not there.
        most_mib: size of a piece.
        every: keep the priors of every so many frames; neighbours hardly differ, and priors are half of a shard.
        clips: most clips of one person, by the split; all of a split that is not named.
        sound: whether the clips' sound goes along, which not every task hears.
        spectrograms: whether these go along; not every task hears them.
        heard: whether the sound features of speakers who are seen go along, in a file beside the pieces.

    Raises:
        DataError: ``out`` holds shards already, or a clip is larger than that by itself.
    """
    if any(out.glob("*.tar")):
        raise DataError(f"{out}: holds shards already; choose an empty folder")
    out.mkdir(parents=True, exist_ok=True)
    with ShardWriter(out, int(most_mib * MIB), lambda names: None) as writer:
        kept: Counter[str] = Counter()
        listed: set[str] = set()
        for record in filter(lambda record: is_kept(record.info), read(shards)):
            person, split = str(record.info["identity"]), str(record.info["split"])
            if kept[person] < (clips or {}).get(split, sys.maxsize):
                kept[person] += 1
                listed.add(record.name)
                record = record if sound else replace(record, flac=None)
                writer.add(record if every == 1 and spectrograms else thinned(record, every, spectrograms))
    if heard:
        write_heard((record for record in read(shards) if record.name in listed), out, every)
    pieces = sorted(out.glob("*.tar"))
    for piece in pieces:
        if piece.stat().st_size > most_mib * MIB:
            raise DataError(f"{piece}: holds a clip that is larger than {most_mib} MiB by itself")
    return pieces


def thinned(record: ClipRecord, every: int, spectrograms: bool = True) -> ClipRecord:
    """A clip of whose frames all but every ``every``-th count as not seen, which codes to almost nothing."""
    priors = Priors.decode(record.priors)
    before = np.arange(len(priors.seen)) // every * every
    seen = priors.seen & (before == np.arange(len(before)))
    thin = replace(priors, seen=seen, mesh=priors.mesh[before], segmentation=priors.segmentation[before])
    thin = thin if spectrograms else replace(thin, mel=None)
    return replace(record, priors=thin.encode())


def leave(run: Path, back: Path, most_mib: float, piece_mib: float) -> str:
    """Copy a run's last checkpoint, log and sheet into ``back`` as pieces; too large a state leaves the weights alone.

    Returns:
        One line on what was left.
    """
    aside = run / ".leaving"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    folder = last_checkpoint(run)
    kept = [run / "run.json", run / "progress.json", run / "log.jsonl", *sorted(folder.iterdir())]
    whole = sum(path.stat().st_size for path in kept) + 2 * tarfile.RECORDSIZE < most_mib * MIB
    for path in sorted((run / "sheets").glob("*.png"))[-1:]:
        shutil.copyfile(path, aside / "sheet.png")
    if whole:
        index = _split(run, kept, aside, int(piece_mib * MIB))
        (aside / INDEX).write_text(json.dumps(index), encoding="utf-8")
    else:
        shutil.copyfile(run / "log.jsonl", aside / "log.jsonl")
        shutil.copyfile(folder / WEIGHTS, aside / WEIGHTS)
    back.mkdir(parents=True, exist_ok=True)
    for path in sorted(aside.iterdir(), key=lambda path: path.name == INDEX):  # the index last
        shutil.move(path, back / path.name)
    aside.rmdir()
    why = "" if whole else f": its state is over {most_mib} MiB, so the weights alone"
    return f"left {folder.name} in {back}{why}"


def _split(run: Path, files: Sequence[Path], aside: Path, most: int) -> dict[str, object]:
    """One tar of the files, cut into pieces ``run.000`` and on; returns what is needed to join them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in files:
            tar.add(path, str(path.relative_to(run)))
    data = packed.getvalue()
    names = [f"run.{number:03d}" for number in range(-(-len(data) // most))]
    for number, name in enumerate(names):
        (aside / name).write_bytes(data[number * most : (number + 1) * most])
    return {"pieces": names, "sha256": hashlib.sha256(data).hexdigest()}


def unpack(back: Path, run: Path) -> None:
    """Join what :func:`leave` left into a run's folder.

    Raises:
        DataError: there is nothing, or pieces are missing or of different checkpoints.
    """
    if not (back / INDEX).is_file():
        raise DataError(f"{back}: no state of a run lies here (no {INDEX})")
    index = json.loads((back / INDEX).read_text(encoding="utf-8"))
    pieces = [back / name for name in index["pieces"]]
    data = b"".join(path.read_bytes() for path in pieces if path.is_file())
    if hashlib.sha256(data).hexdigest() != index["sha256"]:
        raise DataError(f"{back}: pieces of the run are missing or do not belong together")
    run.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(run, filter="data")


def work(options: argparse.Namespace) -> None:
    """Go on with the run, or begin it, until the time is nearly over."""
    run = options.run
    if options.earlier is not None and not holds_run(run):
        unpack(options.earlier, run)

    def saved() -> None:
        print(leave(run, options.back, options.most_mib, options.piece_mib), flush=True)

    named = [] if options.perceptual is None else [f"perceptual={options.perceptual}"]
    report = train(
        options.recipe,
        options.data,
        [*options.set, *named, f"stop_after_s={max(options.seconds - MARGIN_S, 1e-6)}"],
        resume=True,
        out=run,
        device=options.device,
        say=lambda line: print(line, flush=True),
        saved=saved,
    )
    assert report is not None, "one process"
    print(json.dumps(report.as_json()), flush=True)


def _limit(text: str) -> tuple[str, int]:
    """``train=2`` as a split and a number."""
    split, _, number = text.partition("=")
    return split, int(number)


def arguments() -> argparse.ArgumentParser:
    """The three verbs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("pack", help="repack shards into pieces that can travel")
    verb.add_argument("shards", type=Path)
    verb.add_argument("-o", "--out", type=Path, required=True)
    verb.add_argument("--most-mib", type=float, default=48, help="size of a piece; the checkout travels beside it")
    verb.add_argument("--every", type=int, default=1, help="keep every so many frames")
    verb.add_argument("--clips", action="append", default=[], type=_limit, help="SPLIT=N: most clips of one person")
    verb.add_argument("--no-sound", action="store_true", help="leave the sound out")
    verb.add_argument("--heard", action="store_true", help="take the sound features of speakers who are seen along")
    verb.add_argument("--no-spectrograms", action="store_true", help="leave the spectrograms out")
    verb = verbs.add_parser("train", help="train until the time is nearly over")
    verb.add_argument("recipe", type=Path)
    verb.add_argument("--data", type=Path, required=True, help="folder of pieces")
    verb.add_argument("--back", type=Path, required=True, help="folder whose files come back")
    verb.add_argument("--from", dest="earlier", type=Path, help="folder of what came back from an earlier lease")
    verb.add_argument("--seconds", type=float, required=True, help="from now until the machine is cut off")
    verb.add_argument("--run", type=Path, default=Path("runs/lease"), help="folder of the run")
    verb.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    verb.add_argument("--most-mib", type=float, default=62, help="how much comes back in all")
    verb.add_argument("--piece-mib", type=float, default=15, help="size of a file that comes back")
    verb.add_argument("--perceptual", help="network of the perceptual loss, or a file of its weights")
    verb.add_argument("--set", action="append", default=[], help="key=value in place of the recipe's")
    verb = verbs.add_parser("unpack", help="join what came back into a run's folder")
    verb.add_argument("back", type=Path)
    verb.add_argument("-o", "--out", type=Path, required=True)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb; 1 and one line on stderr if it cannot be done."""
    options = arguments().parse_args(argv)
    try:
        if options.verb == "pack":
            for piece in pack(
                options.shards,
                options.out,
                options.most_mib,
                every=options.every,
                clips=dict(options.clips),
                sound=not options.no_sound,
                spectrograms=not options.no_spectrograms,
                heard=options.heard,
            ):
                print(f"{piece}: {piece.stat().st_size / MIB:.1f} MiB")
        elif options.verb == "train":
            work(options)
        else:
            unpack(options.back, options.out)
    except VisavisError as error:
        print(f"lease: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

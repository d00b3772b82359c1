"""``visavis weights list | verify | convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visavis.cli.console import print_json
from visavis.cli.options import Force, Json
from visavis.core.errors import WeightsError

app = typer.Typer(help="List, verify and convert weights.", no_args_is_help=True)


@app.command("list")
def list_weights(as_json: Json = False) -> None:
    """List the packaged weights."""
    from dataclasses import asdict

    from visavis.weights.store import packaged

    entries = [asdict(entry) for entry in packaged().values()]
    if as_json:
        print_json({"weights": entries})
    else:
        for entry in entries:
            print(f"{entry['name']}  {entry['family']}  {entry['file']}  {entry['sha256'][:16]}")


@app.command("verify")
def verify(as_json: Json = False) -> None:
    """Check every packaged file against its hash."""
    from visavis.weights.checkpoint import sha256
    from visavis.weights.store import PACKAGED, packaged

    good = {
        e.name: (PACKAGED / e.file).is_file() and sha256(PACKAGED / e.file) == e.sha256 for e in packaged().values()
    }
    if as_json:
        print_json({"verified": good})
    else:
        for name, ok in good.items():
            print(f"{name}: {'good' if ok else 'DAMAGED'}")
    bad = [name for name, ok in good.items() if not ok]
    if bad:
        raise WeightsError(f"packaged weights are missing or damaged: {', '.join(bad)}; install visavis again")


@app.command("convert")
def convert(
    checkpoint: Annotated[Path, typer.Argument(help="A published checkpoint (.pth, .pth.tar), or a face model.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Safetensors file to write.")],
    family: Annotated[str, typer.Option(help="Family of the checkpoint: keypoint or face-model.")] = "keypoint",
    size: Annotated[int, typer.Option(help="Side of the pictures that it was trained at; no tensor tells.")] = 256,
    landmarks: Annotated[
        Path | None,
        typer.Option(help="Of a face model: lines of a face mesh's point and the model's vertex that it is."),
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Turn a published checkpoint or face model into safetensors; nothing in it is executed."""
    from typing import Any

    from visavis.media.writer import check_output
    from visavis.weights.checkpoint import sha256

    if (family == "face-model") != (landmarks is not None):
        raise WeightsError("--landmarks goes with --family face-model, and that needs it")
    check_output(output, [checkpoint, *filter(None, [landmarks])], force=force)
    config: dict[str, Any]
    if landmarks is not None:
        from visavis.face.foreign import convert_face_model

        config = dict(convert_face_model(checkpoint, landmarks, output))
    else:
        from visavis.weights.convert import convert as run

        config = run(checkpoint, output, family, size)
    if as_json:
        print_json({"output": str(output), "family": family, "config": config, "sha256": sha256(output)})
    else:
        print(f"{output}: {family}, {config}")

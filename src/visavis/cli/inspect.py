"""``visavis inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visavis.cli.console import print_json
from visavis.cli.options import Json
from visavis.core.printable import printable


def inspect(
    file: Annotated[str, typer.Argument(help="A call (.vsv), weights (path or name), or the name of a configuration.")],
    as_json: Json = False,
) -> None:
    """Show what a call is made of, or what weights are: config, licence, hash, parameters and GMAC."""
    from visavis.codec.container import is_call

    if is_call(Path(file)):
        _inspect_call(Path(file), as_json)
        return
    from visavis.pipelines.describe import describe

    about = describe(file)
    if as_json:
        print_json(about)
        return
    for key in ("file", "family", "licence", "sha256", "meta"):
        if about[key] or (key == "licence" and about["file"]):
            print(f"{key}: {printable(about[key] or 'not stated')}")
    print("config: " + printable(", ".join(f"{key}={value}" for key, value in about["config"].items())))
    print("parameters: " + ", ".join(f"{name} {count:,}" for name, count in about["parameters"].items()))
    for when, parts in about["gmac"].items():
        print(f"GMAC {when.replace('_', ' ')}: " + ", ".join(f"{name} {value}" for name, value in parts.items()))


def _inspect_call(path: Path, as_json: bool) -> None:
    from visavis.pipelines.call.describe import describe

    about = describe(path)
    if as_json:
        print_json(about)
        return
    for key, value in about.items():
        if value is None:
            continue
        shown = ", ".join(f"{name} {count}" for name, count in value.items()) if isinstance(value, dict) else value
        print(f"{key}: {printable(shown)}")

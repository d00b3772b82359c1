"""The command ``visavis``: one verb a file, each loaded when it is called."""

from __future__ import annotations

import sys

import typer

from visavis.cli import bench, doctor, evaluate, inspect, prepare, reenact, study, train, weights
from visavis.core.errors import VisavisError

app = typer.Typer(
    name="visavis",
    help="Audio-visual talking heads: animate a portrait by a video and its sound.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("reenact")(reenact.reenact)
app.command("prepare")(prepare.prepare)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("inspect")(inspect.inspect)
app.command("bench")(bench.bench)
app.command("doctor")(doctor.doctor)
app.add_typer(weights.app, name="weights")
app.add_typer(study.app, name="study")


def main() -> None:
    """Run the command line: 0 done, 1 an error of ours in one line, 2 usage, 130 interrupted."""
    try:
        app()
    except VisavisError as error:
        one_line = " ".join(str(error).split())
        print(f"error: {one_line}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        raise SystemExit(130) from None
    except MemoryError:
        print("error: out of memory", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()

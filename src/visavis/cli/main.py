"""The command ``visavis``: one verb a file, each loaded when it is called."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from visavis import __version__
from visavis.cli import (
    bench,
    decode,
    doctor,
    dub,
    edit,
    encode,
    evaluate,
    inspect,
    prepare,
    rate,
    reenact,
    sei,
    study,
    talk,
    train,
    weights,
)
from visavis.cli.console import notes_shown
from visavis.cli.signals import Ending, Told
from visavis.core.errors import VisavisError
from visavis.core.libraries import missing_library
from visavis.core.printable import printable

app = typer.Typer(
    name="visavis",
    help="Audio-visual talking heads: animate a portrait by a video and its sound.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"visavis {__version__}")
        raise typer.Exit


app.command("reenact")(reenact.reenact)
app.command("talk")(talk.talk)
app.command("dub")(dub.dub)
app.command("edit")(edit.edit)
app.command("encode")(encode.encode)
app.command("decode")(decode.decode)
app.command("prepare")(prepare.prepare)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("rate")(rate.rate)
app.command("inspect")(inspect.inspect)
app.command("bench")(bench.bench)
app.command("doctor")(doctor.doctor)
app.add_typer(weights.app, name="weights")
app.add_typer(sei.app, name="sei")
app.add_typer(study.app, name="study")


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Print the version and end.", callback=_print_version)
    ] = False,
) -> None:
    """Options of the command itself."""


# Typer's own copy of click or click itself, depending on typer's version: what BadParameter is a kind of.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def main() -> None:
    """Run the command line; errors are one line on stderr.

    Exits with 0 done, 1 an error of ours, 2 usage, 130 interrupted, 143 or 129 asked to end by SIGTERM or SIGHUP.
    """
    with Ending() as ending, notes_shown():
        _run(ending)


def _run(ending: Ending) -> None:
    try:
        status = app(prog_name="visavis", standalone_mode=False)
    except Told:
        raise SystemExit(ending.status) from None
    except SystemExit as error:
        if error.code != 130:
            raise
        _end(ending.status, "interrupted; nothing was written")
    except VisavisError as error:
        _end(1, f"error: {error}")
    except _UsageError as error:
        _end_usage(error)
    except (KeyboardInterrupt, typer.Abort):
        _end(ending.status, "interrupted; nothing was written")
    except MemoryError:
        _end(1, "error: out of memory")
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        _end(1, "error: out of memory")
    except (ImportError, OSError) as error:
        lacking = missing_library(error)
        if lacking is None:
            raise
        _end(1, f"error: {lacking}")
    else:
        # Typer returns the status of an Exit, into which it turns Ctrl-C too.
        if status == 130:
            _end(ending.status, "interrupted; nothing was written")
        raise SystemExit(status or 0)


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Whether this is how torch says so: of a GPU by a class of its own, else in words alone."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


def _end_usage(error: Any) -> None:
    where = error.ctx.command_path if error.ctx is not None else "visavis"
    message = error.format_message().strip().rstrip(".")
    if type(error).__name__ == "NoArgsIsHelpError":
        # The help stands on stdout already, unless this typer left the printing to us.
        print(message, end="")
        raise SystemExit(2) from None
    _end(2, f"usage: {message}; {where} --help says more")


def _end(status: int, line: str) -> None:
    print(printable(" ".join(line.split())), file=sys.stderr)
    raise SystemExit(status) from None


if __name__ == "__main__":
    main()

"""``visavis study`` writes the page of a blind study; ``visavis study tabulate`` reads what raters sent back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from visavis.cli.console import print_json, progress_bar
from visavis.cli.options import Force, Json
from visavis.core.errors import OutputError

_PAGE = "page"


class _PageByDefault(TyperGroup):
    """``study A B -o DIR`` is ``study page A B -o DIR``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Put in the sub-verb where it was left out."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [_PAGE, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_PageByDefault, help="Blind user studies: write the page, tabulate the answers.", no_args_is_help=True
)


@app.command(_PAGE)
def page(
    results: Annotated[list[Path], typer.Argument(help="One video or one folder of videos for each model.")],
    source: Annotated[Path, typer.Option(help="Source picture or video, or a folder with one for each result.")],
    driving: Annotated[Path, typer.Option(help="Driving video, or a folder with one for each result.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write; give it to the raters.")],
    key: Annotated[Path | None, typer.Option(help="File that un-blinds; DIR.key.json by default.")] = None,
    seed: Annotated[int, typer.Option(help="Draws the names under which results are shown.")] = 0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a page that shows results blind and asks for the three scores of AVFR-GAN's user study."""
    from visavis.evaluation.study.page import gather, write_study

    key = key or output.with_name(f"{output.name}.key.json")
    with progress_bar("study", "items/s") as progress:
        items = gather(results, source, driving)
        made = write_study(items, output, key, seed=seed, force=force, progress=progress)
    if as_json:
        about = {"page": str(output / "index.html"), "key": str(key), "study": made.study}
        print_json({**about, "items": len(items), "models": made.models, "shown": len(made.shown)})
    else:
        print(f"{output}: {len(made.shown)} results of {len(made.models)} models; the key is {key}")


@app.command("tabulate")
def tabulate(
    answers: Annotated[list[Path], typer.Argument(help="What raters downloaded from the page.")],
    key: Annotated[Path, typer.Option(help="The key that was written with the page.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Also write .md or .json.")] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Un-blind answers and print the mean scores of each model with 95 % confidence intervals."""
    from visavis.evaluation.study.form import Key
    from visavis.evaluation.study.tabulate import markdown, read_answers, write_report
    from visavis.evaluation.study.tabulate import tabulate as run
    from visavis.media.writer import check_output

    if output is not None:
        check_output(output, [*answers, key], force=force)
        if output.suffix not in {".md", ".json"}:
            raise OutputError(f"{output}: a table is written as .md or .json")
    opened = Key.read(key)
    report = run([read_answers(path, opened) for path in answers], opened)
    if output is not None:
        write_report(report, output)
    if as_json:
        print_json(report)
    else:
        print(markdown(report), end="")

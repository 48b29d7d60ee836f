"""`nuguide data`: what a data set holds, and what is wrong with it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nuguide.units import checked_mpp

if TYPE_CHECKING:
    from nuguide.datasets.report import Report

app = typer.Typer(help="Look at annotated data before training on it.", no_args_is_help=True)

UNUSABLE = 2
COUNTED: tuple[Literal["part", "organ", "type"], ...] = ("part", "organ", "type")
_LISTED = 10


@app.callback()
def data() -> None:
    """Look at annotated data before training on it."""


@app.command()
def check(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="Folder of a public data set, or of images/ and masks/."
        ),
    ],
    mpp: Annotated[
        str | None,
        typer.Option(help="Microns per pixel, where the data set does not tell its own."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the contact sheet [default: checks/<name>]."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print everything as JSON instead of tables.")
    ] = False,
) -> None:
    """Name a data set, count its images and nuclei, draw them, and say what is wrong, by file.

    Exit code 0 when it can be used, warnings or not; 2 when it cannot.
    """
    from rich.console import Console
    from rich.progress import Progress

    from nuguide.datasets.base import Sample
    from nuguide.datasets.check import check as check_data
    from nuguide.datasets.check import contact_names
    from nuguide.datasets.collection import Part
    from nuguide.datasets.contact_sheet import MOST, Picture, outlined, write_contact_sheet
    from nuguide.datasets.opening import recognise
    from nuguide.files import make_folder

    found = recognise(path, None if mpp is None else checked_mpp(mpp))
    folder = out or Path("checks") / path.resolve().name
    make_folder(folder, "give another --out")
    shown = contact_names(found, MOST)
    pictures: list[Picture] = []
    watched = Console(stderr=True)
    with Progress(console=watched, transient=True, disable=not watched.is_terminal) as progress:
        task = progress.add_task("Checking", total=len(found.entries))

        def see(part: Part, sample: Sample) -> None:
            progress.advance(task)
            if sample.name in shown:
                pictures.append(outlined(sample, part))

        report = check_data(found, see)
    sheet = folder / "contact_sheet.png"
    if pictures:
        write_contact_sheet(pictures, sheet, found.classes)
    if json:
        typer.echo(_as_json(report))
    else:
        _print(report, sheet if pictures else None)
    if not report.usable:
        raise typer.Exit(UNUSABLE)


def _as_json(report: "Report") -> str:
    import json
    from dataclasses import asdict

    images = [asdict(facts) for facts in report.images]
    for facts in images:
        if facts["nuclei"] == 0:
            facts["diameter_um"] = None  # JSON has no nan
    values = {
        "name": report.data.name,
        "title": report.data.title,
        "licence": report.data.licence,
        "root": str(report.data.root),
        "classes": list(report.data.classes),
        "usable": report.usable,
        "counts": {by: report.counts(by) for by in COUNTED},
        "images": images,
        "findings": [asdict(finding) for finding in report.findings],
    }
    return json.dumps(values, indent=1)


def _print(report: "Report", sheet: Path | None) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    console = Console()
    about = Table.grid(padding=(0, 2))
    for name, value in report.facts().items():
        about.add_row(name, Text(value))
    console.print(about)
    counts = Table("", "", "images", "nuclei")
    for by in COUNTED:
        for i, (name, (n_images, n_nuclei)) in enumerate(report.counts(by).items()):
            row = ("" if i else by, Text(name), f"{n_images:,}", f"{n_nuclei:,}")
            counts.add_row(*row)
        counts.add_section()
    nuclei = sum(facts.nuclei for facts in report.images)
    counts.add_row("all", "", f"{len(report.images):,}", f"{nuclei:,}")
    console.print(counts)
    plain = Console(soft_wrap=True, highlight=False)
    kinds = dict.fromkeys((finding.severity, finding.problem) for finding in report.findings)
    for severity, problem in sorted(kinds):
        texts = [f.text for f in report.findings if (f.severity, f.problem) == (severity, problem)]
        colour = "red" if severity == "error" else "yellow"
        plain.print(f"[{colour}]{severity}[/]  {escape(problem)} ({len(texts)})")
        for text in texts[:_LISTED]:
            plain.print(f"  {escape(text)}")
        if len(texts) > _LISTED:
            plain.print(f"  and {len(texts) - _LISTED} more: see --json")
    if sheet is not None:
        plain.print(f"contact sheet  {escape(str(sheet))}")
    verdict = "can be used" if report.usable else "[red]cannot be used[/] until its errors are gone"
    plain.print(f"{escape(report.data.title)} {verdict}")

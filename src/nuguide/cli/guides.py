"""``nuguide guides``: which foundation encoders there are, and their weights."""

from typing import Annotated

import typer

app = typer.Typer(help="List guides and put their weights into your cache.", no_args_is_help=True)


@app.command("list")
def list_guides() -> None:
    """Show every guide, its licence, and whether its weights are here."""
    from rich.console import Console
    from rich.table import Table

    from nuguide.guides.cache import find, guides_folder
    from nuguide.guides.registry import GUIDES

    table = Table("name", "what", "field um", "licence of the weights", "weights here")
    for entry in GUIDES.values():
        record = find(entry.name)
        here = f"yes, {record.sha256[:12]}" if record else "no"
        table.add_row(entry.name, entry.description, f"{entry.field_um:g}", entry.licence, here)
    table.add_row("none", "no guide", "-", "-", "none needed")
    console = Console()
    console.print(table)
    console.print(f"Weights lie in {guides_folder()}", soft_wrap=True, highlight=False)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The guide, for example tinyvit-sam.")],
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="A checkpoint, a folder or archive with one, or hf:OWNER/NAME; "
            "without it the guide's own place on the Hugging Face hub.",
        ),
    ] = None,
) -> None:
    """Convert, check and store the weights of a guide."""
    from rich.console import Console

    from nuguide.guides.adding import add_guide

    added = add_guide(name, source)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    weights = added.weights
    console.print(f"Added {weights.name} from {weights.source} to {weights.path}")
    console.print(f"sha256 {weights.sha256}; licence of the weights: {weights.licence}")
    if added.differs_from_pin:
        console.print(
            f"Note: these are not the weights that nuguide's figures were made with "
            f"(sha256 {added.pinned}); scores may differ."
        )

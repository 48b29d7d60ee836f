"""``nuguide models``: list, show, import, blend and export models."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from nuguide.models.card import Card

app = typer.Typer(help="List, show, import, blend and export models.", no_args_is_help=True)

Output = Annotated[
    Path, typer.Option("--output", "-o", help="Folder for the model; made if absent.")
]


class Form(StrEnum):
    """Forms of an exported model."""

    nuguide = "nuguide"
    onnx = "onnx"
    openvino = "openvino"
    torchscript = "torchscript"


@app.command("list")
def list_models(
    commercial_ok: Annotated[
        bool,
        typer.Option("--commercial-ok", help="Only those that may be used commercially."),
    ] = False,
) -> None:
    """List the models inside nuguide."""
    from rich.console import Console
    from rich.text import Text

    from nuguide.models.licence import CommercialUse, terms_of
    from nuguide.models.registry import embedded_models, load_card, weight_bytes

    table = _table("name", "um/px", "guide", "licence of weights", "commercial use", "size")
    for name in embedded_models():
        card = load_card(name)
        use = terms_of(card).commercial
        if commercial_ok and use is not CommercialUse.ALLOWED:
            continue
        size = f"{weight_bytes(name) / 1e6:.1f} MB"
        row = (name, f"{card.mpp:g}", card.guide.name or "none", card.licence, use, size)
        table.add_row(*map(Text, row))
    which = " that may be used commercially" if commercial_ok else ""
    Console().print(table if table.rows else f"no models inside this nuguide{which}")


@app.command()
def show(
    model: Annotated[str, typer.Argument(metavar="NAME|FOLDER", help="A model.")],
) -> None:
    """Show a model's card: what it is, what it was trained on, what it scored and how."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from nuguide.models.licence import terms_of
    from nuguide.models.registry import load_card

    card = load_card(model)
    terms = terms_of(card)
    options = ", ".join(f"{name} {value}" for name, value in card.network.options.items())
    field = f", field {card.guide.field_um:g} um" if card.guide.field_um else ""
    lines = {
        "name": f"{card.name} {card.version}",
        "description": card.description,
        "licence of weights": card.licence,
        "commercial use": terms.words,
        "um/px": f"{card.mpp:g}",
        "classes": ", ".join(card.classes),
        "network": f"{card.network.architecture} ({options})",
        "guide": f"{card.guide.name or 'none'} ({card.guide.kind}{field})",
        "input": f"{card.channel_order}, {card.tile_px or 'any'} px",
        "decoding": ", ".join(f"{name} {value:g}" for name, value in card.decoding),
        "confidence": str(card.calibration or "not calibrated"),
        "sha256": card.sha256,
        "citation": card.citation,
        "notes": card.notes,
    }
    for data in card.training_data:
        about = f"{data.split}, {data.n_images} images, {data.licence}. {data.citation}"
        lines[f"trained on {data.name}"] = about
    console = Console()
    facts = Table.grid(padding=(0, 2))
    facts.add_column()
    facts.add_column(overflow="fold")  # a digest cut short is none
    for name, value in lines.items():
        if value:
            facts.add_row(Text(name), Text(value))
    console.print(facts)
    _show_scores(console, card)


def _show_scores(console: "Console", card: "Card") -> None:
    """Print what a model scored, a table for each set of images, then what the scores are."""
    from rich.text import Text

    if not card.scores:
        console.print("no scores on the card")
    for data in dict.fromkeys(score.data for score in card.scores):
        table = _table("score", "value", "95 % interval", "n")
        for score in (each for each in card.scores if each.data == data):
            ends = [f"{end:.3f}" for end in (score.low, score.high) if end is not None]
            row = (score.name, f"{score.value:.3f}", " to ".join(ends), str(score.n))
            table.add_row(*map(Text, row))
        console.print(Text(f"\n{data}"), table)
    for name, definition in dict.fromkeys((each.name, each.definition) for each in card.scores):
        console.print(Text(f"{name}: {definition}"))


def _table(*headings: str) -> "Table":
    """Make a table whose cells are folded where a terminal is narrow: half a licence is none."""
    from rich.table import Column, Table

    return Table(*(Column(heading, overflow="fold") for heading in headings))


@app.command("import")
def import_checkpoint(
    checkpoint: Annotated[Path, typer.Argument(help="A published .pth or .safetensors.")],
    output: Output,
    config: Annotated[
        Path | None, typer.Option(help="Its config.json or .sys file, if it does not hold one.")
    ] = None,
) -> None:
    """Turn a published checkpoint of the guided eU-Net3+ into a model."""
    from nuguide.models.checkpoint import refuse_existing, save_model
    from nuguide.models.released import load_released

    refuse_existing(output)
    model = save_model(load_released(checkpoint, config), output)
    typer.echo(f"{model.card.name} ({model.card.guide.name or 'no guide'}) is in {output}")


@app.command()
def blend(
    first: Annotated[str, typer.Argument(metavar="NAME|FOLDER", help="A model, such as default.")],
    second: Annotated[
        str, typer.Argument(metavar="NAME|FOLDER", help="One that was trained on from it.")
    ],
    output: Output,
    share: Annotated[
        float, typer.Option(min=0, max=1, help="Of the second; the rest is of the first.")
    ] = 0.5,
) -> None:
    """Blend a model and one trained on from it: what is new, with less of the old unlearned."""
    from nuguide.models.blending import blend
    from nuguide.models.checkpoint import refuse_existing, save_model
    from nuguide.models.registry import load_plain

    refuse_existing(output)
    model = save_model(blend(load_plain(first), load_plain(second), share), output)
    typer.echo(f"{model.card.name} is in {output}: {model.card.description}")
    typer.echo(f"  licence: {model.card.licence}")
    typer.echo("  not scored, not calibrated: nuguide evaluate, nuguide calibrate")


@app.command()
def export(
    model: Annotated[str, typer.Argument(metavar="NAME|FOLDER", help="A model.")],
    output: Output,
    form: Annotated[
        Form,
        typer.Option(
            "--format", help="nuguide: to share or fine-tune; the others for other programs."
        ),
    ] = Form.nuguide,
) -> None:
    """Copy a model out of nuguide: as it is, or as a graph for other programs."""
    if form is Form.nuguide:
        from nuguide.models.registry import export_model

        export_model(model, output)
        typer.echo(f"{model} is in {output}")
        return
    from nuguide.backends.export import FILES, Format, export_graph

    chosen = Format(form.value)
    difference = export_graph(model, output, chosen)
    typer.echo(f"{model} is in {output / FILES[chosen]}")
    typer.echo(f"  largest difference to torch, over random images: {difference:.1e}")

"""`nuguide info`: what a slide is, and what segmenting it would take."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from nuguide.models.model import Model
    from nuguide.slides.reader import Slide


def info(
    slide: Annotated[Path, typer.Argument(metavar="SLIDE", help="An image or a whole slide.")],
    mpp: Annotated[
        str | None,
        typer.Option(
            help="Microns per pixel; wins over the file's metadata. Where a file tells none, "
            "'estimate' takes a rough guess from the size of nuclei."
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="Model whose time is estimated.")] = "default",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    estimate: Annotated[
        bool,
        typer.Option("--estimate/--no-estimate", help="Time a few regions of the slide."),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Tell a slide's size, scale, levels and tissue, and how long segmenting it would take."""
    from nuguide.errors import ResolutionError
    from nuguide.models.registry import load
    from nuguide.segmentation.engine import on_device
    from nuguide.segmentation.estimate import check_scale, open_at
    from nuguide.units import asked_mpp

    asked, loaded = asked_mpp(mpp), on_device(load(model), device)
    with open_at(slide, asked, loaded) as opened:
        try:
            check_scale(opened, loaded)
        except ResolutionError as error:  # it is told what it is, not for how long
            opened.warnings, estimate = (*opened.warnings, str(error)), False
        facts = _facts(opened, loaded, estimate)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    else:
        _show(facts)


def _facts(slide: "Slide", model: "Model", timed: bool) -> dict[str, Any]:
    """Collect what is told, in px, um and s, as it is printed in JSON."""
    from nuguide.segmentation.area import Where, find_area
    from nuguide.segmentation.preview import estimate, regions_of

    area = find_area(slide, Where())
    regions, in_plan = regions_of(slide, area, model)
    height, width = slide.shape
    facts: dict[str, Any] = {
        "file": str(slide.path),
        "name": slide.name,
        "format": slide.vendor,
        "width_px": width,
        "height_px": height,
        "width_um": round(width * slide.mpp, 1),
        "height_um": round(height * slide.mpp, 1),
        "mpp": slide.mpp,
        "mpp_source": slide.mpp_source,
        "objective_power": slide.objective_power,
        "levels": [
            {"width_px": level.shape[1], "height_px": level.shape[0], "mpp": level.mpp}
            for level in slide.levels
        ],
        "tissue_mm2": None if area.mask is None else round(area.mask.area_mm2, 4),
        "tissue_threshold": None if area.mask is None else round(area.mask.threshold, 4),
        "model": model.card.name,
        "regions": len(regions),
        "regions_in_plan": in_plan,
        "warnings": list(slide.warnings),
        "sha256": slide.sha256,
        "sha256_of": slide.sha256_of,
    }
    if timed:
        guess = estimate(slide, area, model, regions)
        facts["estimated_seconds"] = float(f"{guess.seconds:.2g}")  # no estimate knows more
        facts["estimated_from_regions"] = guess.measured
    return facts


def _show(facts: dict[str, Any]) -> None:
    """Print the facts for a person."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    levels = facts["levels"]
    power = facts["objective_power"]
    lines = {
        "format": facts["format"] + (f", objective {power:g}x" if power else ""),
        "size": f"{facts['width_px']:,} x {facts['height_px']:,} px, "
        f"{_length(facts['width_um'])} x {_length(facts['height_um'])}",
        "scale": f"{facts['mpp']:g} um/px, from {facts['mpp_source']}",
        "levels": "\n".join(
            f"{level['width_px']:,} x {level['height_px']:,} px at {level['mpp']:.4g} um/px"
            for level in levels
        ),
        "tissue": "not searched for: not a whole slide"
        if facts["tissue_mm2"] is None
        else f"{facts['tissue_mm2']:.2f} mm2 of "
        f"{facts['width_um'] * facts['height_um'] / 1e6:.2f} mm2",
        "regions": f"{facts['regions']:,} of {facts['regions_in_plan']:,} hold tissue",
        "time": _time(facts),
        "sha256": f"{facts['sha256']}\n(of {facts['sha256_of']})",
    }
    if facts["tissue_mm2"] is None:
        lines["regions"] = f"{facts['regions']:,}"
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in lines.items():
        if value:
            table.add_row(name, Text(value))
    console = Console()
    console.print(Text(Path(facts["file"]).name, style="bold"))
    console.print(table)
    for warning in facts["warnings"]:
        console.print(Text(f"warning: {warning}", style="yellow"))


def _time(facts: dict[str, Any]) -> str:
    if "estimated_seconds" not in facts:
        return ""
    if not facts["regions"]:
        return "none: there is nothing to segment"
    count = facts["estimated_from_regions"]
    of = f"{count} region{'s' if count > 1 else ''}"
    return (
        f"about {_duration(facts['estimated_seconds'])} with model {facts['model']} here "
        f"(estimated from {of})"
    )


def _duration(seconds: float) -> str:
    if seconds >= 7200:
        return f"{seconds / 3600:.1f} h"
    if seconds >= 120:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:.0f} s" if seconds >= 1 else "a second"


def _length(um: float) -> str:
    return f"{um / 1e3:.2f} mm" if um >= 1000 else f"{um:.0f} um"

"""`nuguide fields`: parts of slides to annotate, drawn at random."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nuguide.models.model import Model
    from nuguide.segmentation.area import Where
    from nuguide.segmentation.fields import Wanted
    from nuguide.slides.reader import Slide
    from nuguide.slides.regions import Box
    from nuguide.units import AskedMpp

BAD_INPUT = 2
PART_FAILED = 3


def fields(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT...", help="Slides and images, or folders of them."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Folder for the GeoJSON, such as annotations/ beside the slides.",
        ),
    ],
    number: Annotated[
        int, typer.Option("--number", "-n", min=1, max=1000, help="Fields of each slide.")
    ] = 3,
    side: Annotated[
        float | None, typer.Option(help="Side of a field, um; 128 if it is not given.")
    ] = None,
    add: Annotated[
        bool,
        typer.Option(
            "--add",
            help="Where a slide has fewer fields than --number, draw further ones of the same "
            "squares, into added/.",
        ),
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Another draws other fields; the same, the same; 0 if not given."),
    ] = None,
    empty: Annotated[
        bool,
        typer.Option(
            "--empty",
            help="Write the fields alone, without the nuclei that the model finds in them.",
        ),
    ] = False,
    model: Annotated[str, typer.Option(help="Name of a model, or a model's folder.")] = "default",
    mpp: Annotated[
        str | None,
        typer.Option(help="Microns per pixel; wins over the file's metadata."),
    ] = None,
    roi: Annotated[
        Path | None, typer.Option(help="GeoJSON of polygons: fields are drawn inside of them.")
    ] = None,
    no_tissue: Annotated[
        bool, typer.Option("--no-tissue", help="Do not look for tissue: draw from all of a slide.")
    ] = False,
    tissue_threshold: Annotated[
        float | None,
        typer.Option(help="Optical density from which something is tissue, for example 0.05."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Draw fields at random, to be annotated in QuPath: how good is a model on your own slides?

    Each slide gets a GeoJSON with squares of the class Region* and the nuclei that the model finds
    in them. Correct these until each field holds every nucleus and nothing else, and save over the
    file; then the folder is a data set for `nuguide evaluate`, `calibrate` and `train`.
    """
    from nuguide.cli.progress import watched
    from nuguide.errors import NuguideError
    from nuguide.models.registry import load
    from nuguide.segmentation.area import Where
    from nuguide.segmentation.engine import on_device
    from nuguide.segmentation.fields import SIDE, Wanted
    from nuguide.slides.finding import find_images
    from nuguide.units import asked_mpp

    wanted = Wanted(number, SIDE if side is None else side, seed or 0)
    of_first_draws = {
        "--seed": seed is not None,
        "--roi": roi is not None,
        "--no-tissue": no_tissue,
        "--tissue-threshold": tissue_threshold is not None,
    }
    unread = [name for name, given in of_first_draws.items() if given]
    where = Where(not no_tissue, tissue_threshold, roi)
    images, asked = find_images(inputs), asked_mpp(mpp)
    targets = _targets(images, out)
    loaded = on_device(load(model), device)
    failed = 0
    for image, target in watched(list(zip(images, targets, strict=True)), "Drawing fields"):
        there = [each for each in (target, Path(f"{target}.gz")) if each.exists()]
        if there and not add:
            typer.echo(f"{image.name}: {there[0]} was there, and is left as it is")
            continue
        try:
            if there:
                told = _add(image, out, loaded, asked, number, side, unread, empty=empty)
            else:
                told = _draw(image, target, loaded, asked, where, wanted, empty=empty)
            typer.echo(f"{image.name}: {told}")
        except NuguideError as error:
            if len(images) == 1:
                raise
            typer.echo(f"error: {error}", err=True)
            failed += 1
    if failed:
        raise typer.Exit(PART_FAILED if failed < len(images) else BAD_INPUT)


def _targets(images: list[Path], out: Path) -> list[Path]:
    """Name the GeoJSON of each image."""
    from nuguide.errors import InputError
    from nuguide.files import make_folder

    targets = [out / f"{image.stem}.geojson" for image in images]
    for target in targets:
        if targets.count(target) > 1:
            raise InputError(
                f"several images are called {target.stem}; expected names that differ before the "
                "ending, by which image and GeoJSON are paired; rename one"
            )
    make_folder(out, "give another --out")
    return targets


def _draw(
    image: Path,
    target: Path,
    model: "Model",
    mpp: "AskedMpp | None",
    where: "Where",
    wanted: "Wanted",
    *,
    empty: bool,
) -> str:
    """Draw the fields of an image, write them, and say what was drawn."""
    from nuguide.datasets.frame import frame_path, write_frame
    from nuguide.segmentation.area import find_area
    from nuguide.segmentation.estimate import open_scaled
    from nuguide.segmentation.fields import draw_fields

    with open_scaled(image, mpp, model) as slide:
        frame = draw_fields(slide, find_area(slide, where), wanted)
        # First, since where the GeoJSON lies nothing is drawn again.
        write_frame(frame, frame_path(target.parent, image))
        found = _write(frame.fields, slide, model, target, empty=empty)
    n = frame.drawn.size
    few = f" (fewer than {wanted.number})" if n < wanted.number else ""
    return f"{n} of {frame.squares.size:,} fields of {wanted.side_um:g} um{few}{found}"


def _add(
    image: Path,
    out: Path,
    model: "Model",
    mpp: "AskedMpp | None",
    number: int,
    side: float | None,
    unread: "Sequence[str]",
    *,
    empty: bool,
) -> str:
    """Draw further fields of an image, write them, and say what was drawn, and what not read."""
    from nuguide.datasets.frame import check_same, frame_path, read_frame, write_frame
    from nuguide.files import make_folder
    from nuguide.segmentation.estimate import open_scaled
    from nuguide.segmentation.fields import draw_more

    path = frame_path(out, image)
    frame = read_frame(path)
    whole, added = draw_more(frame, number)
    has = f"{frame.drawn.size} of {frame.squares.size:,} fields"
    few = f" (fewer than {number})" if whole.drawn.size < number else ""
    if not added:
        return f"{has} were there, and are left as they are{few}"
    with open_scaled(image, frame.mpp if mpp is None else mpp, model) as slide:
        check_same(frame, slide.sha256, slide.mpp, side, path)
        first = frame.drawn.size + 1
        target = out / "added" / f"{image.stem}-{first}-{whole.drawn.size}.geojson"
        make_folder(target.parent, "give another --out")
        found = _write(added, slide, model, target, frame.fields, empty=empty)
        # Last: until then the same command draws the same fields again.
        write_frame(whole, path)
    same = f" of the same squares, whatever {', '.join(unread)} would say" if unread else ""
    return f"{has} were there, {len(added)} added{few}{same}{found}"


def _write(
    fields: "Sequence[Box]",
    slide: "Slide",
    model: "Model",
    target: Path,
    others: "Sequence[Box]" = (),
    *,
    empty: bool,
) -> str:
    """Write fields and the nuclei found in them, and say how many these are, and where."""
    from nuguide.export.fields import write_fields
    from nuguide.segmentation.fields import nuclei_in, outline_of

    nuclei = [] if empty else nuclei_in(slide, fields, model, others)
    write_fields(
        [outline_of(box) for box in fields],
        [(nucleus.outline, nucleus.kind) for nucleus in nuclei],
        target,
        model.card.types,
        first=len(others) + 1,
    )
    found = "" if empty else f", {len(nuclei):,} nuclei"
    return f"{found}{''.join(f'; warning: {each}' for each in slide.warnings)}, in {target}"

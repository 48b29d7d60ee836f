"""What commands say: to a person, and to a script."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from nuguide.nuclei.positivity import Labelling
    from nuguide.segmentation.batch import Ended
    from nuguide.segmentation.result import Run

UNBOUNDED = 1000
"""Columns of a file or pipe: no table is cut to fit."""

FILES = {
    "nuclei.geojson.gz": "detections: drop it on QuPath's viewer",
    "nuclei.parquet": "one row a nucleus (GeoParquet): pandas, geopandas",
    "nuclei.csv": "measurements, one row a nucleus",
    "labels.tif": "label map at the image's resolution",
    "labels.ome.zarr": "label pyramid (OME-Zarr): drop it on napari",
    "overlay.png": "outlines on the image",
    "overview.png": "density of nuclei over the slide",
    "tissue.png": "where tissue was found",
    "report.html": "all at a glance, in a browser",
    "run.toml": "settings, versions, licences, scale",
}


def as_line(ended: "Ended") -> dict[str, Any]:
    """Return what a script wants to know of an image."""
    outcome = ended.outcome
    if isinstance(outcome, Exception):
        return {"image": str(ended.image), "error": str(outcome)}
    return {
        "image": str(ended.image),
        "folder": str(outcome.folder),
        "resumed": outcome.resumed,
        "made": list(outcome.made),
        "why_again": outcome.why_again,
        **outcome.record["found"],
        "mpp": outcome.mpp,
        "mpp_source": outcome.mpp_source,
    }


def tell(image: Path, run: "Run") -> None:
    """Print what was found, in um, and where it lies."""
    again = " (done before)" if run.resumed else ""
    typer.echo(f"{image.name}: {run.count} nuclei in {run.seconds:.1f} s{again}")
    if run.made:
        typer.echo(f"  made         {', '.join(run.made)} from the nuclei found before")
    if run.count:
        typer.echo(f"  median area  {run.median_area_um2:.1f} um2")
        if run.match_probability is not None:
            percent = f"{100 * run.match_probability:.0f} %"
            typer.echo(f"  expected     {percent} of them are true, by the model's calibration")
        occurring = ((kind, n) for kind, n in run.types.items() if n)
        counts = sorted(occurring, key=lambda item: -item[1])
        if counts:
            typer.echo(f"  types        {', '.join(f'{n:,} {kind}' for kind, n in counts)}")
        if run.labelling is not None:
            typer.echo(f"  positive     {_share(run.labelling)}")
            for name, _ in counts:
                typer.echo(f"    {name:<16} {_share(run.labelling_of_types[name])}")
    else:
        typer.echo(f"  none found   {run.reason}")
    typer.echo(f"  scale        {run.mpp:g} um/px, from {run.mpp_source}")
    for warning in run.record["found"].get("warnings", []):
        typer.echo(f"  warning      {warning}")
    typer.echo(f"  files        {run.folder}/")
    for name, what in FILES.items():
        if name in run.files:
            typer.echo(f"    {name:<17} {what}")


def _share(labelling: "Labelling") -> str:
    """Word how many of some nuclei are positive."""
    words = f"{labelling.positive_percent:.1f} % of {labelling.nuclei:,} nuclei"
    if labelling.h_score is None:
        return words
    grades = ", ".join(f"{name} {count:,}" for name, count in list(labelling.counts.items())[1:])
    return f"{words} ({grades}); H-score {labelling.h_score:.0f}"

"""The nucleus table: one row a nucleus, the same names wherever nuclei are written."""

import pyarrow as pa


def _column(
    name: str, kind: pa.DataType, unit: str, description: str, *, nullable: bool = False
) -> pa.Field:
    return pa.field(name, kind, nullable, {"unit": unit, "description": description})


SCHEMA: pa.Schema = pa.schema(
    [
        _column("id", pa.string(), "", "UUID made of the image's digest and the outline"),
        _column(
            "geometry",
            pa.binary(),
            "px",
            "outline, WKB polygon in full-resolution px, x right, y down; "
            "pixel (y, x) covers [x, x + 1] x [y, y + 1]",
        ),
        _column("centroid_x_px", pa.float64(), "px", "centroid of the outline, full resolution"),
        _column("centroid_y_px", pa.float64(), "px", "centroid of the outline, full resolution"),
        _column("centroid_x_um", pa.float64(), "um", "centroid of the outline"),
        _column("centroid_y_um", pa.float64(), "um", "centroid of the outline"),
        _column("area_um2", pa.float64(), "um2", "area inside the outline"),
        _column(
            "perimeter_um", pa.float64(), "um", "length of the outline, without its pixels' steps"
        ),
        _column(
            "major_axis_um",
            pa.float64(),
            "um",
            "full long axis of the ellipse with the outline's second moments",
        ),
        _column(
            "minor_axis_um",
            pa.float64(),
            "um",
            "full short axis of the ellipse with the outline's second moments",
        ),
        _column("eccentricity", pa.float64(), "1", "of that ellipse: 0 circle, towards 1 line"),
        _column("solidity", pa.float64(), "1", "area over the area of the convex hull"),
        _column(
            "hematoxylin_od_mean",
            pa.float64(),
            "optical density",
            "mean haematoxylin by colour deconvolution with the run's stains (Ruifrok and Johnston "
            "2001, unless stated)",
        ),
        _column(
            "second_stain_od_mean",
            pa.float64(),
            "optical density",
            "mean of the stain beside haematoxylin (eosin, DAB or another: configuration.stains of "
            "run.toml names it); null in runs that did not measure it",
            nullable=True,
        ),
        _column(
            "confidence",
            pa.float64(),
            "1",
            "mean predicted probability of nucleus inside, 0 to 1; not calibrated",
        ),
        _column(
            "match_probability",
            pa.float64(),
            "1",
            "probability, 0 to 1, that a true nucleus matches it (IoU > 0.5): its confidence, "
            "calibrated as the model's card says, where it says so",
            nullable=True,
        ),
        _column("type", pa.string(), "", "class, where the model has classes", nullable=True),
        _column(
            "positivity",
            pa.string(),
            "",
            "Negative or Positive, or Negative, 1+, 2+ or 3+, by second_stain_od_mean and the "
            "run's thresholds, where it has some",
            nullable=True,
        ),
        _column("region", pa.int32(), "", "index of the region that owns the nucleus"),
    ]
)
"""Columns, units and descriptions; every reader and writer of nuclei keeps to it."""


def with_later_columns(nuclei: pa.Table, schema: pa.Schema = SCHEMA) -> pa.Table:
    """Return a table that an earlier version wrote with the columns that came since.

    They are null in every row: what was not measured stays unknown. Other tables stay as they are.
    """
    later = [
        column for column in schema if column.nullable and column.name not in nuclei.schema.names
    ]
    if not later:
        return nuclei
    for column in later:
        nuclei = nuclei.append_column(column, pa.nulls(nuclei.num_rows, column.type))
    known = [name for name in schema.names if name in nuclei.schema.names]
    return nuclei.select([*known, *(name for name in nuclei.schema.names if name not in known)])


def empty_nuclei() -> pa.Table:
    """Return the table of no nucleus."""
    return SCHEMA.empty_table()

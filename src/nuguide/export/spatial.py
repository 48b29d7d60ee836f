"""A run as SpatialData, for squidpy, napari-spatialdata or Vitessce: the extra ``spatialdata``."""

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pyarrow as pa
import shapely
import tifffile
from numpy.typing import NDArray

from nuguide.documents import read_toml
from nuguide.errors import InputError
from nuguide.export.label_pyramid import CHUNK_PX, NUCLEI
from nuguide.export.table import read_table
from nuguide.files import replacing_folder
from nuguide.nuclei.schema import SCHEMA

SHAPES, LABELS, TABLE = "nuclei", "nuclei_labels", "measurements"
"""Names of the elements; the table annotates the shapes."""

_INSTANCE = "label"
_REGION = "annotates"
_NUMBERS = [
    field.name for field in SCHEMA if field.type == pa.float64() and "centroid" not in field.name
]


def write_spatialdata(run: Path, path: Path) -> None:
    """Turn a run folder into a SpatialData store: outlines, label map and table.

    Parameters
    ----------
    run : Path
        A finished run folder.
    path : Path
        Ends in ``.zarr``; a former one is replaced.

    Raises
    ------
    InputError
        If ``spatialdata`` is not installed, or ``run`` holds no finished run, or no label map.
    OutputError
        If ``path`` cannot be written.

    Notes
    -----
    The coordinate system ``global`` is in um. Row i of the table has the label i + 1, which is the
    index of its outline and its number on the label map. SpatialData holds outlines and table in
    memory, about 2 kB a nucleus. A run without nuclei has the label map alone.
    """
    try:
        from spatialdata import SpatialData
        from spatialdata.transformations import Scale
    except ImportError as fault:
        raise InputError(
            f"SpatialData cannot be written ({fault}); expected the package spatialdata; "
            "pip install 'nuguide[spatialdata]'"
        ) from fault
    mpp = _mpp(run)
    nuclei = read_table(run / "nuclei.parquet")
    to_um = {"global": Scale([mpp, mpp], axes=("x", "y"))}
    elements: dict[str, Any] = {LABELS: _labels(run, to_um)}
    if nuclei.num_rows:
        numbers = np.arange(1, nuclei.num_rows + 1)
        elements |= {SHAPES: _shapes(nuclei, numbers, to_um), TABLE: _table(nuclei, numbers)}
    with replacing_folder(path) as aside:
        aside.rmdir()  # SpatialData makes the folder itself, or takes it for somebody else's
        SpatialData.init_from_elements(elements).write(aside)


def _mpp(run: Path) -> float:
    try:
        return float(read_toml(run / "run.toml")["configuration"]["mpp"])
    except (ValueError, TypeError, LookupError, ArithmeticError) as fault:
        raise InputError(
            f"{run} holds no finished run ({fault}); expected a folder that nuguide segment wrote; "
            "segment first"
        ) from fault


def _labels(run: Path, to_um: dict[str, Any]) -> Any:
    from spatialdata.models import Labels2DModel

    labels = _stored_labels(run)
    halvings = max(0, int(np.ceil(np.log2(max(labels.shape) / CHUNK_PX))))
    return Labels2DModel.parse(
        labels, dims=("y", "x"), transformations=to_um, scale_factors=[2] * halvings or None
    )


def _stored_labels(run: Path) -> da.Array:
    """Open the label map of a run, (H, W), in whichever form there is."""
    pyramid, tiff = run / "labels.ome.zarr" / NUCLEI / "0", run / "labels.tif"
    if pyramid.is_dir():
        return da.from_zarr(str(pyramid))
    if tiff.is_file():
        return da.from_array(tifffile.imread(tiff), chunks=CHUNK_PX)
    raise InputError(
        f"{run} holds no label map; expected {pyramid.parents[2].name} or {tiff.name}; run "
        "nuguide segment on the same folder again without --labels none, which makes it"
    )


def _shapes(nuclei: pa.Table, numbers: NDArray[np.int64], to_um: dict[str, Any]) -> Any:
    from geopandas import GeoDataFrame
    from spatialdata.models import ShapesModel

    outlines = shapely.from_wkb(nuclei["geometry"].to_numpy())
    frame = GeoDataFrame({"geometry": outlines}, index=numbers)
    return ShapesModel.parse(frame, transformations=to_um)


def _table(nuclei: pa.Table, numbers: NDArray[np.int64]) -> Any:
    from anndata import AnnData
    from pandas import Categorical, DataFrame
    from spatialdata.models import TableModel

    rows = DataFrame(
        {
            _INSTANCE: numbers,
            _REGION: Categorical([SHAPES] * len(numbers)),
            "id": nuclei["id"].to_pylist(),
        },
        index=numbers.astype(str),
    )
    for name in ("type", "positivity"):
        if nuclei[name].null_count < nuclei.num_rows:
            rows[name] = Categorical(nuclei[name].to_pylist())
    units = [SCHEMA.field(name).metadata[b"unit"].decode() for name in _NUMBERS]
    table = AnnData(
        np.stack([nuclei[name].to_numpy() for name in _NUMBERS], axis=1),
        obs=rows,
        var=DataFrame({"unit": units}, index=_NUMBERS),
        obsm={
            "spatial": np.stack([nuclei[f"centroid_{axis}_um"].to_numpy() for axis in "xy"], axis=1)
        },
    )
    return TableModel.parse(table, region=SHAPES, region_key=_REGION, instance_key=_INSTANCE)

"""What the command can be asked, the function can, by the same names."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import nuguide
from nuguide.cli.segment import segment as command
from nuguide.errors import InputError, OutputError
from nuguide.models.model import Model

OF_THE_COMMAND = {
    "inputs",
    "recursive",
    "as_json",
    "commercial_ok",
    "memory",
    "workers",
    "scheduler",
}
"""What is of many images, of the terminal or of other processes."""


@pytest.fixture
def roi(tmp_path: Path) -> Path:
    """Write the left half of the picture of 600 x 400 px."""
    ring = [[0, 0], [300, 0], [300, 400], [0, 400], [0, 0]]
    path = tmp_path / "left.geojson"
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    return path


def test_the_function_has_the_options_of_the_command() -> None:
    options = set(inspect.signature(command).parameters) - OF_THE_COMMAND
    asked = set(inspect.signature(nuguide.segment).parameters) - {"image"}
    assert {name.removeprefix("no_") for name in options} == asked


def test_each_of_them_is_done(model: Model, picture: Path, roi: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert nuguide.segment(picture, 0.25, model=model, out=out).count == 96
    with pytest.raises(OutputError, match=r"holds another run.*in Python overwrite=True"):
        nuguide.segment(picture, 0.25, model=model, out=out, roi=roi)
    half = nuguide.segment(
        picture, 0.25, model=model, out=out, roi=str(roi), labels="zarr", csv=True, overwrite=True
    )
    assert half.count == 48
    names = {path.name for path in out.iterdir()}
    assert {"labels.ome.zarr", "nuclei.csv"} < names
    assert "labels.tif" not in names
    regions = nuguide.segment(
        picture, 0.25, model=model, out=tmp_path / "pale", tissue_threshold=0.02, tissue=True
    ).record["configuration"]["regions"]
    assert (regions["area"], regions["tissue_threshold"]) == ("tissue", 0.02)
    large = nuguide.segment(picture, 0.25, model=model, decoding={"min_area_um2": 1000.0})
    assert large.nuclei.num_rows == 0


@pytest.mark.parametrize(
    "asked",
    [{"csv": True}, {"labels": "none"}, {"overwrite": True}, {"roi": "a"}, {"tissue_threshold": 1}],
)
def test_what_needs_a_folder_is_not_passed_over_without_one(
    model: Model, tissue: NDArray[np.uint8], asked: dict[str, object]
) -> None:
    (name,) = asked
    with pytest.raises(InputError, match=rf"{name} given without out.*for example out="):
        nuguide.segment(tissue, 0.25, model=model, **asked)


def test_a_form_of_labels_that_there_is_not_is_one_line(
    model: Model, picture: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"labels 'tif' .*auto, zarr, tiff, none"):
        nuguide.segment(picture, 0.25, model=model, out=tmp_path / "out", labels="tif")

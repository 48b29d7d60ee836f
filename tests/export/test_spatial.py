import sys
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from nuguide.errors import InputError
from nuguide.export.label_pyramid import open_labels
from nuguide.export.labels import write_labels
from nuguide.export.spatial import LABELS, SHAPES, TABLE, _mpp, _stored_labels, write_spatialdata
from nuguide.export.table import write_table
from nuguide.nuclei.schema import empty_nuclei

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import spatialdata
except ImportError:
    spatialdata = None

installed = pytest.mark.skipif(spatialdata is None, reason="the extra spatialdata is not installed")
# Its own dependencies warn on import and on writing.
quiet = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def run(tmp_path: Path, nuclei: pa.Table, labels: np.ndarray) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    write_table([nuclei], folder / "nuclei.parquet")
    write_labels(labels, folder / "labels.tif", 0.25)
    (folder / "run.toml").write_text("[configuration]\nmpp = 0.25\n")
    return folder


@installed
@quiet
def test_outlines_labels_and_table_agree(
    run: Path, tmp_path: Path, nuclei: pa.Table, labels: np.ndarray
) -> None:
    path = tmp_path / "sdata.zarr"
    write_spatialdata(run, path)
    data = spatialdata.read_zarr(path)
    table, shapes = data.tables[TABLE], data.shapes[SHAPES]
    assert table.obs["id"].tolist() == nuclei["id"].to_pylist()
    assert table.obs["label"].tolist() == shapes.index.tolist() == [1, 2, 3]
    assert (np.asarray(data.labels[LABELS]) == labels).all()
    area = table[:, "area_um2"].X[:, 0]
    assert area == pytest.approx(nuclei["area_um2"].to_numpy())
    assert table.var.loc["area_um2", "unit"] == "um2"
    in_um = spatialdata.transform(shapes, to_coordinate_system="global")
    assert in_um.area.to_numpy() == pytest.approx(area)
    centroids = np.stack([in_um.centroid.x, in_um.centroid.y], axis=1)
    assert centroids == pytest.approx(table.obsm["spatial"])


@installed
@quiet
def test_labels_of_a_slide_come_from_its_pyramid(
    run: Path, tmp_path: Path, labels: np.ndarray
) -> None:
    (run / "labels.tif").unlink()
    thumbnail = np.zeros((8, 9, 3), np.uint8)
    with open_labels(run / "labels.ome.zarr", (2000, 1500), 0.25, thumbnail) as canvas:
        canvas.write(0, 0, labels)
    write_spatialdata(run, tmp_path / "sdata.zarr")
    levels = spatialdata.read_zarr(tmp_path / "sdata.zarr").labels[LABELS]
    assert list(levels) == ["scale0", "scale1"]
    finest = np.asarray(levels["scale0"].image)
    assert finest.shape == (2000, 1500)
    assert (finest[:64, :80] == labels).all()


@installed
@quiet
def test_no_nuclei_leave_the_labels(run: Path, tmp_path: Path) -> None:
    write_table([empty_nuclei()], run / "nuclei.parquet")
    write_spatialdata(run, tmp_path / "sdata.zarr")
    data = spatialdata.read_zarr(tmp_path / "sdata.zarr")
    assert list(data.labels) == [LABELS]
    assert not data.shapes
    assert not data.tables


@installed
@quiet
def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no finished run"):
        write_spatialdata(tmp_path, tmp_path / "sdata.zarr")


def test_without_the_extra_the_error_says_what_to_install(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spatialdata", None)
    with pytest.raises(InputError, match=r"pip install 'nuguide\[spatialdata\]'"):
        write_spatialdata(run, tmp_path / "sdata.zarr")


@pytest.mark.parametrize("text", ["", "configuration = 3", f"configuration.mpp = 1{'0' * 4000}"])
def test_a_damaged_record_is_one_clear_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(InputError, match="holds no finished run"):
        _mpp(tmp_path)


def test_a_run_without_labels_is_told_how_to_make_them(run: Path) -> None:
    assert _stored_labels(run).shape
    (run / "labels.tif").unlink()
    with pytest.raises(InputError, match=r"no label map.* labels\.ome\.zarr or labels\.tif; "):
        _stored_labels(run)

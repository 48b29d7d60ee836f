import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from nuguide.errors import InputError, OutputError
from nuguide.export.table import read_table, write_table
from nuguide.nuclei.schema import SCHEMA, empty_nuclei


def test_what_is_written_is_read(tmp_path: Path, nuclei: pa.Table) -> None:
    path = tmp_path / "nuclei.parquet"
    write_table(nuclei, path)
    assert read_table(path).equals(nuclei)
    assert read_table(path).schema.equals(SCHEMA, check_metadata=True)


def test_geoparquet_metadata_describe_the_geometry(tmp_path: Path, nuclei: pa.Table) -> None:
    path = tmp_path / "nuclei.parquet"
    write_table(nuclei, path)
    file = pq.ParquetFile(path)
    geo = json.loads(file.metadata.metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    column = geo["columns"][geo["primary_column"]]
    assert (column["encoding"], column["geometry_types"]) == ("WKB", ["Polygon"])
    assert column["crs"] is None
    assert column["bbox"] == pytest.approx([6, 4, 60, 60], abs=0.1)
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    outlines = shapely.from_wkb(pq.read_table(path)["geometry"].to_numpy())
    assert (shapely.get_type_id(outlines) == shapely.GeometryType.POLYGON).all()
    assert shapely.is_ccw(shapely.get_exterior_ring(outlines)).all()
    area_um2 = shapely.area(outlines) * 0.25**2
    assert area_um2 == pytest.approx(nuclei["area_um2"].to_numpy())


def test_units_stay_with_the_columns(tmp_path: Path, nuclei: pa.Table) -> None:
    path = tmp_path / "nuclei.parquet"
    write_table(nuclei, path)
    assert pq.read_schema(path).field("area_um2").metadata[b"unit"] == b"um2"


def test_no_nuclei_are_a_valid_table(tmp_path: Path) -> None:
    path = tmp_path / "nuclei.parquet"
    write_table(empty_nuclei(), path)
    assert read_table(path).num_rows == 0
    geo = json.loads(pq.read_schema(path).metadata[b"geo"])
    assert "bbox" not in geo["columns"]["geometry"]


def test_other_files_are_refused(tmp_path: Path, nuclei: pa.Table) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "absent.parquet")
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "text.parquet")
    pq.write_table(nuclei.drop_columns(["area_um2"]), tmp_path / "less.parquet")
    with pytest.raises(InputError, match="lacks area_um2"):
        read_table(tmp_path / "less.parquet")


def test_a_place_that_cannot_be_written(tmp_path: Path, nuclei: pa.Table) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_table(nuclei, tmp_path / "absent" / "nuclei.parquet")

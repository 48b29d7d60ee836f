import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from nuguide.errors import InputError, OutputError
from nuguide.export import table
from nuguide.export.table import fault_of, read_table, write_table
from nuguide.nuclei.schema import SCHEMA, empty_nuclei


def test_what_is_written_is_read(tmp_path: Path, nuclei: pa.Table) -> None:
    path = tmp_path / "nuclei.parquet"
    write_table([nuclei], path)
    assert read_table(path).equals(nuclei)
    assert read_table(path).schema.equals(SCHEMA, check_metadata=True)


def test_a_table_of_before_the_second_stain_is_read(tmp_path: Path, nuclei: pa.Table) -> None:
    path = tmp_path / "nuclei.parquet"
    pq.write_table(nuclei.drop_columns(["second_stain_od_mean"]), path)
    assert not fault_of(path, 3, thoroughly=True)
    read = read_table(path)
    assert read.schema.equals(SCHEMA, check_metadata=True)
    assert read["second_stain_od_mean"].null_count == read.num_rows == 3


def test_geoparquet_metadata_describe_the_geometry(tmp_path: Path, nuclei: pa.Table) -> None:
    path = tmp_path / "nuclei.parquet"
    write_table([nuclei], path)
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
    write_table([nuclei], path)
    assert pq.read_schema(path).field("area_um2").metadata[b"unit"] == b"um2"


def test_no_nuclei_are_a_valid_table(tmp_path: Path) -> None:
    path = tmp_path / "nuclei.parquet"
    write_table([empty_nuclei()], path)
    assert read_table(path).num_rows == 0
    geo = json.loads(pq.read_metadata(path).metadata[b"geo"])
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


def test_a_whole_table_has_no_fault(tmp_path: Path, nuclei: pa.Table) -> None:
    write_table([nuclei], tmp_path / "nuclei.parquet")
    assert fault_of(tmp_path / "nuclei.parquet", 3, thoroughly=False) == ""
    assert fault_of(tmp_path / "nuclei.parquet", 3, thoroughly=True) == ""


def test_a_table_that_was_lost_cut_or_exchanged_has_a_fault(
    tmp_path: Path, nuclei: pa.Table
) -> None:
    path = tmp_path / "nuclei.parquet"
    assert fault_of(path, 3, thoroughly=False) == "is missing"
    write_table([nuclei], path)
    assert fault_of(path, 1_004, thoroughly=False) == "holds 3 nuclei where 1,004 were found"
    content = path.read_bytes()
    for length in (0, 8, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        assert "cannot be read" in fault_of(path, 3, thoroughly=False)
    path.write_text("no table")
    assert "cannot be read" in fault_of(path, 3, thoroughly=False)


def test_a_byte_that_changed_is_found_when_every_page_is_read(
    tmp_path: Path, nuclei: pa.Table
) -> None:
    path = tmp_path / "nuclei.parquet"
    write_table([nuclei], path)
    content = path.read_bytes()
    chunks = [pq.read_metadata(path).row_group(0).column(i) for i in range(len(SCHEMA.names))]
    for chunk in chunks:
        first = chunk.dictionary_page_offset or chunk.data_page_offset
        last = first + chunk.total_compressed_size - 1
        path.write_bytes(content[:last] + bytes([content[last] ^ 1]) + content[last + 1 :])
        assert fault_of(path, 3, thoroughly=False) == ""
        assert "cannot be read" in fault_of(path, 3, thoroughly=True), chunk.path_in_schema


def test_a_table_without_a_column_serves_until_something_is_made_of_it(
    tmp_path: Path, nuclei: pa.Table
) -> None:
    path = tmp_path / "less.parquet"
    pq.write_table(nuclei.drop_columns(["area_um2"]), path)
    assert fault_of(path, 3, thoroughly=False) == ""
    assert fault_of(path, 3, thoroughly=True) == "lacks area_um2"


def test_a_place_that_cannot_be_written(tmp_path: Path, nuclei: pa.Table) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_table([nuclei], tmp_path / "absent" / "nuclei.parquet")


def test_many_pieces_make_one_file_of_even_groups(
    tmp_path: Path, nuclei: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "ROWS_PER_GROUP", 32)
    moved = moved_by(nuclei, 1000.0)
    once, piecewise = tmp_path / "once.parquet", tmp_path / "piecewise.parquet"
    many = [nuclei, empty_nuclei()] * 12 + [moved]
    write_table(iter(many), piecewise)
    write_table([pa.concat_tables(many)], once)
    assert once.read_bytes() == piecewise.read_bytes()
    file = pq.ParquetFile(piecewise)
    groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert groups == [32, 7]
    geo = json.loads(file.metadata.metadata[b"geo"])
    assert geo["columns"]["geometry"]["bbox"] == pytest.approx([6, 4, 1060, 1060], abs=0.1)
    assert read_table(piecewise)["id"].to_pylist()[-3:] == moved["id"].to_pylist()


def moved_by(nuclei: pa.Table, px: float) -> pa.Table:
    outlines = shapely.transform(shapely.from_wkb(nuclei["geometry"].to_numpy()), lambda p: p + px)
    column = pa.array(shapely.to_wkb(outlines), pa.binary())
    return nuclei.set_column(SCHEMA.get_field_index("geometry"), SCHEMA.field("geometry"), column)

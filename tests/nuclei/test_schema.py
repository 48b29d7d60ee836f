import pyarrow as pa

from nuguide.nuclei.schema import SCHEMA, empty_nuclei, with_later_columns


def test_every_column_says_its_unit_and_what_it_is() -> None:
    for column in SCHEMA:
        assert set(column.metadata) == {b"unit", b"description"}
        assert column.metadata[b"description"]


def test_units_in_names_are_the_units_told() -> None:
    for column in SCHEMA:
        for suffix in ("px", "um", "um2"):
            if column.name.endswith(f"_{suffix}"):
                assert column.metadata[b"unit"].decode() == suffix


def test_no_nuclei_are_a_table_like_any_other() -> None:
    table = empty_nuclei()
    assert table.num_rows == 0
    assert table.schema.equals(SCHEMA, check_metadata=True)
    assert pa.concat_tables([table, table]).num_rows == 0


def test_a_table_of_before_a_column_was_added_has_it_unknown() -> None:
    now = pa.Table.from_pylist([dict.fromkeys(SCHEMA.names)])
    before = now.drop_columns(["second_stain_od_mean"]).append_column("runs", pa.array(["mine"]))
    after = with_later_columns(before)
    assert after.column_names == [*SCHEMA.names, "runs"]
    assert after.schema.field("second_stain_od_mean").type == pa.float64()
    assert after["second_stain_od_mean"].null_count == 1
    assert with_later_columns(now) is now
    # What every version wrote is not made up.
    assert "area_um2" not in with_later_columns(now.drop_columns(["area_um2"])).column_names

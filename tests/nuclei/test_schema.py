import pyarrow as pa

from nuguide.nuclei.schema import SCHEMA, empty_nuclei


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

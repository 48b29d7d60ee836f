import csv
from pathlib import Path

import pyarrow as pa
import pytest

from nuguide.errors import OutputError
from nuguide.export.csv import COLUMNS, write_csv
from nuguide.nuclei.schema import SCHEMA, empty_nuclei


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def test_numbers_come_back_to_the_last_digit(tmp_path: Path, nuclei: pa.Table) -> None:
    path = tmp_path / "nuclei.csv"
    write_csv([nuclei, empty_nuclei(), nuclei], path)
    rows = read(path)
    assert len(rows) == 6
    for row, nucleus in zip(rows, nuclei.to_pylist() * 2, strict=True):
        assert list(row) == COLUMNS
        assert row["id"] == nucleus["id"]
        assert row["type"] == ""
        for column in ("centroid_x_um", "area_um2", "confidence"):
            assert float(row[column]) == nucleus[column]


def test_a_type_with_a_comma_and_a_quote_stays_whole(tmp_path: Path, nuclei: pa.Table) -> None:
    kinds = pa.array(['a,"b"', None, "c"], pa.string())
    typed = nuclei.set_column(SCHEMA.get_field_index("type"), SCHEMA.field("type"), kinds)
    write_csv([typed], tmp_path / "nuclei.csv")
    assert [row["type"] for row in read(tmp_path / "nuclei.csv")] == ['a,"b"', "", "c"]


def test_positivity_has_its_column(tmp_path: Path, graded: pa.Table) -> None:
    write_csv([graded], tmp_path / "nuclei.csv")
    assert [row["positivity"] for row in read(tmp_path / "nuclei.csv")] == ["3+", "Negative", "1+"]


def test_no_nuclei_leave_the_names(tmp_path: Path) -> None:
    path = tmp_path / "nuclei.csv"
    write_csv([], path)
    assert next(csv.reader([path.read_text()])) == COLUMNS
    assert read(path) == []


def test_a_place_that_cannot_be_written(tmp_path: Path, nuclei: pa.Table) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_csv([nuclei], tmp_path / "absent" / "nuclei.csv")

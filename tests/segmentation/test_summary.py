"""What is told of the nuclei of a run folder."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nuguide.export.table import write_table
from nuguide.nuclei.morphometry import measure
from nuguide.nuclei.schema import SCHEMA, empty_nuclei
from nuguide.segmentation.outputs import NUCLEI_FILE
from nuguide.segmentation.summary import summary

THREE = (0.2, 0.4, 0.6)


@pytest.fixture
def nuclei() -> pa.Table:
    """Return five nuclei of two types, graded."""
    labels = np.zeros((60, 10), np.int32)
    for number in range(5):
        labels[12 * number : 12 * number + 8, 1:9] = number + 1
    rgb, foreground = np.zeros((60, 10, 3), np.uint8), np.ones((60, 10), np.float32)
    types = np.array(["", "round", "long", "round", "round", "long"], object)
    place = {"origin_px": (0, 0), "mpp": 0.5, "image_sha256": "ab"}
    table = measure(labels, rgb, foreground, types=types, **place)
    grades = pa.array(["1+", "Negative", "3+", "Negative", "Negative"])
    where = SCHEMA.get_field_index("positivity")
    return table.set_column(where, SCHEMA.field("positivity"), grades)


def test_what_is_positive_is_counted_for_each_type(tmp_path: Path, nuclei: pa.Table) -> None:
    write_table([nuclei], tmp_path / NUCLEI_FILE)
    found = summary(tmp_path, ("flat", "round", "long"), THREE)
    assert list(found["types"].items()) == [("flat", 0), ("round", 3), ("long", 2)]
    assert set(found["positivity"]["types"]) == {"round", "long"}
    told = found["positivity"]
    assert told["counts"] == {"Negative": 3, "1+": 1, "2+": 0, "3+": 1}
    assert (told["nuclei"], told["positive_percent"], told["h_score"]) == (5, 40.0, 80.0)
    assert told["types"]["round"] == {
        "nuclei": 3,
        "counts": {"Negative": 1, "1+": 1, "2+": 0, "3+": 1},
        "positive_percent": 66.67,
        "h_score": 133.33,
    }
    assert told["types"]["long"]["positive_percent"] == told["types"]["long"]["h_score"] == 0.0


def test_nothing_is_told_of_what_was_not_asked(tmp_path: Path, nuclei: pa.Table) -> None:
    write_table([nuclei], tmp_path / NUCLEI_FILE)
    assert "positivity" not in summary(tmp_path)
    # A table of before there were such columns.
    older = nuclei.drop_columns(["positivity", "second_stain_od_mean"])
    pq.write_table(older, tmp_path / NUCLEI_FILE)
    assert summary(tmp_path)["types"] == {"round": 3, "long": 2}


def test_the_mean_match_probability_is_told_where_there_is_one(
    tmp_path: Path, nuclei: pa.Table
) -> None:
    write_table([nuclei], tmp_path / NUCLEI_FILE)
    assert "match_probability" not in summary(tmp_path)
    where = SCHEMA.get_field_index("match_probability")
    worth = pa.array([0.9, 0.8, 0.7, 0.6, 0.25], SCHEMA.field("match_probability").type)
    told = nuclei.set_column(where, SCHEMA.field("match_probability"), worth)
    write_table([told], tmp_path / NUCLEI_FILE)
    assert summary(tmp_path)["match_probability"] == 0.65


def test_an_empty_run_has_no_share(tmp_path: Path) -> None:
    write_table([empty_nuclei()], tmp_path / NUCLEI_FILE)
    assert summary(tmp_path, ("round",), (0.2,)) == {
        "nuclei": 0,
        "types": {"round": 0},
        "positivity": {"nuclei": 0, "counts": {"Negative": 0, "Positive": 0}},
    }

import csv
import re
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from nuguide.errors import InputError
from nuguide.nuclei.positivity import Labelling
from nuguide.segmentation.batch import Ended
from nuguide.segmentation.batch_summary import folders_in, in_the_way, read_summary, write_summary
from nuguide.segmentation.result import Run


def run(
    name: str,
    types: dict[str, int],
    area_mm2: float | None,
    labelling: Labelling | None = None,
    of_types: dict[str, Labelling] | None = None,
    match_probability: float | None = None,
) -> Run:
    found = SimpleNamespace(
        folder=Path("out") / name,
        count=sum(types.values()),
        types=types,
        area_mm2=area_mm2,
        median_area_um2=30.5,
        match_probability=match_probability,
        mpp=0.25,
        mpp_source="file",
        seconds=1.5,
        labelling=labelling,
        labelling_of_types=of_types or {},
    )
    return cast(Run, found)


def test_each_image_has_a_row_and_each_type_a_column(tmp_path: Path) -> None:
    ended = [
        Ended(Path("c.png"), InputError("c.png is damaged;\nexpected an image")),
        Ended(Path("b.png"), run("b", {"round": 3, "long": 1}, 0.5)),
        Ended(Path("a.png"), run("a", {"flat": 2}, None)),
    ]
    write_summary(ended, tmp_path / "summary.csv")
    with (tmp_path / "summary.csv").open(newline="") as file:
        first, second, third = csv.DictReader(file)
    assert [first["image"], second["image"], third["image"]] == ["a.png", "b.png", "c.png"]
    assert (second["nuclei"], second["nuclei_per_mm2"]) == ("4", "8.0")
    assert (second["nuclei_round"], second["nuclei_long"], second["nuclei_flat"]) == ("3", "1", "")
    assert (first["area_mm2"], first["nuclei_per_mm2"]) == ("", "")
    assert third["error"] == "c.png is damaged; expected an image"
    assert list(second)[-1] == "error"


def test_what_is_expected_to_match_has_a_column_where_it_is_known(tmp_path: Path) -> None:
    ended = [
        Ended(Path("a.png"), run("a", {"round": 3}, 0.5, match_probability=0.81)),
        Ended(Path("b.png"), run("b", {"round": 3}, 0.5)),
    ]
    write_summary(ended, tmp_path / "summary.csv")
    assert [row["match_probability"] for row in read_back(tmp_path)] == ["0.81", ""]
    write_summary(ended[1:], tmp_path / "other.csv")
    assert "match_probability" not in (tmp_path / "other.csv").read_text()


def read_back(folder: Path) -> list[dict[str, str]]:
    with (folder / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_an_image_without_nuclei_has_no_median(tmp_path: Path) -> None:
    write_summary([Ended(Path("a.png"), run("a", {}, 0.5))], tmp_path / "summary.csv")
    with (tmp_path / "summary.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["nuclei"], row["median_area_um2"], row["nuclei_per_mm2"]) == ("0", "", "0.0")


def test_what_is_positive_has_its_columns(tmp_path: Path) -> None:
    graded = Labelling({"Negative": 2, "1+": 0, "2+": 0, "3+": 1})
    kinds = {"round": graded, "long": Labelling({"Negative": 0, "1+": 0, "2+": 0, "3+": 0})}
    nothing = Labelling({"Negative": 0, "Positive": 0})
    ended = [
        Ended(Path("a.png"), run("a", {"round": 3}, 0.5, graded, kinds)),
        Ended(Path("b.png"), run("b", {}, 0.5, nothing)),
        Ended(Path("c.png"), run("c", {}, 0.5)),
    ]
    write_summary(ended, tmp_path / "summary.csv")
    with (tmp_path / "summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["positive_percent"], rows[0]["h_score"]) == ("33.33", "100.0")
    assert rows[0]["positive_percent_round"] == "33.33"
    assert "positive_percent_long" not in rows[0]
    for row in rows[1:]:
        assert (row["positive_percent"], row["h_score"]) == ("", "")
    assert list(rows[0])[-1] == "error"


def test_rows_of_other_images_stay_while_their_folders_do(tmp_path: Path) -> None:
    path = tmp_path / "summary.csv"
    for name in ("a", "b", "gone"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.toml").touch()
    failed = Ended(Path("bad.png"), InputError("bad.png is damaged"))
    done = {name: Ended(Path(f"{name}.png"), run(name, {"round": 3}, 0.5)) for name in "ab"}
    gone = Ended(Path("gone.png"), run("gone", {"long": 1}, 0.5))
    write_summary([*done.values(), gone, failed], path)
    (tmp_path / "gone" / "run.toml").unlink()
    write_summary([Ended(Path("b.png").resolve(), run("b", {"flat": 2}, 0.5))], path)
    with path.open(newline="") as file:
        rows = {Path(row["image"]).name: row for row in csv.DictReader(file)}
    assert list(rows) == ["b.png", "a.png", "bad.png"]  # by path
    assert [rows["a.png"][f"nuclei_{kind}"] for kind in ("round", "flat")] == ["3", ""]
    assert [rows["b.png"][f"nuclei_{kind}"] for kind in ("round", "flat")] == ["", "2"]
    assert rows["bad.png"]["error"] == "bad.png is damaged"


@pytest.mark.parametrize(
    ("delimiter", "point", "encoding"),
    [(",", ".", "utf-8-sig"), (";", ",", "cp1252"), ("\t", ".", "utf-8")],
)
def test_a_spreadsheet_may_have_saved_the_table(
    tmp_path: Path, delimiter: str, point: str, encoding: str
) -> None:
    path, names = tmp_path / "summary.csv", ("Möhre, 1,5", "..b")
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.toml").touch()
    ended = [Ended(Path(f"{name}.png"), run(name, {"round": 3}, 0.5)) for name in names]
    write_summary(ended, path)
    with path.open(newline="", encoding="utf-8") as file:
        before = list(csv.DictReader(file))
    with path.open("w", newline="", encoding=encoding) as file:
        table = csv.writer(file, delimiter=delimiter)
        table.writerow(before[0])
        for row in before:
            table.writerow([re.sub(r"^(\d+)\.", rf"\1{point}", text) for text in row.values()])
    assert read_summary(path) == before
    assert folders_in(tmp_path) == {Path(f"{name}.png").resolve(): name for name in names}
    assert in_the_way(path.parent) is None


def test_a_table_of_somebodys_own_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "summary.csv"
    path.write_bytes(b"image,folder\n\xff,a\n")
    write_summary([Ended(Path("a.png"), run("a", {}, 0.5))], path)
    with path.open(newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)] == ["a.png"]

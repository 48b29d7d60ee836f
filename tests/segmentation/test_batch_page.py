import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nuguide.segmentation import batch_page
from nuguide.segmentation.batch_page import write_batch_page
from nuguide.segmentation.batch_summary import COLUMNS, PAGE_FILE, SUMMARY_FILE, write_summary

ROWS = [
    {
        "image": "/data/a.svs",
        "folder": "elsewhere/a",
        "nuclei": "12345",
        "area_mm2": "2.5",
        "nuclei_per_mm2": "4938.0",
        "median_area_um2": "30.52",
        "mpp_um_per_px": "0.2501",
        "nuclei_round": "12000",
        "match_probability": "0.8123",
        "positive_percent": "12.34",
    },
    {"image": "/data/b.png", "folder": "b", "nuclei": "0", "mpp_um_per_px": "0.5"},
    {"image": "/data/bad.png", "error": "bad.png is damaged"},
]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    columns = [*COLUMNS[:-1], "match_probability", "nuclei_round", "positive_percent", COLUMNS[-1]]
    with (tmp_path / SUMMARY_FILE).open("w", newline="") as file:
        table = csv.DictWriter(file, columns, restval="")
        table.writeheader()
        table.writerows(ROWS)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.toml").touch()
    (tmp_path / "a/report.html").touch()
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / "a/overview.png")
    return tmp_path


def test_the_page_says_what_table_and_folders_hold(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    monkeypatch.setattr(batch_page, "write_gallery", lambda *given: written.append(given))
    write_batch_page(out)
    ((entries, facts, path, _, headings),) = written
    assert headings[:2] == ["nuclei", "searched, mm²"]
    assert path == out / PAGE_FILE
    assert facts == {"images": "2", "failed": "1", "nuclei": "12,345", "mm² searched": "2.5"}
    slide, empty, bad = entries
    assert slide.values == {
        "nuclei": "12,345",
        "searched, mm²": "2.5",
        "nuclei per mm²": "4,938",
        "median area, µm²": "30.5",
        "expected to be true": "81%",
        "positive, %": "12.3",
        "µm/px": "0.2501",
        "round": "12,000",
    }
    assert (slide.name, slide.picture) == ("a.svs", out / "a/overview.png")
    assert slide.report == out / "a/report.html"
    assert (empty.values, empty.picture) == ({"nuclei": "0", "µm/px": "0.5"}, None)
    assert empty.report is None
    assert (bad.values, bad.error) == ({}, "bad.png is damaged")


def test_a_page_that_is_older_than_its_table_is_removed(out: Path) -> None:
    write_batch_page(out)
    assert "bad.png is damaged" in (out / PAGE_FILE).read_text(encoding="utf-8")
    write_summary([], out / SUMMARY_FILE)
    assert not (out / PAGE_FILE).exists()

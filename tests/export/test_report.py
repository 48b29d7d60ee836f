import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from nuguide.errors import OutputError
from nuguide.export.distribution import MEASUREMENTS, Distribution, Measurement
from nuguide.export.report import write_report
from nuguide.nuclei.schema import SCHEMA, empty_nuclei

RECORD: dict[str, Any] = {
    "configuration": {
        "image": "/slides/a<b>.svs",
        "mpp": 0.2501,
        "mpp_source": "openslide.mpp-x",
        "model": "default",
        "model_version": "0.1.0",
        "decoding": {"prominence": 0.16},
    },
    "found": {"nuclei": 3, "seconds": 4.31},
    "licences": {"weights": "CC-BY-NC-SA-4.0", "training_data": ["MoNuSeg: CC", "other: CC0"]},
    "versions": {"nuguide": "0.1.0"},
}


class Page(HTMLParser):
    """What a page says and what it would load."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.words, self.tags, self.sources, self.open = "", [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href", "data")]
        if tag not in ("meta", "img", "rect", "path", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "path"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "overlay.png"
    Image.fromarray(np.zeros((60, 2000, 3), np.uint8)).save(path)
    return path


def test_the_page_tells_what_was_found_and_how(
    tmp_path: Path, nuclei: pa.Table, picture: Path
) -> None:
    path = tmp_path / "report.html"
    pictures = [("Outlines", picture)]
    write_report(RECORD, iter([nuclei, nuclei]), pictures, path, area_mm2=0.5, warnings=["odd"])
    page = Page(path)
    for words in (
        "a<b>.svs", "6nuclei", "12nuclei per mm²", "0.2501 µm/px", "openslide.mpp-x", "4.3 s",
        "CC-BY-NC-SA-4.0", "MoNuSeg: CC, other: CC0", "decoding.prominence", "odd", "Outlines",
    ):  # fmt: skip
        assert words in page.words
    assert page.tags.count("svg") == len(MEASUREMENTS)
    assert page.tags.count("rect") == 50 * len(MEASUREMENTS)
    assert not page.open


def test_the_page_names_the_second_stain(tmp_path: Path, nuclei: pa.Table) -> None:
    stains = {"stains": {"second": "D<A>B"}}
    record = {**RECORD, "configuration": RECORD["configuration"] | stains}
    write_report(record, [nuclei], [], tmp_path / "dab.html", area_mm2=0.5)
    words = Page(tmp_path / "dab.html").words
    assert "D<A>B, optical density" in words
    assert "haematoxylin and D<A>B are mean optical densities" in words
    # Of runs of before there was a choice.
    write_report(RECORD, [nuclei], [], tmp_path / "he.html", area_mm2=0.5)
    assert "Eosin, optical density" in Page(tmp_path / "he.html").words


def test_the_page_counts_the_types(tmp_path: Path, nuclei: pa.Table, picture: Path) -> None:
    path = tmp_path / "report.html"
    kinds = pa.array(["tumour", "stroma", "tumour"], pa.string())
    typed = nuclei.set_column(SCHEMA.get_field_index("type"), SCHEMA.field("type"), kinds)
    types = ["stroma", "tumour", "necrosis"]
    write_report(RECORD, [typed, typed], [], path, area_mm2=0.5, types=types)
    text = path.read_text()
    counted = re.findall(r"<td>(\w+)</td><td>(\d+)</td><td>([\d.]+) %</td><td>(\d+)</td>", text)
    assert counted == [
        ("stroma", "2", "33.3", "4"),
        ("tumour", "4", "66.7", "8"),
        ("necrosis", "0", "0.0", "0"),
    ]
    write_report(RECORD, [nuclei], [], path, area_mm2=0.5)
    assert "<h2>Types</h2>" not in path.read_text()


def test_the_page_tells_what_is_positive(tmp_path: Path, nuclei: pa.Table) -> None:
    told = {"nuclei": 3, "counts": {"Negative": 1, "1+": 0, "2+": 0, "3+": 2}}
    scores = {"positive_percent": 66.67, "h_score": 200.0}
    of_types = {"tumour": {**told, "nuclei": 2, "positive_percent": 100.0, "h_score": 300.0}}
    stains = {"stains": {"second": "DAB"}, "positive": [0.25, 0.5, 9.0]}
    record = {
        **RECORD,
        "configuration": RECORD["configuration"] | stains,
        "found": RECORD["found"] | {"positivity": told | scores | {"types": of_types}},
    }
    kinds = pa.array(["tumour", None, "tumour"], pa.string())
    typed = nuclei.set_column(SCHEMA.get_field_index("type"), SCHEMA.field("type"), kinds)
    path = tmp_path / "report.html"
    write_report(record, [typed], [], path, area_mm2=0.5, types=["stroma", "tumour"])
    page, text = Page(path), path.read_text()
    assert not page.open
    for words in (
        "66.7 %of 3 nuclei positive: mean optical density of DAB from 0.25 on", "200H-score",
        "is 0.25 or more; it is 2+ from 0.5 on and 3+ from 9 on", "dashed ones",
    ):  # fmt: skip
        assert words in page.words
    counted = re.findall(r"<td>([\w+]+)</td><td>(\d+)</td><td>([\d.]+) %</td><td>(\d+)</td>", text)
    assert counted[:4] == [
        ("Negative", "1", "33.3", "2"),
        ("1+", "0", "0.0", "0"),
        ("2+", "0", "0.0", "0"),
        ("3+", "2", "66.7", "4"),
    ]
    assert "<td>tumour</td><td>2</td><td>66.7 %</td><td>4</td><td>100.0 %</td><td>300</td>" in text
    assert "<td>stroma</td><td>0</td><td>0.0 %</td><td>0</td></tr>" in text
    # Thresholds on the histogram of the stain, those within its range.
    assert text.count("stroke-dasharray") == 2
    # One threshold has no grades.
    one = {"nuclei": 3, "counts": {"Negative": 1, "Positive": 2}, "positive_percent": 66.67}
    record["found"]["positivity"] = one
    record["configuration"]["positive"] = [0.25]
    write_report(record, [nuclei], [], path, area_mm2=0.5)
    words = Page(path).words
    assert "H-score" not in words
    assert "is 0.25 or more. Whoever" in words
    write_report(RECORD, [nuclei], [], path, area_mm2=0.5)
    assert "ositiv" not in Page(path).words


def test_the_page_needs_nothing_but_itself(tmp_path: Path, nuclei: pa.Table, picture: Path) -> None:
    path = tmp_path / "report.html"
    write_report(RECORD, [nuclei], [("Outlines", picture)], path, area_mm2=0.5)
    page = Page(path)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert len(page.sources) == 1
    assert page.sources[0].startswith("data:image/jpeg;base64,")
    assert "default-src 'none'" in path.read_text()


def test_whatever_comes_from_files_is_text(tmp_path: Path, nuclei: pa.Table, picture: Path) -> None:
    evil = '"><script>alert(1)</script>'
    record = {
        **RECORD,
        "configuration": {**RECORD["configuration"], "image": evil, "mpp_source": evil},
        "licences": {"weights": evil, "training_data": [evil]},
        evil: {evil: evil},
    }
    path = tmp_path / "report.html"
    write_report(record, [nuclei], [(evil, picture)], path, area_mm2=0.5, warnings=[evil])
    page = Page(path)
    assert "script" not in page.tags
    assert page.words.count("<script>alert(1)</script>") >= 8


def test_no_nuclei_are_a_page_with_the_reason(tmp_path: Path, picture: Path) -> None:
    record = {**RECORD, "found": {"nuclei": 0, "seconds": 0.2, "reason": "no tissue"}}
    path = tmp_path / "report.html"
    write_report(record, [empty_nuclei()], [("Slide", picture)], path, area_mm2=0.0)
    page = Page(path)
    assert "No nuclei: no tissue" in page.words
    assert "svg" not in page.tags
    assert "per mm²" not in page.words


def test_a_place_that_cannot_be_written(tmp_path: Path, nuclei: pa.Table) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(RECORD, [nuclei], [], tmp_path / "absent" / "report.html", area_mm2=1.0)


def test_a_distribution_is_that_of_all_pieces() -> None:
    values = np.random.default_rng(0).gamma(4.0, 10.0, 5000)
    distribution = Distribution(Measurement("area_um2", "Area", "um2", 100.0))
    for piece in np.split(values, 5):
        distribution.add(pa.table({"area_um2": piece}))
    assert distribution.above == (values > 100).sum() > 0
    assert distribution.counts.sum() + distribution.above == 5000
    for share in (0.05, 0.5, 0.9):
        assert distribution.quantile(share) == pytest.approx(np.quantile(values, share), abs=0.25)
    assert max(distribution.bars) == 1.0
    assert distribution.ticks == ["0", "25", "50", "75", "100"]


def test_quantiles_beyond_the_range_or_of_nothing_are_not_told() -> None:
    distribution = Distribution(Measurement("a", "A", "", 1.0))
    assert distribution.quantile(0.5) is None
    distribution.add(pa.table({"a": [0.5, 2.0, 3.0, float("nan")]}))
    assert distribution.quantile(0.5) is None
    assert distribution.above == 2

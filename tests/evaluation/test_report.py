import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from nuguide.datasets.base import Sample
from nuguide.evaluation import agreement
from nuguide.evaluation.compare import compare
from nuguide.evaluation.evaluate import evaluate
from nuguide.evaluation.figures import forest, write_figure
from nuguide.evaluation.prediction import Prediction
from nuguide.evaluation.report import watcher, write_comparison_page, write_report
from nuguide.evaluation.score import DEFINITIONS

HOSTILE = "<script>alert('$x')</script>&\"_"


class Page(HTMLParser):
    """Collects the tags, their attributes, the text and the rows of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.in_cell = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data):
        self.text += data
        if self.in_cell:
            self.rows[-1][-1] += data

    def pictures(self) -> list[np.ndarray]:
        found = [base64.b64decode(source.partition(",")[2]) for source in self.sources]
        return [cv2.imdecode(np.frombuffer(each, np.uint8), cv2.IMREAD_COLOR) for each in found]


def of_the_first(sample: Sample, protocol: str = "standard", types=None, **options):
    """Score three images in which only nucleus 1 is found, and watch for a report."""
    labels = np.where(sample.labels == 1, 1, 0)
    if protocol == "released":
        labels = cv2.resize(labels.astype(np.uint8), (256, 256), interpolation=cv2.INTER_NEAREST)
    samples = [replace(sample, name=name) for name in ("a", HOSTILE)]
    easy = replace(sample, name="easy", labels=np.where(sample.labels == 1, 1, 0))
    worst = watcher(protocol)
    scores = evaluate(
        lambda rgb, mpp: Prediction(labels, types),
        [easy, *samples],
        model=HOSTILE,
        data=HOSTILE,
        split="test",
        protocol=protocol,
        watch=worst,
        **options,
    )
    return scores, worst


@pytest.fixture(scope="module")
def page(sample: Sample, tmp_path_factory) -> Page:
    tmp_path = tmp_path_factory.mktemp("report")
    scores, worst = of_the_first(sample)
    write_report(scores, worst, tmp_path / "report.html")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    return Page((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_the_page_needs_nothing_else(page: Page):
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert all(source.startswith("data:image/") for source in page.sources)
    assert all(picture is not None for picture in page.pictures())


def test_what_comes_from_files_is_text(page: Page):
    assert page.text.count(HOSTILE) >= 4


def test_every_score_has_definition_interval_and_n(page: Page):
    for definition in DEFINITIONS.values():
        (row,) = [row for row in page.rows if row[-1] == f"{definition}; mean over images"]
        assert re.fullmatch(r"\d\.\d{3} to \d\.\d{3}", row[2])
        assert row[4] == "3"


def test_counts_and_sizes_stand_in_a_table_of_their_own(page: Page):
    assert "Counts and sizes against the annotation" in page.text
    for definition in agreement.DEFINITIONS.values():
        (row,) = [row for row in page.rows if row[-1] == definition]
        assert row[3:5] == ["-", "3"]


def test_ambiguous_areas_stand_in_a_table_of_their_own(page: Page):
    text = "; ambiguous areas scored like the rest; mean over images"
    assert len([row for row in page.rows if row[-1].endswith(text)]) == len(DEFINITIONS)
    assert "without the masks of ambiguous areas" in page.text
    assert "under the ignore mask" in page.text


def test_images_are_listed_worst_first(page: Page):
    listed = [row[0] for row in page.rows if row[0] in ("a", "easy", HOSTILE)]
    assert listed == ["a", HOSTILE, "easy"]


def test_the_worst_images_are_drawn_with_their_counts(page: Page):
    _, *drawn = page.pictures()
    assert [picture.shape for picture in drawn] == [(180, 180, 3)] * 3
    assert "a: AJI 0.500; 1 matched, 1 missed, 1 ambiguous" in page.text


def test_the_published_protocol_has_a_page_without_other_scores(sample: Sample, tmp_path):
    scores, worst = of_the_first(sample, "released")
    write_report(scores, worst, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "not to be compared with scores of the protocol standard" in page.text
    assert "in the prediction alone" in page.text
    assert "AJI" not in page.text
    assert page.pictures()[1].shape == (768, 768, 3)


def test_types_stand_in_a_table_of_their_own(sample: Sample, tmp_path):
    typed = replace(sample, types=(sample.labels > 0).astype(np.uint8))
    types = (sample.labels == 1).astype(np.uint8)
    scores, worst = of_the_first(typed, types=types, classes=("epithelial", HOSTILE))
    write_report(scores, worst, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "Types of nuclei" in page.text
    (row,) = [row for row in page.rows if row[0] == "PQ, type 1"]
    assert row[3] == "-"
    assert row[-1].endswith("type 1: epithelial")


def test_a_comparison_has_a_page_and_a_figure(make_scores, tmp_path):
    pair = [make_scores([0.5] * 8, model="one"), make_scores([0.6] * 8, model=HOSTILE)]
    comparison = compare(pair, ["a.json", "b.json"])
    write_comparison_page(comparison, tmp_path / "difference.html")
    page = Page((tmp_path / "difference.html").read_text(encoding="utf-8"))
    assert all(source.startswith("data:image/png") for source in page.sources)
    assert "script" not in page.tags
    (row,) = [row for row in page.rows if row[0] == "AJI"]
    assert row[1:6] == ["0.500", "0.600", "+0.100", "+0.100 to +0.100", "higher"]
    for name in ("forest.svg", "forest.png"):
        write_figure(forest(comparison), tmp_path / name)
    assert "<svg" in (tmp_path / "forest.svg").read_text(encoding="utf-8")
    assert cv2.imread(str(tmp_path / "forest.png")) is not None


def test_a_name_that_the_font_lacks_draws_without_complaint(make_scores):
    pair = [make_scores([0.5, 0.6], model="\u6838"), make_scores([0.6, 0.7], model="_b$")]
    assert forest(compare(pair, ["a", "b"])).get_axes()


def test_a_score_that_one_model_lacks_is_not_drawn(make_scores):
    reference, other, third = (make_scores([0.5, 0.6], model=name) for name in "abc")
    images = tuple(replace(each, scores={"aji": each.scores["aji"]}) for each in third.images)
    comparison = compare([reference, other, replace(third, images=images)], ["a", "b", "c"])
    (axes,) = forest(comparison).get_axes()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["AJI"]


def test_the_origin_of_images_is_listed_where_it_decides_the_interval(sample: Sample, tmp_path):
    for patient, shown in (("", False), ("P1", True)):
        scores, worst = of_the_first(replace(sample, patient=patient))
        write_report(scores, worst, tmp_path / "report.html")
        page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
        assert any("patient or slide" in row for row in page.rows) == shown
        assert ("3 images of 1 patients or slides" in page.text) == shown

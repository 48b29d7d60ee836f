import io
import re
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nuguide.errors import OutputError
from nuguide.export import gallery
from nuguide.export.gallery import Entry, write_gallery


class Page(HTMLParser):
    """What a page says, what it would load and where it leads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.words, self.sources, self.links, self.tags = "", [], [], set()
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "img":
            self.sources.append(values["src"])
        if tag == "a":
            self.links.append(values["href"])

    def handle_data(self, data: str) -> None:
        self.words += data
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


def picture(path: Path, shape: tuple[int, int] = (400, 900)) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.full((*shape, 3), 200, np.uint8)).save(path)
    return path


def test_each_image_has_a_row_a_picture_and_a_link(tmp_path: Path) -> None:
    entries = [
        Entry(
            "a.png",
            {"nuclei": "1,234", "round": "3"},
            picture(tmp_path / "a/overlay.png"),
            tmp_path / "a/report.html",
        ),
        Entry("b.png", {"nuclei": "0", "H-score": "150"}),
        Entry("bad.png", {}, error="bad.png is damaged"),
    ]
    write_gallery(entries, {"images": "2", "failed": "1"}, tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert page.rows == [
        ["", "image", "nuclei", "round", "H-score"],
        ["", "a.png", "1,234", "3", ""],
        ["", "b.png", "0", "", "150"],
        ["", "bad.png", "bad.png is damaged"],
    ]
    assert page.links == ["a/report.html"] * 2
    assert "Nuclei of 3 images" in page.words
    (source,) = page.sources
    head, _, content = source.partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(b64decode(content))) as small:
        assert small.size == (320, 142)


def test_what_a_name_says_is_no_html_and_its_link_stays_beside_the_page(tmp_path: Path) -> None:
    report = tmp_path / "javascript:alert(1)#?%" / "report.html"
    name = "<script>alert(1)</script>.png"
    write_gallery([Entry(name, {"<b>": "<i>"}, report=report)], {}, tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert page.rows == [["", "image", "<b>"], ["", name, "<i>"]]
    assert page.links == ["javascript%3Aalert%281%29%23%3F%25/report.html"]
    assert not {"script", "i"} & page.tags


def test_headings_stand_in_the_order_that_is_given_whatever_the_first_row_has(
    tmp_path: Path,
) -> None:
    entries = [Entry("a", {"one": "1", "more": "9"}), Entry("b", {"two": "2", "one": "1"})]
    path = tmp_path / "page.html"
    write_gallery(entries, {}, path, headings=["two", "absent", "one"])
    head = path.read_text(encoding="utf-8").split("<th>image</th>")[1].split("</tr>")[0]
    assert re.findall(r">(\w+)</th>", head) == ["two", "one", "more"]


def test_a_damaged_picture_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    write_gallery([Entry("a", {"nuclei": "3"}, tmp_path / "a.png")], {}, tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert (page.sources, page.rows[1]) == ([], ["", "a", "3"])


def test_of_very_many_images_the_first_have_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery, "MOST_PICTURES", 2)
    drawn = picture(tmp_path / "a.png", (20, 30))
    entries = [Entry(f"{i}", {}, drawn) for i in range(3)]
    watched = []
    write_gallery(entries, {}, tmp_path / "page.html", lambda each: watched.extend(each) or each)
    page = Page(tmp_path / "page.html")
    assert (len(page.sources), len(page.rows)) == (2, 4)
    assert watched == entries[:2]
    assert "The first 2 images have a picture here." in page.words
    write_gallery(entries[:2], {}, tmp_path / "page.html")
    assert "The first" not in Page(tmp_path / "page.html").words


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_gallery([], {}, tmp_path / "missing" / "page.html")

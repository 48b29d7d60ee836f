"""README and the pages under docs/: their links lead somewhere, and no page is left out."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def links(text: str) -> list[str]:
    """Return where a page's links and pictures lead, but for those to other sites."""
    found = _LINK.findall(_CODE.sub("", text))
    return [target for target in found if not target.startswith(("http:", "https:"))]


def anchors(text: str) -> set[str]:
    """Return the anchors that a reader of Markdown makes of headings."""
    headings = re.findall(r"^#+ (.+)$", _CODE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path, text: str) -> list[str]:
    """Return the links of a page that lead nowhere."""
    lost = []
    for target in links(text):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text("utf-8"))):
            lost.append(target)
    return lost


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path):
    assert broken(page, page.read_text("utf-8")) == []


def test_a_link_that_leads_nowhere_is_noticed():
    text = "[a](docs/nowhere.md) [b](README.md#nothing) [c](#segment) [d](https://example.org/x)"
    assert broken(ROOT / "README.md", text) == ["docs/nowhere.md", "README.md#nothing"]


@pytest.mark.parametrize("page", PAGES[2:], ids=lambda page: page.name)
def test_readme_leads_to_every_page(page: Path):
    assert f"docs/{page.name}" in links(PAGES[0].read_text("utf-8"))

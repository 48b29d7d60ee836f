"""CITATION.cff tells of this version, and of the method that the models' cards cite."""

from pathlib import Path

import yaml

import nuguide
from nuguide.models.registry import load_card

CITATION = Path(__file__).resolve().parents[1] / "CITATION.cff"


def test_the_citation_is_of_this_version_and_of_the_method() -> None:
    told = yaml.safe_load(CITATION.read_text(encoding="utf-8"))
    assert told["version"] == nuguide.__version__
    preferred = told["preferred-citation"]
    cited = load_card("default").citation
    assert preferred["doi"] in cited
    assert preferred["title"] in cited

from pathlib import Path

import numpy as np
import pytest

from fixtures.replicas import aperio_xml
from nuguide.datasets import aperio
from nuguide.datasets.aperio import read_aperio
from nuguide.datasets.polygons import rasterise
from nuguide.errors import DataSetError

BOMB = """<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>
<Annotations><Annotation><Regions><Region Text="&b;"/></Regions></Annotation></Annotations>"""
FILE = '<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/hostname">]><Annotations>&a;</Annotations>'


def test_vertices_count_from_one_as_in_the_published_masks(tmp_path: Path):
    path = tmp_path / "a.xml"
    path.write_text(aperio_xml([np.array([(4, 2), (9, 2), (9, 7), (4, 7)]), np.array([(1, 1)])]))
    outlines = read_aperio(path)
    assert len(outlines) == 1, "a single vertex encloses nothing"
    labels = rasterise(outlines, (12, 12))
    expected = np.zeros((12, 12), np.int32)
    expected[2:8, 4:10] = 1
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("text", [BOMB, FILE])
def test_entities_are_never_expanded(tmp_path: Path, text: str, encoding: str):
    path = tmp_path / "a.xml"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(DataSetError, match="its XML has a document type"):
        read_aperio(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no xml",
        "<Annotations>",
        "<html/>",
        '<Annotations><Region><Vertex X="1"/></Region></Annotations>',
        '<Annotations><Region><Vertex X="a" Y="1"/></Region></Annotations>',
    ],
)
def test_what_is_not_aperios_is_one_clear_line(tmp_path: Path, text: str):
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(DataSetError, match=r"a\.xml .*; expected Aperio's") as error:
        read_aperio(path)
    assert "\n" not in str(error.value)


def test_numbers_beyond_all_bounds_enclose_nothing(tmp_path: Path):
    path = tmp_path / "a.xml"
    rings = [
        [(1, 1), ("nan", 5), (5, 5)],
        [(1, 1), (1e300, 1), (5, 5)],
        [(900, 900), (901, 900), (900, 901)],
    ]
    path.write_text(aperio_xml(np.array([(float(x), float(y)) for x, y in ring]) for ring in rings))
    labels = rasterise(read_aperio(path), (10, 10))
    assert not (labels == 1).any()
    assert not (labels == 3).any()


def test_a_file_too_large_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(aperio, "MAX_BYTES", 10)
    path = tmp_path / "a.xml"
    path.write_text("<Annotations></Annotations>")
    with pytest.raises(DataSetError, match="has 27 bytes; expected at most 10"):
        read_aperio(path)

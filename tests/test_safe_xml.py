from pathlib import Path

import pytest

from nuguide.safe_xml import DocumentTypeError, ParseError, parse_file, parse_text

DOCTYPES = [
    '<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><r>&b;</r>',
    '<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/hostname">]><r>&a;</r>',
    '<!DOCTYPE r SYSTEM "r.dtd"><r/>',
]


@pytest.mark.parametrize("text", DOCTYPES)
def test_a_document_type_is_refused(text: str, tmp_path: Path):
    with pytest.raises(DocumentTypeError):
        parse_text(text)
    for encoding in ("utf-8", "utf-16"):
        path = tmp_path / f"{encoding}.xml"
        path.write_bytes(text.encode(encoding))
        with pytest.raises(DocumentTypeError):
            parse_file(path)


@pytest.mark.parametrize("encoding", ["rot13", "foo", "utf-7", "utf-32"])
def test_an_encoding_that_there_is_not_is_a_fault_of_the_xml(tmp_path: Path, encoding: str):
    path = tmp_path / "a.xml"
    path.write_text(f'<?xml version="1.0" encoding="{encoding}"?><r/>')
    with pytest.raises(ParseError):
        parse_file(path)


def test_all_else_is_parsed_as_ever(tmp_path: Path):
    text = "<r><!-- <!DOCTYPE l> --><p size='2'>&lt;!DOCTYPE</p></r>"
    path = tmp_path / "a.xml"
    path.write_text(text)
    for root in (parse_text(text), parse_file(path)):
        assert [(part.tag, part.get("size"), part.text) for part in root] == [
            ("p", "2", "<!DOCTYPE")
        ]
    with pytest.raises(ParseError):
        parse_text("no xml")

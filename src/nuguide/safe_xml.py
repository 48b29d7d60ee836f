"""XML from outside, without the document type in which alone entities can be declared."""

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, ParseError

__all__ = ["DocumentTypeError", "Element", "ParseError", "parse_file", "parse_text"]


class DocumentTypeError(ParseError):
    """XML has a document type, in which alone entities can be declared."""


class _NoDoctype(ElementTree.TreeBuilder):
    """Builds a tree of elements; refuses a document type."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise DocumentTypeError("its XML has a document type")


def parse_file(path: Path) -> Element:
    """Parse a file; return its root.

    Raises
    ------
    DocumentTypeError
        If it has a document type.
    ParseError
        If it is no XML.
    OSError
        If it cannot be read.
    """
    root: Element = ElementTree.parse(path, _parser()).getroot()
    return root


def parse_text(text: str) -> Element:
    """Parse a text; return its root.

    Raises
    ------
    DocumentTypeError
        If it has a document type.
    ParseError
        If it is no XML.
    """
    return ElementTree.fromstring(text, _parser())


def _parser() -> ElementTree.XMLParser:
    return ElementTree.XMLParser(target=_NoDoctype())

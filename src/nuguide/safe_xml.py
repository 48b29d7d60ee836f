"""XML from outside, without the document type in which alone entities can be declared."""

from collections.abc import Iterator
from contextlib import contextmanager
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
        If it is no XML, or in an encoding that there is not.
    OSError
        If it cannot be read.
    """
    with _faults():
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
    with _faults():
        return ElementTree.fromstring(text, _parser())


@contextmanager
def _faults() -> Iterator[None]:
    """Word what the parser says of encodings, and of nothing else, by errors of other kinds."""
    try:
        yield
    except (LookupError, ValueError) as error:
        raise ParseError(str(error)) from error


def _parser() -> ElementTree.XMLParser:
    return ElementTree.XMLParser(target=_NoDoctype())

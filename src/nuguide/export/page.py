"""Pages of HTML that need nothing else: no network, no script, pictures inside."""

import base64
from functools import cache
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from nuguide.files import ADVICE, replacing


@cache  # compiling a template takes as long as segmenting a small image
def page_templates(package: str) -> Environment:
    """Return the templates of a package, in which everything that comes from a file is escaped.

    They may extend ``page.html``: its style, and a policy by which a browser loads nothing.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("nuguide.export")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["base64"] = as_base64
    return environment


def as_base64(content: bytes) -> str:
    """Return bytes as they stand in a data URI."""
    return base64.b64encode(content).decode("ascii")


def write_page(text: str, path: Path, advice: str = ADVICE) -> None:
    """Write a page.

    Raises
    ------
    OutputError
        If ``path`` cannot be written.
    """
    with replacing(path, advice) as aside:
        # A lone surrogate out of a file's name has no form in UTF-8.
        aside.write_text(text, encoding="utf-8", errors="replace")

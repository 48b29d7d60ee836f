"""TOML and JSON from outside: whatever is wrong with a text is one kind of error.

Python's own parsers also raise plain ``ValueError`` (a whole number of more than 4,300 digits) and
``RecursionError``; and dotted keys of TOML lie within each other without end.
"""

import gzip
import json
import tomllib
import zlib
from pathlib import Path
from typing import Any

MAX_DEPTH = 32
"""Most tables and arrays within each other, of a file of settings."""


class DocumentError(ValueError):
    """A file cannot be read, or its text is no TOML or JSON that can be held."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a file of TOML.

    Raises
    ------
    DocumentError
        With the reason.
    """
    return parse_toml(_text_of(path))


def read_json(path: Path) -> Any:
    """Read a file of JSON that holds settings or a record.

    Raises
    ------
    DocumentError
        With the reason.
    """
    values = parse_json(_text_of(path))
    _check_depth(values)
    return values


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises
    ------
    DocumentError
        With the reason.
    """
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise DocumentError(_reason(error)) from error
    _check_depth(values)
    return values


def parse_json(text: str | bytes) -> Any:
    """Parse JSON of any size: the millions of arrays of outlines are not counted by depth again.

    Raises
    ------
    DocumentError
        With the reason.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DocumentError(_reason(error)) from error


def unpacked(path: Path, limit: int) -> bytes:
    """Read a file, and unpack it where gzip packed it, whatever it is called.

    Returns
    -------
    bytes
        At most ``limit`` and one: who gets that many refuses the file, which nobody has unpacked.

    Raises
    ------
    DocumentError
        If it is packed and damaged.
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        if not file.peek(2).startswith(_GZIP):
            return file.read(limit + 1)
        try:
            with gzip.GzipFile(fileobj=file) as inner:
                return inner.read(limit + 1)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DocumentError(f"it cannot be unpacked: {error}") from error


_GZIP = b"\x1f\x8b"


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DocumentError(error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise DocumentError("it is not UTF-8 text") from error


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return _TOO_DEEP
    # Python's advice is to its programmers.
    return str(error).partition("; use sys.set_int_max_str_digits")[0]


_TOO_DEEP = "its tables and arrays lie too deep in each other"


def _check_depth(values: Any) -> None:
    level = [values]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise DocumentError(_TOO_DEEP)

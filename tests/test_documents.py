from pathlib import Path

import pytest

from nuguide.documents import (
    MAX_DEPTH,
    DocumentError,
    parse_json,
    parse_toml,
    read_json,
    read_toml,
)

DIGITS, BRACKETS = "1" * 5000, "[" * 100_000


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a = ", "Invalid value"),
        (f"a = {DIGITS}", "5000 digits$"),
        (f"a = {BRACKETS}", "too deep"),
        (f"a = {nested(MAX_DEPTH + 1)}", "too deep"),
        (".".join("a" * 2000) + " = 1", "too deep"),
    ],
)
def test_every_fault_of_toml_is_one_error(tmp_path: Path, text: str, reason: str):
    path = tmp_path / "a.toml"
    path.write_text(text)
    for read in (lambda: parse_toml(text), lambda: read_toml(path)):
        with pytest.raises(DocumentError, match=reason):
            read()


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{", "Expecting"), (DIGITS, "5000 digits$"), (BRACKETS, "too deep")],
)
def test_every_fault_of_json_is_one_error(tmp_path: Path, text: str, reason: str):
    path = tmp_path / "a.json"
    path.write_text(text)
    for read in (lambda: parse_json(text), lambda: read_json(path)):
        with pytest.raises(DocumentError, match=reason):
            read()


def test_settings_in_json_are_as_flat_as_those_in_toml(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text(nested(MAX_DEPTH + 2))
    assert parse_json(path.read_text())
    with pytest.raises(DocumentError, match="too deep"):
        read_json(path)


def test_what_is_there_is_read(tmp_path: Path):
    path = tmp_path / "a"
    path.write_text(f'{{"a": {nested(MAX_DEPTH)}, "b": "µm"}}', encoding="utf-8")
    assert read_json(path)["b"] == "µm"
    path.write_text(f'a = {nested(MAX_DEPTH)}\nb = "µm"', encoding="utf-8")
    assert read_toml(path)["b"] == "µm"


@pytest.mark.parametrize("read", [read_toml, read_json])
def test_a_file_that_is_not_there_or_no_text_is_the_same_error(tmp_path: Path, read):
    path = tmp_path / "a"
    with pytest.raises(DocumentError, match="No such file"):
        read(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DocumentError, match="not UTF-8"):
        read(path)

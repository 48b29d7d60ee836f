"""The house rule: imports run downwards only."""

import ast
from pathlib import Path

import pytest

import nuguide

SOURCE = Path(nuguide.__file__).parent

FLOORS = [
    "nuguide",
    "cli",
    "training",
    "evaluation",
    "segmentation",
    "export",
    "backends",
    "models",
    "nuclei",
    "datasets",
    "slides",
    "guides",
    "networks",
    "files",
    "colours",
    "faults",
    "safe_xml",
    "documents",
    "compiled",
    "units",
    "errors",
]
"""From the top down; the face of the package, ``nuguide/__init__.py``, is the roof."""

HEIGHT = {room: -floor for floor, room in enumerate(FLOORS)}
FILES = sorted(SOURCE.rglob("*.py"))


def room_of(module: str) -> str:
    """Return the room of ``nuguide.<room>...``; the package itself is the room ``nuguide``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(tree: ast.AST) -> list[tuple[int, str]]:
    """List (line, module) of every import of nuguide, inside functions as well.

    ``from nuguide import __version__`` is left out: a version is a constant, not a room.
    """
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write imports in full"
            module = node.module or ""
            if module == "nuguide":
                names = [alias.name for alias in node.names if alias.name != "__version__"]
                found += [
                    (node.lineno, f"nuguide.{name}" if name in HEIGHT else module) for name in names
                ]
            else:
                found.append((node.lineno, module))
    return [(line, module) for line, module in found if module.split(".")[0] == "nuguide"]


def upward_imports(source: str, module: str) -> list[str]:
    """Word each import of ``module`` that leads to a higher floor."""
    height = HEIGHT[room_of(module)]
    return [
        f"{module}, line {line}: imports {imported}, which lies above"
        for line, imported in imported_modules(ast.parse(source))
        if HEIGHT[room_of(imported)] > height
    ]


def test_every_room_has_its_floor():
    rooms = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in FILES}
    assert rooms - {"__init__"} <= HEIGHT.keys()


@pytest.mark.parametrize("path", FILES, ids=[module_of(path) for path in FILES])
def test_imports_run_downwards(path: Path):
    assert upward_imports(path.read_text(encoding="utf-8"), module_of(path)) == []


@pytest.mark.parametrize(
    ("line", "upward"),
    [
        ("import nuguide.cli.main", True),
        ("from nuguide.segmentation.run import segment", True),
        ("from nuguide import evaluation", True),
        ("from nuguide import load", True),
        ("def f():\n    from nuguide.training import fit", True),
        ("from nuguide.slides.reader import Slide", False),
        ("from nuguide import errors", False),
        ("from nuguide import __version__", False),
        ("import numpy", False),
    ],
)
def test_the_rule_itself(line: str, upward: bool):
    assert bool(upward_imports(line, "nuguide.nuclei.schema")) == upward

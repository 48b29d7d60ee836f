"""The pins that the set-up installs agree with what the package asks for."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PINS = {
    pin.name.lower().replace("_", "-"): pin
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
    for pin in [Requirement(line)]
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
UNPINNED = {"spatialdata"}
"""Extras that the set-up leaves out: spatialdata 0.7 asks for an older dask than is pinned."""
EXTRAS = [lines for name, lines in PROJECT["optional-dependencies"].items() if name not in UNPINNED]
REQUIRED = sorted({*PROJECT["dependencies"], *(line for extra in EXTRAS for line in extra)})


def version_of(pin: Requirement) -> str:
    (specifier,) = pin.specifier
    assert specifier.operator == "=="
    return specifier.version


@pytest.mark.parametrize("line", REQUIRED)
def test_every_requirement_is_pinned_within_its_range(line: str):
    requirement = Requirement(line)
    pin = PINS[requirement.name.lower().replace("_", "-")]
    assert requirement.specifier.contains(version_of(pin))


@pytest.mark.parametrize("pin", PINS.values(), ids=list(PINS))
def test_every_pin_is_one_public_version(pin: Requirement):
    # A local version (torch==2.13.0+cpu) or an address would exist on one index only.
    assert "+" not in version_of(pin)
    assert pin.url is None

"""Fixtures that every test may use."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real images, weights and oracles beside the checkout, or skip."""
    if not SHARED.is_dir():
        pytest.skip(f"no folder shared/ beside the checkout ({SHARED})")
    return SHARED

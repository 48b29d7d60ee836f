import numpy as np
import pytest

from nuguide.nuclei.stains import hematoxylin_od

STAINS = {
    "hematoxylin": np.array([0.65, 0.70, 0.29]),
    "eosin": np.array([0.07, 0.99, 0.11]),
    "dab": np.array([0.27, 0.57, 0.78]),
}


def stained(**densities: float) -> np.ndarray:
    """RGB of a pixel under stains of these optical densities."""
    density = sum(
        amount * STAINS[name] / np.linalg.norm(STAINS[name]) for name, amount in densities.items()
    )
    return np.round(255 * 10.0 ** -np.asarray(density)).astype(np.uint8)


def test_glass_has_none() -> None:
    assert hematoxylin_od(np.full((2, 2, 3), 255, np.uint8)) == pytest.approx(0.0)


@pytest.mark.parametrize("amount", [0.1, 0.5, 1.0])
def test_hematoxylin_is_measured_whatever_lies_over_it(amount: float) -> None:
    assert hematoxylin_od(stained(hematoxylin=amount)) == pytest.approx(amount, abs=0.01)
    mixed = stained(hematoxylin=amount, eosin=0.3, dab=0.2)
    assert hematoxylin_od(mixed) == pytest.approx(amount, abs=0.02)


def test_other_stains_are_none() -> None:
    assert hematoxylin_od(stained(eosin=0.5)) == pytest.approx(0.0, abs=0.01)
    assert hematoxylin_od(stained(dab=0.5)) == pytest.approx(0.0, abs=0.01)


def test_never_negative_nor_infinite() -> None:
    corners = np.stack(np.meshgrid([0, 255], [0, 255], [0, 255]), axis=-1).astype(np.uint8)
    density = hematoxylin_od(corners)
    assert np.isfinite(density).all()
    assert density.min() >= 0.0

import numpy as np
import pytest
from skimage.color import rgb2hed, separate_stains

from nuguide.errors import InputError
from nuguide.nuclei.stains import HDAB, HE, Stains, stain_od

STAINS = {
    "hematoxylin": np.array([0.65, 0.70, 0.29]),
    "eosin": np.array([0.07, 0.99, 0.11]),
    "dab": np.array([0.27, 0.57, 0.78]),
}
UNITS = {name: vector / np.linalg.norm(vector) for name, vector in STAINS.items()}
# scikit-image measures densities in e-folds of a millionth of the light.
TO_OD = np.log10(1e6)


def stained(**densities: float) -> np.ndarray:
    """RGB of a pixel under stains of these optical densities."""
    density = sum(amount * UNITS[name] for name, amount in densities.items())
    return np.round(255 * 10.0 ** -np.asarray(density)).astype(np.uint8)


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (40, 50, 3), np.uint8)


@pytest.mark.parametrize("stains", [HE, HDAB])
def test_glass_has_none(stains: Stains) -> None:
    glass = np.full((2, 2, 3), 255, np.uint8)
    assert stain_od(glass, stains) == pytest.approx(np.zeros((2, 2, 2)))


@pytest.mark.parametrize("amount", [0.1, 0.5, 1.0])
def test_hematoxylin_is_measured_whatever_lies_over_it(amount: float) -> None:
    assert stain_od(stained(hematoxylin=amount))[0] == pytest.approx(amount, abs=0.01)
    mixed = stained(hematoxylin=amount, eosin=0.3, dab=0.2)
    assert stain_od(mixed)[0] == pytest.approx(amount, abs=0.02)


@pytest.mark.parametrize(("stains", "second"), [(HE, "eosin"), (HDAB, "dab")])
@pytest.mark.parametrize("amount", [0.1, 0.5, 1.0])
def test_each_of_two_stains_is_measured_beside_the_other(
    stains: Stains, second: str, amount: float
) -> None:
    mixed = stained(hematoxylin=0.3, **{second: amount})
    assert stain_od(mixed, stains) == pytest.approx([0.3, amount], abs=0.02)
    alone = stained(**{second: amount})
    assert stain_od(alone, stains) == pytest.approx([0.0, amount], abs=0.01)


def test_dab_is_neither_haematoxylin_nor_eosin() -> None:
    assert stain_od(stained(dab=0.5)) == pytest.approx([0.0, 0.0], abs=0.01)


def test_h_and_e_are_those_of_scikit_image(pixels: np.ndarray) -> None:
    # Its vectors are those of the paper, not of length one.
    expected = rgb2hed(pixels) * TO_OD * np.array([np.linalg.norm(v) for v in STAINS.values()])
    assert stain_od(pixels) == pytest.approx(expected[..., :2], abs=1e-9)


def test_two_stains_have_a_residual_at_right_angles_to_both(pixels: np.ndarray) -> None:
    residual = np.cross(UNITS["hematoxylin"], UNITS["dab"])
    mixing = np.stack([UNITS["hematoxylin"], UNITS["dab"], residual / np.linalg.norm(residual)])
    expected = separate_stains(pixels, np.linalg.inv(mixing)) * TO_OD
    assert stain_od(pixels, HDAB) == pytest.approx(expected[..., :2], abs=1e-9)


def test_the_background_is_where_optical_density_begins(pixels: np.ndarray) -> None:
    light = (240.0, 235.0, 250.0)
    lit = Stains("DAB", HDAB.vectors, light)
    density = np.maximum(-np.log10(pixels / np.array(light)), 0)
    # The best mix of two stains, in the sense of least squares, leaves what is at right angles.
    two = np.stack([UNITS["hematoxylin"], UNITS["dab"]])
    expected = np.linalg.lstsq(two.T, density.reshape(-1, 3).T, rcond=None)[0].T
    assert stain_od(pixels, lit).reshape(-1, 2) == pytest.approx(np.maximum(expected, 0), abs=1e-9)


def test_the_length_of_a_vector_does_not_matter(pixels: np.ndarray) -> None:
    (h, dab) = HDAB.vectors
    longer = Stains("DAB", (h, (dab[0] * 3, dab[1] * 3, dab[2] * 3)))
    assert stain_od(pixels, longer) == pytest.approx(stain_od(pixels, HDAB))


@pytest.mark.parametrize("stains", [HE, HDAB])
def test_never_negative_nor_infinite(stains: Stains) -> None:
    corners = np.stack(np.meshgrid([0, 255], [0, 255], [0, 255]), axis=-1).astype(np.uint8)
    density = stain_od(corners, stains)
    assert np.isfinite(density).all()
    assert density.min() >= 0.0


H, DAB = HDAB.vectors


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        ((H,), "expected the optical densities"),
        ((H, DAB[:2]), "expected the optical densities"),
        ((H, (0.0, 0.0, 0.0)), "0 0 0"),
        ((H, (0.2, float("nan"), 0.7)), "0.2 nan 0.7"),
        ((H, (0.2, float("inf"), 0.7)), "0.2 inf 0.7"),
        ((H, (-0.2, 0.5, 0.7)), "-0.2 0.5 0.7"),
        ((H, (1.3, 1.4, 0.58)), "nearly the same colour"),
        ((H, (0.66, 0.70, 0.29)), "nearly the same colour"),
        ((H, DAB, (0.92, 1.27, 1.07)), "nearly the same colour"),
    ],
    ids=[
        "one",
        "two channels",
        "zero",
        "nan",
        "inf",
        "negative",
        "parallel",
        "nearly parallel",
        "in one plane",
    ],
)
def test_vectors_that_make_no_sense(vectors: tuple, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Stains("DAB", vectors)


@pytest.mark.parametrize("value", [0.0, 256.0, float("nan")])
def test_a_background_that_makes_no_sense(value: float) -> None:
    with pytest.raises(InputError, match="background"):
        Stains("DAB", (H, DAB), (255.0, value, 255.0))


def test_a_background_of_two_channels() -> None:
    with pytest.raises(InputError, match="background"):
        Stains("DAB", (H, DAB), (255.0, 255.0))  # type: ignore[arg-type]

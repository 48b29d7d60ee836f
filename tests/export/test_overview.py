from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from nuguide.errors import OutputError
from nuguide.export import overview
from nuguide.export.density import Density, count_density
from nuguide.export.overview import round_length, write_overview, write_tissue

SIZE_UM = (1500.0, 2000.0)


@pytest.fixture(autouse=True)
def _small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "_DPI", 60)


@pytest.fixture
def thumbnail() -> np.ndarray:
    return np.full((150, 200, 3), (230, 170, 200), np.uint8)


@pytest.fixture
def density() -> Density:
    """Return the density of nuclei that all lie in the left half."""
    places = np.random.default_rng(0).uniform((0, 0), (1500, 1000), (500, 2))
    table = pa.table({"centroid_y_um": places[:, 0], "centroid_x_um": places[:, 1]})
    return count_density([table], SIZE_UM)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_colours_lie_where_the_nuclei_are(
    tmp_path: Path, thumbnail: np.ndarray, density: Density
) -> None:
    write_overview(thumbnail, density, tmp_path / "overview.png", tissue_mm2=3.0)
    picture = read(tmp_path / "overview.png")
    pink = np.argwhere((picture == (230, 170, 200)).all(axis=-1))
    (top, left), (bottom, right) = pink.min(axis=0), pink.max(axis=0)
    # The slide keeps its shape, 3 to 4.
    assert (bottom - top) / (right - left) == pytest.approx(0.75, abs=0.01)
    # Beside it the map, as large: coloured in its left half, grey in its right.
    vivid = np.ptp(picture, axis=-1)[top:bottom, right + 25 :]
    middle = (right - left) // 2
    assert (vivid[:, 12 : middle - 25] > 15).mean() > 0.9
    assert vivid[:, middle + 25 : right - left - 25].max() < 15


def test_a_third_panel_shows_the_share_of_positive_nuclei(
    tmp_path: Path, thumbnail: np.ndarray, density: Density
) -> None:
    counts = density.counts.copy()
    counts[counts.shape[0] // 2 :] = 0  # positive are those above
    positive = Density(counts, density.cell_um, density.size_um)
    write_overview(thumbnail, density, tmp_path / "two.png", 3.0)
    write_overview(thumbnail, density, tmp_path / "three.png", 3.0, positive)
    two, three = read(tmp_path / "two.png"), read(tmp_path / "three.png")
    assert three.shape[0] == two.shape[0]
    added = three[:, two.shape[1] :]
    yellow = np.argwhere((added[..., 1] > 180) & (added[..., 2] < 140))[:, 0]
    violet = np.argwhere((added[..., 2] > added[..., 1] + 40) & (added[..., 1] < 100))[:, 0]
    assert len(yellow) > 100
    assert len(violet) > 100
    assert np.median(yellow) < np.median(violet)


def test_wide_slides_are_stacked(tmp_path: Path, thumbnail: np.ndarray, density: Density) -> None:
    wide = Density(density.counts[:20], density.cell_um, (400.0, 2000.0))
    write_overview(thumbnail[:40], wide, tmp_path / "wide.png")
    write_overview(thumbnail, density, tmp_path / "ordinary.png")
    heights, widths = zip(
        *(read(tmp_path / name).shape[:2] for name in ("wide.png", "ordinary.png")), strict=True
    )
    assert widths[0] < 0.7 * widths[1]
    assert heights[0] < heights[1]


@pytest.mark.parametrize("size_um", [SIZE_UM, (10.0, 3000.0)])
def test_no_nuclei_are_a_picture_too(
    tmp_path: Path, thumbnail: np.ndarray, size_um: tuple[float, float]
) -> None:
    write_overview(thumbnail, count_density([], size_um), tmp_path / "overview.png", 0.0)
    assert (read(tmp_path / "overview.png") == (230, 170, 200)).all(axis=-1).any()


def test_tissue_is_outlined_and_the_rest_paled(tmp_path: Path, thumbnail: np.ndarray) -> None:
    mask = np.zeros((30, 40), bool)
    mask[:, :20] = True
    write_tissue(thumbnail, mask, tmp_path / "tissue.png", SIZE_UM)
    picture = read(tmp_path / "tissue.png")
    kept = np.argwhere((picture == (230, 170, 200)).all(axis=-1))
    paled = np.argwhere((picture == (170 + 76, 170 + 56, 170 + 66)).all(axis=-1))
    assert len(kept) == pytest.approx(len(paled), rel=0.1)
    assert kept[:, 1].max() < paled[:, 1].min()
    green = picture[..., 1] > picture[..., [0, 2]].max(axis=-1) + 60
    assert green[:, kept[:, 1].max() : paled[:, 1].min()].any()


def test_no_tissue_is_a_picture_too(tmp_path: Path, thumbnail: np.ndarray) -> None:
    write_tissue(thumbnail, np.zeros((3, 4), bool), tmp_path / "tissue.png", SIZE_UM)
    assert read(tmp_path / "tissue.png").size


@pytest.mark.parametrize(("um", "length"), [(999.9, 500), (1000, 1000), (0.37, 0.2), (7, 5)])
def test_scale_bars_have_a_round_length(um: float, length: float) -> None:
    assert round_length(um) == pytest.approx(length)


def test_a_place_that_cannot_be_written(
    tmp_path: Path, thumbnail: np.ndarray, density: Density
) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_overview(thumbnail, density, tmp_path / "absent" / "overview.png")
    with pytest.raises(OutputError, match="cannot be written"):
        write_tissue(thumbnail, np.ones((3, 4), bool), tmp_path / "absent" / "a.png", SIZE_UM)

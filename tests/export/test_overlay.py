from pathlib import Path

import cv2
import numpy as np
import pytest

from nuguide.errors import OutputError
from nuguide.export import overlay
from nuguide.export.overlay import write_overlay
from nuguide.nuclei.outlines import trace
from nuguide.nuclei.polygons import Polygons

NONE = Polygons(np.empty((0, 2)), np.zeros(1, np.int64))


@pytest.fixture
def polygons(labels: np.ndarray) -> Polygons:
    return trace(labels).polygons


def read(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def greenish(drawing: np.ndarray, by: int = 60) -> np.ndarray:
    red, green, blue = np.moveaxis(drawing.astype(int), -1, 0)
    return (green > red + by) & (green > blue + by)


def test_outlines_lie_on_the_edges_and_hide_nothing_inside(
    tmp_path: Path, rgb: np.ndarray, polygons: Polygons
) -> None:
    write_overlay(rgb, [(polygons, None)], tmp_path / "overlay.png")
    drawing = read(tmp_path / "overlay.png")
    assert drawing.shape == (128, 160, 3)
    drawn = greenish(drawing)
    # Nucleus 2 covers rows 20 to 32, columns 50 to 60: twice that in the drawing.
    rows, columns = np.nonzero(drawn[:, 80:])
    assert (rows.min(), rows.max() + 1) == pytest.approx((40, 64), abs=1)
    assert (columns.min() + 80, columns.max() + 81) == pytest.approx((100, 120), abs=1)
    assert not drawn[43:61, 103:117].any()
    assert not greenish(drawing[:, 125:]).any()


def test_each_outline_has_its_colour(tmp_path: Path, rgb: np.ndarray, polygons: Polygons) -> None:
    colours = [(255, 0, 0), (0, 0, 255), (255, 0, 0)][: len(polygons)]
    write_overlay(rgb, [(polygons, colours)], tmp_path / "overlay.png")
    drawing = read(tmp_path / "overlay.png").astype(int)
    red, _, blue = np.moveaxis(drawing, -1, 0)
    assert not greenish(drawing).any()
    bluish = np.argwhere(blue > red + 90)
    # Nucleus 2 alone: rows 20 to 32, columns 50 to 60, twice that in the drawing.
    assert bluish.min(0) == pytest.approx((40, 100), abs=2)
    assert bluish.max(0) == pytest.approx((63, 119), abs=2)
    assert (red > blue + 90).any()


def test_large_images_are_shrunk(
    tmp_path: Path, rgb: np.ndarray, polygons: Polygons, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay, "LONGEST_SIDE_PX", 40)
    monkeypatch.setattr(overlay, "_ENLARGED_UP_TO_PX", 10)
    write_overlay(rgb, [(polygons, None)], tmp_path / "overlay.png")
    assert read(tmp_path / "overlay.png").shape == (32, 40, 3)


@pytest.mark.parametrize("longest", [33, 40, 80, 150])
def test_a_shrunk_image_stays_under_its_outlines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, longest: int
) -> None:
    monkeypatch.setattr(overlay, "LONGEST_SIDE_PX", longest)
    monkeypatch.setattr(overlay, "_ENLARGED_UP_TO_PX", 10)
    white = np.full((301, 401, 3), 255, np.uint8)
    white[200:280, 300:380] = 0
    write_overlay(white, [], tmp_path / "overlay.png")
    dark = 1 - read(tmp_path / "overlay.png")[..., 0] / 255
    down, along = dark.shape[0] / 301, dark.shape[1] / 401
    # What is dark lies where it lay, to less than a pixel, and is as large as it was.
    middle = [
        np.average(np.arange(n) + 0.5, weights=dark.sum(1 - i)) for i, n in enumerate(dark.shape)
    ]
    assert middle == pytest.approx([240 * down, 340 * along], abs=0.7)
    assert dark.sum() == pytest.approx(80 * down * 80 * along, rel=0.06)


def test_many_pixels_are_drawn_in_few_colours(
    tmp_path: Path, polygons: Polygons, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse = np.random.default_rng(0).integers(120, 250, (16, 20, 3), np.uint8)
    tissue = cv2.resize(coarse, (80, 64), interpolation=cv2.INTER_CUBIC)
    write_overlay(tissue, [(polygons, None)], tmp_path / "true.png")
    monkeypatch.setattr(overlay, "_TRUE_COLOUR_UP_TO_PX", 1000)
    write_overlay(tissue, [(polygons, None)], tmp_path / "few.png")
    true, few = read(tmp_path / "true.png"), read(tmp_path / "few.png")
    assert len(np.unique(few.reshape(-1, 3), axis=0)) <= 256
    assert np.abs(true.astype(int) - few).mean() < 16
    # Lines themselves; what is mixed at their edges may come to lie on either side.
    assert greenish(few)[greenish(true, by=150)].mean() > 0.98
    size = [(tmp_path / name).stat().st_size for name in ("true.png", "few.png")]
    assert size[1] < size[0] / 2


def test_pieces_are_drawn_one_after_the_other(
    tmp_path: Path, rgb: np.ndarray, polygons: Polygons
) -> None:
    ends = polygons.first
    halves = [
        (Polygons(polygons.points[: ends[1]], ends[:2]), None),
        (Polygons(polygons.points[ends[1] :], ends[1:] - ends[1]), None),
    ]
    write_overlay(rgb, iter(halves), tmp_path / "pieces.png")
    write_overlay(rgb, [(polygons, None)], tmp_path / "whole.png")
    assert (read(tmp_path / "pieces.png") == read(tmp_path / "whole.png")).all()
    assert greenish(read(tmp_path / "pieces.png")).sum() > 100


def test_no_nuclei_leave_the_image(tmp_path: Path, rgb: np.ndarray) -> None:
    write_overlay(rgb, [], tmp_path / "overlay.png")
    write_overlay(rgb, [(NONE, [])], tmp_path / "typed.png")
    assert (read(tmp_path / "typed.png") == read(tmp_path / "overlay.png")).all()
    assert (read(tmp_path / "overlay.png") == rgb[0, 0]).all()


def test_the_image_itself_stays_as_it_was(
    tmp_path: Path, rgb: np.ndarray, polygons: Polygons, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay, "_ENLARGED_UP_TO_PX", 10)
    before = rgb.copy()
    write_overlay(rgb, [(polygons, None)], tmp_path / "overlay.png")
    assert (rgb == before).all()


def test_a_place_that_cannot_be_written(
    tmp_path: Path, rgb: np.ndarray, polygons: Polygons
) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_overlay(rgb, [(polygons, None)], tmp_path / "absent" / "overlay.png")

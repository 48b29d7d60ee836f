import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nuguide.slides.blocks import BLOCK_PX, Blocks, ByteCache
from nuguide.slides.levels import ArrayLevels, Level
from nuguide.slides.reader import from_array, open_slide


class Counted(ArrayLevels):
    """Levels on a pretended disk: tiles of 100 px, each read counted."""

    in_memory = False

    def __init__(self, rgb: NDArray[np.uint8]) -> None:
        super().__init__(rgb)
        half = rgb[::2, ::2]
        self._both = (rgb, half)
        self.levels = (
            Level(rgb.shape[:2], (1.0, 1.0), (100, 100)),
            Level(half.shape[:2], (2.0, 2.0), (100, 100)),
        )
        self.reads: list[tuple[int, ...]] = []

    def read(self, level: int, y: int, x: int, height: int, width: int) -> NDArray[np.uint8]:
        self.reads.append((level, y, x, height, width))
        return self._both[level][y : y + height, x : x + width].copy()


@pytest.mark.parametrize("ratio", [1.0, 2.17, 0.8])
def test_reads_agree_to_the_bit_across_blocks(slide_path: Path, ratio: float) -> None:
    with open_slide(slide_path) as slide, open_slide(slide_path) as other:
        mpp = slide.mpp * ratio
        height, width = slide.shape_at(mpp)
        whole = slide.read_at(0, 0, height, width, mpp)
        random = np.random.default_rng(0)
        for _ in range(5):
            y, x = random.integers(-20, height), random.integers(-20, width)
            tall, wide = random.integers(1, 400, 2)
            # Another object, so that nothing kept from the first read can help.
            piece = other.read_at(y, x, tall, wide, mpp)
            assert piece.shape == (tall, wide, 3)
            top, left = max(y, 0), max(x, 0)
            inside = whole[top : max(y + tall, 0), left : max(x + wide, 0)]
            rows, columns = inside.shape[:2]
            assert (piece[top - y : top - y + rows, left - x : left - x + columns] == inside).all()
            assert int((piece == 255).sum()) >= 3 * (tall * wide - rows * columns)


@pytest.mark.parametrize("ratio", [1.0, 1.052, 2.0, 4.3])
def test_levels_equal_area_averaging_of_full_resolution(
    slide_path: Path, tissue: NDArray[np.uint8], ratio: float
) -> None:
    exact = from_array(tissue, 0.25)
    with open_slide(slide_path) as slide:
        assert (slide.shape, slide.mpp) == (exact.shape, 0.25)
        mpp = 0.25 * ratio
        box = (0, 0, *slide.shape_at(mpp), mpp)
        found, expected = slide.read_at(*box).astype(int), exact.read_at(*box).astype(int)
    difference = np.abs(found - expected)
    if "zarr" in slide_path.name and ratio < 4:
        assert difference.max() == 0  # nothing lossy, and no level is coarse enough to be used
    # The worst pixels lie where a level was cut to whole pixels, at the far edges.
    assert difference.mean() < 2.5
    assert difference[:-2, :-2].max() <= 40


def test_the_level_is_at_least_twice_as_fine() -> None:
    levels = Counted(np.zeros((600, 600, 3), np.uint8))
    for ratio, wanted in ((1.5, 0), (3.9, 0), (4.0, 1), (8.0, 1)):
        levels.reads.clear()
        side = int(600 / ratio)
        Blocks(levels).read(0, 0, side, side, ratio, (side, side))
        assert {read[0] for read in levels.reads} == {wanted}


def test_no_tile_is_read_twice_while_there_is_room() -> None:
    levels = Counted(np.random.default_rng(0).integers(0, 256, (1200, 1300, 3), np.uint8))
    blocks = Blocks(levels)
    for ratio in (1.0, 1.3, 2.0):
        shape = (int(1200 / ratio), int(1300 / ratio))
        blocks.read(0, 0, *shape, ratio, shape)
    assert len(levels.reads) == len(set(levels.reads))
    # Small tiles are read in groups of 5 x 5.
    assert len(levels.reads) == 3 * 3


def test_what_is_kept_has_a_ceiling() -> None:
    levels = Counted(np.zeros((2000, 2000, 3), np.uint8))
    limit = 3 * BLOCK_PX**2 * 12
    blocks = Blocks(levels, cache_bytes=limit)
    blocks.read(0, 0, 900, 900, 1.25, (1600, 1600))
    assert 0 < blocks._cache.held_bytes <= limit


def test_the_oldest_goes_first() -> None:
    cache = ByteCache(30)
    pieces = {name: np.zeros((1, 3, 3), np.uint8) for name in "abcd"}
    for name in "abc":
        cache.put(name, pieces[name])
    assert cache.get("a") is pieces["a"]
    cache.put("d", pieces["d"])
    assert cache.get("b") is None
    assert cache.get("a") is pieces["a"]
    assert cache.held_bytes == 27
    cache.put("large", np.zeros((10, 10, 3), np.uint8))
    assert cache.get("large") is None


def test_threads_read_the_same(slide_path: Path) -> None:
    with open_slide(slide_path) as slide:
        mpp = 0.4
        whole = slide.read_at(0, 0, *slide.shape_at(mpp), mpp)
    with open_slide(slide_path) as slide, ThreadPoolExecutor(4) as pool:
        start = threading.Barrier(4)

        def rows(first: int) -> NDArray[np.uint8]:
            start.wait()
            return slide.read_at(first, 0, 200, whole.shape[1], mpp)

        for first, piece in enumerate(pool.map(rows, range(4))):
            assert (piece == whole[first : first + 200]).all()

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from nuguide.errors import OutputError
from nuguide.nuclei.morphometry import measure
from nuguide.segmentation.joining import ArrayCanvas, join
from nuguide.segmentation.region import no_nuclei
from nuguide.segmentation.runs import RUNS, runs_of
from nuguide.slides.regions import Box, Region, plan_regions

SHAPE = (64, 192)
LEFT, MIDDLE, RIGHT = PLAN = plan_regions(SHAPE, size=64, halo=32, grid_px=32)


def nuclei(*squares: tuple[int, int, int]) -> pa.Table:
    """Make the rows of squares (y, x, side), image px; a later one covers an earlier one."""
    labels = np.zeros(SHAPE, np.int32)
    for number, (y, x, side) in enumerate(squares, start=1):
        labels[y : y + side, x : x + side] = number
    rgb, foreground = np.zeros((*SHAPE, 3), np.uint8), np.ones(SHAPE, np.float32)
    table = measure(labels, rgb, foreground, origin_px=(0, 0), mpp=0.5, image_sha256="0" * 64)
    return table.append_column(RUNS, runs_of(labels, (0, 0)))


def joined(
    fragments: Iterable[tuple[Region, pa.Table]],
) -> tuple[list[float], NDArray[np.int32]]:
    """Return the centres' x of what is kept, and the canvas."""
    canvas = ArrayCanvas(SHAPE)
    pieces = list(join(fragments, 1.0, canvas))
    return [x for piece in pieces for x in piece["centroid_x_px"].to_pylist()], canvas.labels


def test_a_nucleus_that_two_regions_claim_is_kept_once_where_the_first_saw_it() -> None:
    centres, labels = joined([(LEFT, nuclei((20, 60, 8))), (MIDDLE, nuclei((20, 61, 8)))])
    assert centres == pytest.approx([64])
    assert np.unique(labels).tolist() == [0, 1]
    assert labels[24, 60] == 1
    assert labels[24, 68] == 0


def test_neighbours_across_a_border_are_two() -> None:
    centres, labels = joined([(LEFT, nuclei((20, 56, 8))), (MIDDLE, nuclei((20, 62, 8)))])
    assert centres == pytest.approx([60, 66])
    # Where they overlap the earlier one keeps the pixels.
    assert np.bincount(labels.ravel())[1:].tolist() == [64, 48]


def test_what_two_earlier_nuclei_cover_together_is_a_double() -> None:
    fragments = [(LEFT, nuclei((20, 56, 8), (30, 56, 8))), (MIDDLE, nuclei((20, 56, 18)))]
    assert len(joined(fragments)[0]) == 3
    fragments = [(LEFT, nuclei((20, 56, 9), (29, 56, 9))), (MIDDLE, nuclei((21, 58, 10)))]
    assert len(joined(fragments)[0]) == 2


def test_a_double_that_was_dropped_does_not_drop_another() -> None:
    first, second, third = nuclei((20, 60, 8)), nuclei((20, 62, 8)), nuclei((20, 65, 8))
    assert joined([(LEFT, first), (MIDDLE, second), (RIGHT, third)])[0] == pytest.approx([64, 69])


def test_rows_are_numbered_on_through_regions_without_nuclei() -> None:
    fragments = [(LEFT, nuclei((4, 4, 8), (20, 4, 8))), (MIDDLE, no_nuclei())]
    _, labels = joined([*fragments, (RIGHT, nuclei((4, 160, 8)))])
    assert labels[8, 8] == 1
    assert labels[24, 8] == 2
    assert labels[8, 164] == 3


def test_a_narrow_region_does_not_make_its_neighbour_forget_the_row_above() -> None:
    # The lower left region is wanted at its foot alone: what it reads begins far below its row.
    parts = {(64, 0): Box(120, 0, 8, 64)}
    above, narrow, beside = plan_regions(
        (128, 128),
        size=64,
        halo=16,
        grid_px=8,
        wanted=lambda box: None if (box.y, box.x) == (0, 0) else parts.get((box.y, box.x), box),
    )
    same = nuclei((46, 100, 16))
    moved = nuclei((47, 100, 16))
    assert narrow.read.y >= above.read.y + above.read.height
    kept = joined([(above, same), (narrow, no_nuclei()), (beside, moved)])[0]
    assert kept == pytest.approx([108])


def test_the_far_past_is_forgotten() -> None:
    plan = plan_regions((2000, 64), size=64, halo=32, grid_px=32)
    kept: list[int] = []

    def fragments() -> Iterable[tuple[Region, pa.Table]]:
        for region in plan:
            yield region, nuclei((20, 4, 8))  # the same square again and again: far away, no double

    for piece in join(fragments(), 1.0):
        kept.append(piece.num_rows)
    assert len(kept) > 5


def test_a_nucleus_that_reaches_outside_the_image_is_refused() -> None:
    """Fragments are files: those of another image may lie there."""
    canvas = ArrayCanvas((16, 16))
    with pytest.raises(OutputError, match="outside the image"):
        list(join([(LEFT, nuclei((2, 2, 6), (10, 10, 8)))], 1.0, canvas))
    assert not canvas.labels.any()

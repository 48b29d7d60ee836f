import numpy as np
import pytest

from nuguide.slides.regions import Box, plan_regions


@pytest.mark.parametrize("offset", [0, 384])
@pytest.mark.parametrize("shape", [(1, 1), (300, 300), (1024, 1024), (2500, 1100), (64, 5000)])
def test_cores_cover_the_image_once(shape: tuple[int, int], offset: int) -> None:
    count = np.zeros(shape, int)
    for region in plan_regions(shape, offset=offset):
        core = region.core
        count[core.y : core.y + core.height, core.x : core.x + core.width] += 1
    assert (count == 1).all()


def test_reads_lie_on_the_grid_and_hold_core_and_halo() -> None:
    plan = plan_regions((2500, 1100), size=512, halo=128, grid_px=64)
    assert [region.index for region in plan] == list(range(5 * 3))
    for region in plan:
        core, read = region.core, region.read
        assert not any(v % 64 for v in (read.y, read.x, read.height, read.width))
        assert (read.y, read.x) == (max(0, core.y - 128), max(0, core.x - 128))
        assert read.y + read.height >= min(2500, core.y + core.height + 128)
        assert read.x + read.width >= min(1100, core.x + core.width + 128)


def test_an_offset_moves_the_borders_between_cores() -> None:
    plan = plan_regions((1000, 64), size=512, halo=128, grid_px=64, offset=128)
    assert [(region.core.y, region.core.height) for region in plan] == [
        (0, 128),
        (128, 512),
        (640, 360),
    ]


def test_a_small_image_is_one_small_region() -> None:
    (region,) = plan_regions((300, 200))
    assert region.core == Box(0, 0, 300, 200)
    assert region.read == Box(0, 0, 320, 256)


def test_sizes_off_the_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples"):
        plan_regions((100, 100), size=1000)
    with pytest.raises(ValueError, match="multiples"):
        plan_regions((100, 100), halo=10)
    with pytest.raises(ValueError, match="below the size"):
        plan_regions((100, 100), size=512, offset=512)
    with pytest.raises(ValueError, match="no region"):
        plan_regions((0, 100))


def test_regions_are_narrowed_to_what_is_wanted_on_the_grid() -> None:
    parts = {(0, 0): Box(70, 100, 30, 200), (512, 0): Box(1000, 5, 24, 507)}
    plan = plan_regions(
        (1100, 1000), size=512, halo=128, grid_px=64, wanted=lambda box: parts.get((box.y, box.x))
    )
    assert [(region.index, region.row_y) for region in plan] == [(0, 0), (2, 512)]
    assert [region.core for region in plan] == [Box(64, 64, 64, 256), Box(960, 0, 64, 512)]
    assert [region.read for region in plan] == [Box(0, 0, 256, 448), Box(832, 0, 320, 640)]


def test_what_is_wanted_whole_is_planned_as_ever() -> None:
    shape = (1100, 1000)
    assert plan_regions(shape, wanted=lambda box: box) == plan_regions(shape)

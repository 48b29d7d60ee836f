import numpy as np
import pytest

from nuguide.models.model import Model
from nuguide.segmentation import preview
from nuguide.segmentation.area import Area
from nuguide.segmentation.region import Task
from nuguide.slides.reader import from_array
from nuguide.slides.tissue import Tissue

SECONDS_PER_PX = 1e-6


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """Let each region take a time of its size on a clock of its own; return what was run."""
    run: list[Task] = []
    clock = [0.0]

    def segment_region(task: Task, model: Model) -> None:
        run.append(task)
        clock[0] += SECONDS_PER_PX * task.region.read.height * task.region.read.width

    monkeypatch.setattr(preview, "segment_region", segment_region)
    monkeypatch.setattr(preview.time, "perf_counter", lambda: clock[0])
    return run


def test_all_regions_are_reckoned_by_their_size(timed: list[Task], model: Model) -> None:
    slide = from_array(np.full((3000, 2500), 200, np.uint8), model.card.mpp)
    regions, in_plan = preview.regions_of(slide, Area(), model)
    guess = preview.estimate(slide, Area(), model, regions)
    assert len(regions) == in_plan == 9
    assert guess.measured == preview.MEASURED
    assert len(timed) == preview.MEASURED + 1  # one to warm up
    pixels = sum(region.read.height * region.read.width for region in regions)
    assert guess.seconds == pytest.approx(SECONDS_PER_PX * pixels)


def test_regions_full_of_tissue_are_timed(timed: list[Task], model: Model) -> None:
    slide = from_array(np.full((3000, 2500), 200, np.uint8), model.card.mpp)
    mask = np.zeros((300, 250), bool)
    mask[110:190, 110:190] = True  # the middle region
    mask[:5, :5] = True  # a corner
    area = Area(Tissue(mask, model.card.mpp * 10, 0.05), searched=True)
    regions, in_plan = preview.regions_of(slide, area, model)
    assert (len(regions), in_plan) == (2, 9)
    preview.estimate(slide, area, model, regions)
    assert {task.region.index for task in timed} == {4}


def test_nothing_to_do_takes_no_time(timed: list[Task], model: Model) -> None:
    slide = from_array(np.full((500, 500), 255, np.uint8), model.card.mpp)
    assert preview.estimate(slide, Area(), model, []) == preview.Estimate(0.0, 0)
    assert timed == []

import threading
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
import pytest

from nuguide.segmentation.joiner import Fragment, Joiner
from nuguide.slides.regions import Box, Region

PATIENCE_S = 10.0


def region(index: int) -> Region:
    box = Box(0, 0, 8, 8)
    return Region(index, box, box, 0)


def nuclei(index: int) -> pa.Table:
    return pa.table({"region": [index]})


def joiner_of(work: Callable[[Iterable[Fragment]], Any], regions: int = 3) -> Joiner[Any]:
    return Joiner([region(index) for index in range(regions)], nuclei, work)


def listed(fragments: Iterable[Fragment]) -> list[tuple[int, int]]:
    return [(region.index, table["region"][0].as_py()) for region, table in fragments]


def test_regions_are_given_in_the_order_of_the_plan() -> None:
    joiner = joiner_of(listed)
    for index in (2, 0, 1):
        joiner.done([index])
    assert joiner.outcome() == [(0, 0), (1, 1), (2, 2)]


def test_the_work_is_done_while_regions_are_under_way() -> None:
    taken = threading.Semaphore(0)

    def work(fragments: Iterable[Fragment]) -> int:
        for _ in fragments:
            taken.release()
        return 7

    joiner = joiner_of(work)
    joiner.done([0, 1])
    assert taken.acquire(timeout=PATIENCE_S)
    assert taken.acquire(timeout=PATIENCE_S)
    assert not taken.acquire(blocking=False)
    joiner.done([2])
    assert joiner.outcome() == 7


def test_what_was_done_before_starts_no_work() -> None:
    began = threading.Event()

    def work(fragments: Iterable[Fragment]) -> list[tuple[int, int]]:
        began.set()
        return listed(fragments)

    joiner = joiner_of(work)
    joiner.done([0, 1, 2], start=False)
    assert not began.wait(0.05)
    assert len(joiner.outcome()) == 3


def test_waiting_for_regions_is_no_time_of_the_work() -> None:
    joiner = joiner_of(listed, regions=2)
    joiner.done([0])
    threading.Event().wait(0.5)
    joiner.done([1])
    joiner.outcome()
    assert 0 <= joiner.seconds < 0.25


def test_a_fault_is_raised_at_the_next_region_and_at_the_end() -> None:
    failed = threading.Event()

    def work(fragments: Iterable[Fragment]) -> None:
        try:
            for _ in fragments:
                raise ValueError("disk full")
        finally:
            failed.set()

    joiner = joiner_of(work)
    joiner.done([0])
    assert failed.wait(PATIENCE_S)
    with pytest.raises(ValueError, match="disk full"):
        joiner.outcome()
    with pytest.raises(ValueError, match="disk full"):
        joiner.done([1])


def test_work_that_is_stopped_ends_badly_and_in_silence() -> None:
    ends = []

    def work(fragments: Iterable[Fragment]) -> None:
        try:
            listed(fragments)
        except BaseException as fault:
            ends.append(fault)
            raise

    joiner = joiner_of(work)
    joiner.done([0])
    joiner.stop()
    assert len(ends) == 1  # and the thread has ended: what it had begun is cleared away
    joiner_of(work).stop()
    assert len(ends) == 1

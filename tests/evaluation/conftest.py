"""Scores and samples that several tests of this room read."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from nuguide.datasets.base import Sample
from nuguide.evaluation.intervals import bootstrap_mean
from nuguide.evaluation.record import ImageScores, Scores, Summary

ScoresMaker = Callable[..., Scores]


@pytest.fixture
def make_scores() -> ScoresMaker:
    """Return a maker of scores out of one AJI and one Dice per image."""

    def make(aji: list[float], dice: list[float] | None = None, **fields: str) -> Scores:
        columns = {"aji": aji, "dice_foreground": dice or aji}
        images = tuple(
            ImageScores(f"image {place}", {name: values[place] for name, values in columns.items()})
            for place in range(len(aji))
        )
        summaries = {}
        for name, values in columns.items():
            interval = bootstrap_mean(values)
            summaries[name] = Summary(
                interval.mean, 0.1, interval.low, interval.high, interval.n, f"what {name} is"
            )
        plain = Scores(summaries, images, "one", "drawn", "test", data_sha256="d" * 64)
        return replace(plain, **fields)

    return make


@pytest.fixture(scope="session")
def sample() -> Sample:
    """Return three nuclei on a grey square: 1 to be found, 2 to be missed, 3 under the mask."""
    labels = np.zeros((60, 60), np.int32)
    for number, corner in enumerate(((5, 5), (5, 35), (40, 40)), start=1):
        labels[corner[0] : corner[0] + 12, corner[1] : corner[1] + 12] = number
    ignore = np.zeros((60, 60), bool)
    ignore[38:, 38:] = True
    image = np.full((60, 60, 3), 180, np.uint8)
    return Sample("square", image, labels, mpp=0.25, ignore=ignore)

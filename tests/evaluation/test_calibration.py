from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from fixtures.dark_model import dark_model
from nuguide.datasets.base import Sample
from nuguide.errors import InputError
from nuguide.evaluation import calibration
from nuguide.evaluation.calibration import (
    Judged,
    bins,
    brier,
    calibration_error,
    fitted,
    judged,
    reliability,
    tables,
)
from nuguide.models.calibration import Calibration


@pytest.fixture
def seen() -> Judged:
    """Draw 20,000 nuclei that match as often as slope 2.5 and intercept -3 say."""
    random = np.random.default_rng(0)
    confidence = random.uniform(0.5, 0.98, 20_000)
    truth = Calibration(slope=2.5, intercept=-3.0, n=1, data="drawn")
    matched = random.random(20_000) < truth.probability(confidence)
    image = random.integers(0, 8, 20_000)
    return Judged(confidence, matched, image, image)


def test_what_made_the_matches_is_found_again(seen: Judged):
    found = fitted(seen, "drawn, 8 images")
    assert (found.slope, found.intercept) == pytest.approx((2.5, -3.0), abs=0.1)
    assert (found.n, found.data) == (20_000, "drawn, 8 images")


def test_the_calibrated_is_near_the_truth_and_the_confidence_is_not(seen: Judged):
    as_it_is, calibrated = reliability(seen, fitted(seen, "drawn"))
    assert as_it_is.error.mean > 0.1
    assert calibrated.error.mean < 0.015
    assert calibrated.error.low <= calibrated.error.high
    assert calibrated.error.n == 8
    assert calibrated.brier < as_it_is.brier
    assert [table.row_count for table in tables([as_it_is, calibrated])] == [2, 10]
    assert len(reliability(seen, None)) == 1


def test_errors_of_a_few_nuclei_by_hand():
    probability = np.repeat([0.25, 0.75], 20)
    matched = np.repeat([True, False, True], [5, 15, 20])
    seen = Judged(probability, matched, np.zeros(40, int), np.zeros(40, int))
    found = bins(probability, matched)
    assert sum(each.n for each in found) == 40
    assert calibration_error(probability, seen).mean == pytest.approx((0 + 20 * 0.25) / 40, abs=0.2)
    assert brier(probability, matched) == pytest.approx(
        (5 * 0.75**2 + 15 * 0.25**2 + 20 * 0.25**2) / 40
    )
    perfect = replace(seen, confidence=matched.astype(float))
    assert calibration_error(perfect.confidence, perfect).mean == 0


@pytest.mark.parametrize("seed", range(6))
def test_the_error_lies_within_its_interval(seed: int):
    """Of a perfect calibration too, whose draws again nearly all lie above it."""
    random = np.random.default_rng(seed)
    probability = random.uniform(0.4, 0.98, 1200)
    matched = random.random(1200) < probability
    image = np.repeat(np.arange(20), 60)
    error = calibration_error(probability, Judged(probability, matched, image, image))
    assert 0 <= error.low < error.mean < error.high
    assert error.high - error.mean < 2.5 * (error.mean - error.low)


def test_images_of_one_patient_are_drawn_together(seen: Judged):
    # The confidence of half the images is worth nothing: which of them are drawn decides.
    matched = np.where(seen.image < 4, seen.matched, ~seen.matched)
    alone = replace(seen, matched=matched)
    together = replace(alone, unit=seen.image // 4)
    by_image, by_patient = (calibration_error(each.confidence, each) for each in (alone, together))
    assert (by_image.mean, by_image.n) == (by_patient.mean, by_patient.n)
    assert by_patient.high - by_patient.low > 1.3 * (by_image.high - by_image.low)


def test_too_few_nuclei_and_a_confidence_that_misleads_are_refused(seen: Judged):
    few = Judged(seen.confidence[:40], seen.matched[:40], seen.image[:40], seen.unit[:40])
    with pytest.raises(InputError, match="expected 50 of each at least"):
        fitted(few, "drawn")
    with pytest.raises(InputError, match="greater confidence match less often"):
        fitted(replace(seen, matched=~seen.matched), "drawn")


def test_certainty_is_never_fitted():
    """Platt's targets: 50 of 50 is a chance of 51 in 52, not of 1, which no slope reaches."""
    matched = np.repeat([False, True], 50)
    confidence = np.repeat([0.6, 0.9], 50)
    found = fitted(Judged(confidence, matched, np.zeros(100, int), np.zeros(100, int)), "drawn")
    assert found.probability(np.array([0.6, 0.9])) == pytest.approx([1 / 52, 51 / 52], rel=1e-3)


def test_a_nucleus_that_its_neighbours_cover_is_not_judged(monkeypatch):
    """It stands in the table, and has no pixel that a true one could match."""
    labels = np.zeros((20, 40), np.int32)
    labels[5:15, 5:15], labels[5:15, 25:35] = 1, 3
    result = SimpleNamespace(labels=labels, nuclei=pa.table({"confidence": [0.9, 0.1, 0.8]}))
    monkeypatch.setattr(calibration, "segment_array", lambda *_: result)
    truth = np.where(labels == 3, 1, 0).astype(np.int32)
    sample = Sample("a", np.zeros((20, 40, 3), np.uint8), truth, 0.5)
    seen = judged(dark_model(), [sample])
    assert seen.confidence.tolist() == [0.9, 0.8]
    assert seen.matched.tolist() == [False, True]


def test_a_nucleus_is_judged_by_the_true_one_that_it_overlaps():
    image = np.full((96, 200, 3), 255, np.uint8)
    truth = np.zeros((96, 200), np.int32)
    ignore = np.zeros((96, 200), bool)
    for place in range(4):  # matched, not annotated, half as wide, under the ignore mask
        image[30:60, 10 + 50 * place : 40 + 50 * place] = 20
    truth[30:60, 10:40], truth[30:60, 110:122] = 5, 2
    ignore[:, 150:] = True
    sample = Sample("a", image, truth, 0.25, ignore=ignore)
    seen = judged(dark_model(), [sample, replace(sample, name="b")])
    assert seen.matched.tolist() == [True, False, False] * 2
    assert seen.image.tolist() == [0, 0, 0, 1, 1, 1]
    assert seen.unit.tolist() == [0, 0, 0, 1, 1, 1]
    of_one = [replace(sample, name=name, patient="p") for name in "ab"]
    assert judged(dark_model(), of_one).unit.tolist() == [0] * 6
    assert ((seen.confidence > 0.9) & (seen.confidence <= 1)).all()
    blank = replace(sample, image=np.full_like(image, 255))
    with pytest.raises(InputError, match="dark finds no nucleus"):
        judged(dark_model(), [blank])
    with pytest.raises(InputError, match="no image to judge by"):
        judged(dark_model(), [])

"""The default model on MoNuSeg's 14 test images: the marks it was released with."""

from pathlib import Path

import pytest

import nuguide
from nuguide.datasets.opening import open_dataset
from nuguide.evaluation.evaluate import evaluate
from nuguide.segmentation.run import segment_array


@pytest.mark.slow
def test_the_card_tells_what_the_test_images_give(shared: Path) -> None:
    model = nuguide.load("default")
    scores = evaluate(
        lambda rgb, mpp: segment_array(rgb, mpp, model).labels,
        open_dataset(shared / "data" / "monuseg2018", "test"),
        model="default",
        data="monuseg2018",
        split="test",
    )
    assert scores.summaries["aji"].n == 14
    assert scores.summaries["dice_foreground"].mean >= 0.815
    assert scores.summaries["aji"].mean >= 0.63
    assert scores.summaries["pq"].mean >= 0.59
    on_card = {
        score.name: score.value for score in model.card.scores if score.data.startswith("MoNuSeg")
    }
    for name in ("dice_foreground", "aji", "pq"):
        assert scores.summaries[name].mean == pytest.approx(on_card[name], abs=0.002)

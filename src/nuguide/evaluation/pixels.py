"""Scores of pixels: how well nucleus and background are told apart, whatever the instances."""

from nuguide.evaluation.overlap import Overlap

DEFINITIONS = {
    "dice_foreground": "2TP/(2TP+FP+FN) over nucleus pixels of one image",
    "iou_foreground": "TP/(TP+FP+FN) over nucleus pixels of one image",
    "dice_macro": "plain mean of the Dice of nucleus and of background in one image",
    "iou_macro": "plain mean of the IoU of nucleus and of background in one image",
    "dice_weighted": (
        "Dice of nucleus and of background, weighted by their pixel share in the truth of one "
        "image: close to pixel accuracy, not a foreground Dice"
    ),
    "iou_weighted": (
        "IoU of nucleus and of background, weighted by their pixel share in the truth of one image"
    ),
}


def pixel_scores(overlap: Overlap) -> dict[str, float]:
    """Return the scores of ``DEFINITIONS``, each within 0 to 1.

    Notes
    -----
    A class that neither truth nor prediction holds is in perfect agreement: 1. One that only one
    of them holds scores 0.

    The weighted pair is what the released evaluation of the published method reports as Dice and
    mIoU; it is kept under its own name so that it is never mistaken for the foreground scores.
    """
    true, guess, shared = overlap.truth_pixels, overlap.prediction_pixels, overlap.shared_pixels
    n = overlap.n_pixels
    dice, iou = _dice_and_iou(true, guess, shared)
    background_dice, background_iou = _dice_and_iou(n - true, n - guess, n - true - guess + shared)
    share = true / n
    return {
        "dice_foreground": dice,
        "iou_foreground": iou,
        "dice_macro": (dice + background_dice) / 2,
        "iou_macro": (iou + background_iou) / 2,
        "dice_weighted": share * dice + (1 - share) * background_dice,
        "iou_weighted": share * iou + (1 - share) * background_iou,
    }


def _dice_and_iou(true: int, guess: int, shared: int) -> tuple[float, float]:
    """Return Dice and IoU of one class from its pixel counts; (1, 1) where there is none."""
    if true + guess == 0:
        return 1.0, 1.0
    return 2 * shared / (true + guess), shared / (true + guess - shared)

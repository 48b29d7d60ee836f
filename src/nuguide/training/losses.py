"""Losses; each is 0 at a perfect match, but for ``released_dice``, which says what it is.

Those of the head ``nuclei`` take (B, 2, H, W) float logits, background and nucleus, and the truth,
(B, H, W) int64 in {0, 1}. All return a scalar.
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from nuguide.training.recipe import Losses


def cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of the softmax of both channels, mean over pixels."""
    return F.cross_entropy(logits, truth)


def focal(logits: Tensor, truth: Tensor, gamma: float = 2.0) -> Tensor:
    """Focal loss on a sigmoid per channel, mean over channels and pixels.

    Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, eq. 4; ``gamma`` 0 is the
    binary cross-entropy.
    """
    channels = torch.stack([1 - truth, truth], dim=1).to(logits.dtype)
    plain = F.binary_cross_entropy_with_logits(logits, channels, reduction="none")
    return (plain * (1 - torch.exp(-plain)) ** gamma).mean()


def dice(logits: Tensor, truth: Tensor) -> Tensor:
    """One minus the soft Dice of the nucleus' probability, over the batch as a whole.

    Milletari et al., V-Net, 3DV 2016, with plain sums in the denominator.
    """
    probability = logits.softmax(1)[:, 1]
    overlap = (probability * truth).sum()
    return 1 - (2 * overlap + 1) / (probability.sum() + truth.sum() + 1)


def released_dice(logits: Tensor, truth: Tensor) -> Tensor:
    """The Dice term as the published code computes it: -1 at a perfect match.

    Notes
    -----
    It divides twice the overlap by the *union*, so the ratio reaches 2 and the loss 1 - 2.
    """
    probability = torch.sigmoid(logits)[:, 1]
    overlap = (probability * truth).sum()
    union = probability.sum() + truth.sum() - overlap
    return 1 - (2 * overlap + 1e-6) / (union + 1e-6)


def distance_error(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error of the normalised distance, (B, 1, H, W) against (B, H, W)."""
    return F.mse_loss(prediction[:, 0], truth)


def token_error(prediction: Tensor, truth: Tensor) -> Tensor:
    """Error of predicted tokens, (B, 256, h, w) both, standardised channel by channel.

    One minus the cosine, plus half the mean squared error.
    """
    cosine = F.cosine_similarity(prediction, truth, dim=1).mean()
    return 1 - cosine + 0.5 * F.mse_loss(prediction, truth)


def standardised(tokens: Tensor) -> Tensor:
    """Bring each channel of tokens, (B, 256, h, w), to mean 0 and variance 1 over the batch."""
    mean = tokens.mean((0, 2, 3), keepdim=True)
    return (tokens - mean) / (tokens.std((0, 2, 3), keepdim=True) + 1e-6)


def terms(
    outputs: dict[str, Tensor], batch: dict[str, Tensor], tokens: Tensor | None, weights: "Losses"
) -> dict[str, Tensor]:
    """Compute the terms that have a weight.

    Parameters
    ----------
    outputs : dict
        A network's logits by head; in mode ``distil`` also the ``tokens`` it predicts.
    batch : dict
        ``nuclei`` and ``distance``, (B, H, W).
    tokens : Tensor or None
        (B, 256, h, w) of the guide.
    weights : Losses
        Of the recipe.

    Returns
    -------
    dict of Tensor
        Each term by its name in ``Losses``, not yet weighted.
    """
    truth = batch["nuclei"]
    classes = {
        "cross_entropy": cross_entropy,
        "focal": focal,
        "dice": dice,
        "released_dice": released_dice,
    }
    found = {
        name: loss(outputs["nuclei"], truth)
        for name, loss in classes.items()
        if getattr(weights, name)
    }
    if "distance" in outputs and weights.distance:
        found["distance"] = distance_error(outputs["distance"], batch["distance"])
    if "tokens" in outputs and tokens is not None and weights.tokens:
        predicted = F.interpolate(outputs["tokens"], size=tokens.shape[-2:], mode="bilinear")
        found["tokens"] = token_error(predicted, standardised(tokens))
    return found

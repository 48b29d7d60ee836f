"""Losses; each is 0 at a perfect match, but for ``released_dice``, which says what it is.

Those of the head ``nuclei`` take (B, 2, H, W) float logits, background and nucleus, and the truth,
(B, H, W) int64 in {0, 1}. All return a scalar.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from nuguide.errors import RecipeError

if TYPE_CHECKING:
    from nuguide.training.recipe_parts import Losses


def cross_entropy(logits: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of the softmax of both channels, mean over pixels.

    ``weight``, (B, H, W), is that of each pixel: Ronneberger et al., U-Net, MICCAI 2015, eq. 1.
    """
    if weight is None:
        return F.cross_entropy(logits, truth)
    return (weight * F.cross_entropy(logits, truth, reduction="none")).mean()


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


def iou(logits: Tensor, truth: Tensor) -> Tensor:
    """One minus the soft Jaccard index of the nucleus' probability, over the batch as a whole.

    The third term of U-Net3+ (Huang et al., ICASSP 2020, after Mattyus et al., DeepRoadMapper,
    ICCV 2017).
    """
    probability = logits.softmax(1)[:, 1]
    overlap = (probability * truth).sum()
    return 1 - (overlap + 1) / (probability.sum() + truth.sum() - overlap + 1)


_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW, _SIGMA = 11, 1.5
_LEAST_CONTRAST = 1e-4  # opposite structure is negative, of which there is no root


def ms_ssim(logits: Tensor, truth: Tensor) -> Tensor:
    """One minus the multi-scale structural similarity of probability and truth, mean over images.

    Wang, Simoncelli and Bovik, Asilomar Conference, 2003, eq. 7, with their five weights, a
    Gaussian window of 11 px (sigma 1.5), K 0.01 and 0.03; the second term of U-Net3+ (Huang et al.,
    ICASSP 2020, eq. 3).

    Notes
    -----
    An image too small for the window at all five scales has as many scales as fit, their weights
    brought to the same sum. A scale's mean of contrast and structure counts as 1e-4 at least, so
    that the gradient stays finite; where structure is opposite there is none, so take this loss
    beside one of single pixels, as the paper does.
    """
    probability, wanted = logits.softmax(1)[:, 1:], truth[:, None].to(logits.dtype)
    side = min(truth.shape[-2:])
    count = sum(side >> scale >= _WINDOW for scale in range(len(_SCALE_WEIGHTS)))
    if not count:
        raise ValueError(f"ms_ssim of {side} px; expected {_WINDOW} px or more")
    weights = [weight / sum(_SCALE_WEIGHTS[:count]) for weight in _SCALE_WEIGHTS[:count]]
    similarity = torch.ones((), dtype=logits.dtype, device=logits.device)
    for scale, weight in enumerate(weights):
        if scale:
            probability, wanted = F.avg_pool2d(probability, 2), F.avg_pool2d(wanted, 2)
        luminance, contrast = _similarity(probability, wanted)
        whole = luminance * contrast if scale == count - 1 else contrast
        similarity = similarity * whole.mean((1, 2, 3)).clamp(min=_LEAST_CONTRAST) ** weight
    return 1 - similarity.mean()


def _similarity(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return luminance's and contrast and structure's similarity, (B, 1, H - 10, W - 10) each."""
    at = torch.arange(_WINDOW, dtype=one.dtype, device=one.device) - _WINDOW // 2
    window = torch.softmax(-(at**2) / (2 * _SIGMA**2), dim=0)

    def smooth(x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x, window[None, None, :, None]), window[None, None, None, :])

    mean, mean_other = smooth(one), smooth(other)
    variances = smooth(one**2) - mean**2 + smooth(other**2) - mean_other**2
    covariance = smooth(one * other) - mean * mean_other
    luminance = (2 * mean * mean_other + 0.01**2) / (mean**2 + mean_other**2 + 0.01**2)
    return luminance, (2 * covariance + 0.03**2) / (variances + 0.03**2)


def distance_error(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error of the normalised distance, (B, 1, H, W) against (B, H, W)."""
    return F.mse_loss(prediction[:, 0], truth)


def offset_error(prediction: Tensor, truth: Tensor, nuclei: Tensor) -> Tensor:
    """Error of the offsets to the nucleus' centre and of how they change, (B, 2, H, W) both.

    Mean squared error over all pixels, plus that of the vertical offset's vertical and the
    horizontal one's horizontal derivative inside nuclei, (B, H, W) in {0, 1}: Graham et al.,
    HoVer-Net, Medical Image Analysis 58, 2019; equal weights, as its released code has them.

    Notes
    -----
    The derivative is that code's: the sum of 5 x 5 px around, each divided by its place's squared
    length. On even ground that is 12 times the slope, so that both terms weigh about alike.
    """
    error = prediction - truth
    at = torch.arange(-2, 3, dtype=error.dtype, device=error.device)
    down, along = torch.meshgrid(at, at, indexing="ij")
    length = (down**2 + along**2).clamp(min=1)
    kernels = torch.stack([down / length, along / length])[:, None]
    # The derivative of the error is the error of the derivative.
    steep = F.conv2d(F.pad(error, (2, 2, 2, 2), mode="replicate"), kernels, groups=2)
    inside = nuclei[:, None].to(error.dtype)
    return (error**2).mean() + (steep**2 * inside).sum() / (2 * inside.sum() + 1)


def type_error(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of types, (B, K, H, W) against (B, H, W): 1 .. K; 0, no type, does not count.

    0 if no pixel has a type.
    """
    total = F.cross_entropy(logits, truth - 1, ignore_index=-1, reduction="sum")
    return total / (truth > 0).sum().clamp(min=1)


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
        A network's logits by head; with deep supervision also ``<head>_2`` and so on, (B, channels,
        H, W) each, and with the classification-guided module ``classification``, (B, 2); in mode
        ``distil`` the ``tokens`` it predicts.
    batch : dict
        ``nuclei`` (B, H, W), and as outputs and weights need them ``distance`` (B, H, W),
        ``offsets`` (B, 2, H, W) and ``closeness`` (B, H, W), see ``nuguide.training.targets``,
        and ``types`` (B, H, W). Where ``ignore``, (B, H, W) bool, is given and true, nothing is
        learned.
    tokens : Tensor or None
        (B, 256, h, w) of the guide.
    weights : Losses
        Of the recipe.

    Returns
    -------
    dict of Tensor
        Each term by its name in ``Losses``, not yet weighted.

    Raises
    ------
    RecipeError
        If a classification would have no loss.

    Notes
    -----
    Under deep supervision each term is its sum over all scales, and the cross-entropy (or focal
    loss) of the classification is added to that of the pixels: U-Net3+ (Huang et al., ICASSP 2020,
    sections 2.2 and 2.3) has one loss for all stages, and gives none of them a weight of its own.
    """
    if "ignore" in batch:
        outputs, batch = _without_ignored(outputs, batch)
    parts = [_of_scale(scale, batch, weights) for scale in _scales(outputs)]
    if "classification" in outputs:
        parts.append(_of_image(outputs["classification"], batch["nuclei"], weights))
    found: dict[str, Tensor] = {}
    for part in parts:
        for name, value in part.items():
            found[name] = found[name] + value if name in found else value
    if "tokens" in outputs and tokens is not None and weights.tokens:
        predicted = F.interpolate(outputs["tokens"], size=tokens.shape[-2:], mode="bilinear")
        found["tokens"] = token_error(predicted, standardised(tokens))
    return found


_SURE = 30.0
"""A logit of whose softmax or sigmoid float32 tells no more than that it is certain."""


def _without_ignored(
    outputs: dict[str, Tensor], batch: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Say the same in outputs and truth where the annotation is ambiguous: certain background.

    So a pixel there has neither a loss nor a gradient, and means, which are over all pixels, weigh
    every other pixel as before. A crop is no example of tissue without nuclei if it may hide some.

    Notes
    -----
    Within 2 px of an ambiguous area the slopes of ``offset_error`` see its edge.
    """
    ignore = batch["ignore"][:, None]
    truth = {
        name: values.masked_fill(ignore if values.dim() == 4 else ignore[:, 0], 0)
        for name, values in batch.items()
        if name in ("nuclei", "types", "distance", "offsets", "closeness")
    }
    said = {}
    for name, values in outputs.items():
        head = name.partition("_")[0]
        if head == "nuclei":
            certain = values.new_tensor([_SURE, -_SURE])[:, None, None]
            said[name] = torch.where(ignore, certain, values)
        elif head == "classification":
            hidden = ignore.flatten(1).any(1) & ~truth["nuclei"].flatten(1).any(1)
            certain = values.new_tensor([_SURE, -_SURE])
            said[name] = torch.where(hidden[:, None], certain, values)
        else:
            said[name] = values if head == "tokens" else values.masked_fill(ignore, 0)
    return said, batch | truth


def _scales(outputs: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Sort outputs by scale, each by head: those without a number, then ``_2`` and so on."""
    scales: dict[str, dict[str, Tensor]] = {"": {}}
    for key, logits in outputs.items():
        head, _, level = key.partition("_")
        scales.setdefault(level, {})[head] = logits
    return list(scales.values())


def _of_scale(
    outputs: dict[str, Tensor], batch: dict[str, Tensor], weights: "Losses"
) -> dict[str, Tensor]:
    """Compute the terms of the heads at one scale."""
    truth = batch["nuclei"]
    heavier = 1 + weights.boundary * batch["closeness"] if weights.boundary else None
    classes: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "cross_entropy": partial(cross_entropy, weight=heavier),
        "focal": focal,
        "dice": dice,
        "released_dice": released_dice,
        "iou": iou,
        "ms_ssim": ms_ssim,
    }
    found = {
        name: loss(outputs["nuclei"], truth)
        for name, loss in classes.items()
        if getattr(weights, name)
    }
    if "distance" in outputs and weights.distance:
        found["distance"] = distance_error(outputs["distance"], batch["distance"])
    if "offsets" in outputs and weights.offsets:
        found["offsets"] = offset_error(outputs["offsets"], batch["offsets"], truth)
    if "types" in outputs and weights.types:
        found["types"] = type_error(outputs["types"], batch["types"])
    return found


def _of_image(logits: Tensor, truth: Tensor, weights: "Losses") -> dict[str, Tensor]:
    """Compute the terms of a classification, (B, 2): does the crop hold any nucleus?

    The softmax of two logits has its even chance where their argmax, the gate, turns.
    """
    some = truth.flatten(1).amax(1)[:, None, None]
    kinds: dict[str, Callable[[Tensor, Tensor], Tensor]]
    kinds = {"cross_entropy": cross_entropy, "focal": focal}
    found = {
        name: loss(logits[..., None, None], some)
        for name, loss in kinds.items()
        if getattr(weights, name)
    }
    if not found:
        raise RecipeError(
            "classification_guided has no loss: cross_entropy and focal are 0; expected a weight "
            "of one, or the gate stays as it was drawn; set losses.cross_entropy"
        )
    return found

"""Random views of annotated tissue, a whole batch at once on the device.

The same views as ``nuguide.training.augmentation`` draws crop by crop with OpenCV, for a device
that takes hundreds of crops a second and a machine that has no OpenCV: geometry, stain, brightness,
blur, noise and JPEG, by the same recipe and the same stains. One difference: the distance is
sampled from a map of the whole image, so a nucleus that the crop's edge cuts keeps the distances of
the whole one.
"""

import math
from collections.abc import Collection
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nuguide.guides.student import TOKEN_PX
from nuguide.training.gpu.jpeg import compressed
from nuguide.training.gpu.offsets import centre_offsets
from nuguide.training.gpu.tissue import Tissue
from nuguide.training.stain_vectors import OTHER_STAINS, unit_stains

if TYPE_CHECKING:
    from nuguide.training.recipe_parts import Augmentation

_BLUR_REACH = 6
"""Of the kernel, px: four times the widest blur."""

_QUALITY = range(30, 95)
"""Of JPEG, as ``nuguide.training.augmentation`` draws it."""

_COPIES = 9
"""Mirror images told apart along an axis, the image itself and four on either side.

An image may be several times smaller than a crop; those farther out are taken for the last.
"""


class Draws:
    """Random numbers of one seed on one device, (count, ...) float32."""

    def __init__(self, seed: int, device: torch.device):
        self.device = device
        self.generator = Generator(device).manual_seed(seed)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Draw between ``low`` and ``high``."""
        unit = torch.rand(shape, generator=self.generator, device=self.device)
        return low + (high - low) * unit

    def normal(self, deviation: float, *shape: int) -> Tensor:
        """Draw around 0."""
        return torch.randn(shape, generator=self.generator, device=self.device) * deviation

    def below(self, high: int, *shape: int) -> Tensor:
        """Draw int64 from 0 to ``high - 1``."""
        return torch.randint(high, shape, generator=self.generator, device=self.device)


def crop_positions(
    sizes: Tensor, step: float, size: int, chosen: "Augmentation", draws: Draws
) -> Tensor:
    """Draw where each pixel of each crop lies in the plane of its image.

    Parameters
    ----------
    sizes : Tensor
        (B, 2) height and width of the crops' images, px.
    step : float
        Px of the image between two pixels of a crop that is not zoomed.
    size : int
        Side of a crop, px.
    chosen : Augmentation
        Of the recipe.
    draws : Draws
        Where chance comes from.

    Returns
    -------
    Tensor
        (B, 2 size, 2 size, 2): (y, x) in px of the image, at half the crop's pixels, so that
        colours can be averaged over each; some lie beyond the image, see ``mirrored``.
    """
    count, fine = len(sizes), 2 * size
    low, high = (math.log(end) for end in chosen.scale)
    steps = step / draws.uniform(low, high, count, 1, 1).exp() / 2
    angle = draws.uniform(0, 2 * math.pi, count, 1, 1)
    if not chosen.rotate:
        angle = draws.below(4, count, 1, 1) * (math.pi / 2)
    mirror = draws.below(2, count, 1, 1) * 2 - 1
    if chosen.upright:
        angle, mirror = torch.zeros_like(angle), torch.ones_like(mirror)
    along = torch.arange(fine, device=draws.device) - size + 0.5
    y = (along[:, None] * steps).expand(count, fine, fine)
    x = (along[None, :] * steps * mirror).expand(count, fine, fine)
    if chosen.elastic_px:
        coarse = draws.normal(chosen.elastic_px * 2, count, 2, fine // 48 + 3, fine // 48 + 3)
        smooth = F.interpolate(coarse, size=(fine, fine), mode="bicubic") * steps[:, None]
        y, x = y + smooth[:, 0], x + smooth[:, 1]
    sine, cosine = angle.sin(), angle.cos()
    reach = torch.minimum(size * steps.view(-1, 1), sizes / 2)
    centre = reach + (sizes - 2 * reach) * draws.uniform(0, 1, count, 2) - 0.5
    turned = torch.stack([cosine * y - sine * x, sine * y + cosine * x], dim=-1)
    return turned + centre[:, None, None]


def mirrored(positions: Tensor, sizes: Tensor) -> Tensor:
    """Fold (B, h, w, 2) into 0 .. size - 1, at the centres of the first and last pixel.

    Parameters
    ----------
    positions : Tensor
        As ``crop_positions`` gives them.
    sizes : Tensor
        (B, 2) height and width of the images, px.
    """
    sizes = sizes[:, None, None]
    last = (sizes - 1).clamp(min=1)
    folded = positions.abs() % (2 * last)
    return torch.minimum(torch.minimum(folded, 2 * last - folded), sizes - 1)


def mirror_image(positions: Tensor, sizes: Tensor) -> Tensor:
    """Count the mirror images to those in which (B, h, w, 2) lie, (B, h, w, 2) int64 (y, x).

    0 is the image itself, -1 the one before it and 1 the one beyond.
    """
    last = (sizes - 1).clamp(min=1)[:, None, None]
    most = _COPIES // 2
    return (positions / last).floor().long().clamp(-most, most)


def sampled(maps: Tensor, coordinates: Tensor, mode: str = "bilinear") -> Tensor:
    """Read (B, C, H, W) at (B, h, w, 2), px (y, x): (B, C, h, w) float32."""
    height, width = maps.shape[-2:]
    y, x = (
        (coordinates[..., axis] + 0.5) * (2 / side) - 1 for axis, side in ((0, height), (1, width))
    )
    return F.grid_sample(
        maps.float(),
        torch.stack([x, y], dim=-1),
        mode=mode,
        padding_mode="border",
        align_corners=False,
    )


def draw_batch(
    tissue: Tissue,
    mpp: float,
    count: int,
    size: int,
    chosen: "Augmentation",
    heads: Collection[str],
    draws: Draws,
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Draw augmented crops at ``mpp`` um/px with their targets.

    Returns
    -------
    batch : dict of Tensor
        ``image`` (B, 3, n, n) float32 in 0..1, ``nuclei`` (B, n, n) int64; for the heads that are
        named, ``distance`` (B, n, n) float32 in 0..1 and ``offsets`` (B, 2, n, n) float32 in -1..1;
        where any tissue has ambiguous areas, ``ignore`` (B, n, n) bool.
    which : Tensor
        (B,) number of each crop's image.
    coordinates : Tensor
        (B, 2 n, 2 n, 2), of half the crops' pixels: (y, x) in px of the image.
    """
    which = tissue.drawn[draws.below(len(tissue.drawn), count)]
    sizes = tissue.sizes[which]
    positions = crop_positions(sizes, mpp / tissue.mpp, size, chosen, draws)
    coordinates = mirrored(positions, sizes)
    image = F.avg_pool2d(sampled(tissue.images[which], coordinates), 2)
    image = disturbed(stained(image, chosen, draws), chosen, draws)
    centres = pooled(coordinates, 2)
    labels = sampled(tissue.labels[which], centres, "nearest")[:, 0].long()
    batch = {"image": image.clamp(0, 255) / 255, "nuclei": (labels > 0).long()}
    if tissue.ignore is not None:
        batch["ignore"] = sampled(tissue.ignore[which], centres, "nearest")[:, 0] > 0
    if "distance" in heads and tissue.distance is not None:
        depth = sampled(tissue.distance[which], centres)[:, 0] / 255
        batch["distance"] = depth * batch["nuclei"]
    if "offsets" in heads:
        copies = mirror_image(pooled(positions, 2), sizes)
        batch["offsets"] = centre_offsets(
            _apart(labels, copies, tissue, which), _COPIES**2 * tissue.most
        )
    return batch, which, coordinates


def _apart(labels: Tensor, copies: Tensor, tissue: Tissue, which: Tensor) -> Tensor:
    """Number a nucleus, (B, h, w), and its mirror images, by their (B, h, w, 2), apart.

    One that the image's edge cuts is seen whole with its mirror image beyond that edge: both are
    one.
    """
    at = labels.flatten(1)[..., None].expand(-1, -1, 4)
    before, beyond = tissue.cut[which].gather(1, at).view(*labels.shape, 2, 2).unbind(-1)
    # Mirror images -1 and 0, 1 and 2 meet at the edge before; 0 and 1, 2 and 3 at that beyond.
    pair = torch.where(before & beyond, 0, (copies + before).div(2, rounding_mode="floor"))
    own = torch.where(before | beyond, pair, copies) % _COPIES
    numbers = labels + tissue.most * (_COPIES * own[..., 0] + own[..., 1])
    return numbers * (labels > 0)


def pooled(coordinates: Tensor, factor: int) -> Tensor:
    """Average (B, h, w, 2) over squares of ``factor``."""
    return F.avg_pool2d(coordinates.movedim(-1, 1), factor).movedim(1, -1)


def crop_tokens(
    tokens: Tensor, token_um: float, which: Tensor, coordinates: Tensor, mpp: float
) -> Tensor:
    """Read the tokens of crops, (B, 256, n / 4, n / 4), from those of whole images.

    Parameters
    ----------
    tokens : Tensor
        (N, 256, h, w), of all images.
    token_um : float
        Side of a token, um.
    which, coordinates : Tensor
        As ``draw_batch`` gives them.
    mpp : float
        um/px of the images.
    """
    centres = pooled(coordinates, 2 * TOKEN_PX)
    return sampled(tokens[which], (centres + 0.5) * (mpp / token_um) - 0.5)


def stained(image: Tensor, chosen: "Augmentation", draws: Draws) -> Tensor:
    """Change stains of (B, 3, n, n) in 0..255 as laboratories do."""
    if not chosen.stain:
        return image
    count = len(image)
    unmixing, inverse, others = _stains(image.device)
    density = -torch.log((image.clamp(0, 255) + 1) / 256)
    amounts = torch.einsum("bcyx,cs->bsyx", density, inverse)
    other = draws.uniform(0, 1, count, 1) < chosen.other_stain
    second = torch.where(other, others[draws.below(len(others), count)], unmixing[1])
    mixing = torch.stack([unmixing[0].expand(count, 3), second], dim=1)
    mixing = (mixing + draws.normal(0.06 * chosen.stain, count, 2, 3)).clamp(min=0)
    mixing = F.normalize(torch.cat([mixing, unmixing[2].expand(count, 1, 3)], dim=1), dim=2)
    changed = amounts[:, 1].clamp(min=0) * draws.normal(0.5, count, 1, 1).exp()
    amounts = torch.stack(
        [amounts[:, 0], torch.where(other[..., None], changed, amounts[:, 1]), amounts[:, 2]], dim=1
    )
    amounts = amounts * draws.normal(0.25 * chosen.stain, count, 3, 1, 1).exp()
    amounts = amounts + draws.normal(0.03 * chosen.stain, count, 3, 1, 1)
    return (256 * torch.exp(-torch.einsum("bsyx,bsc->bcyx", amounts, mixing)) - 1).clamp(0, 255)


@cache
def _stains(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return unmixing matrix, inverse and other stains; to move them is to wait for the device."""
    unmixing = unit_stains()
    others = np.stack(list(OTHER_STAINS.values()))
    made = [
        torch.tensor(x, dtype=torch.float32).to(device)
        for x in (unmixing, np.linalg.inv(unmixing), others)
    ]
    return made[0], made[1], made[2]


def disturbed(image: Tensor, chosen: "Augmentation", draws: Draws) -> Tensor:
    """Grey, brightness, contrast, blur, noise and JPEG of (B, 3, n, n) in 0..255."""
    count = len(image)

    def by_chance(probability: float) -> Tensor:
        return draws.uniform(0, 1, count, 1, 1, 1) < probability

    red, green, blue = (image[:, channel : channel + 1] for channel in range(3))
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    image = torch.where(by_chance(chosen.grey), grey, image)
    mean = image.mean((1, 2, 3), keepdim=True)
    contrast = draws.uniform(0.8, 1.2, count, 1, 1, 1)
    image = (image - mean) * contrast + mean + draws.uniform(-20, 20, count, 1, 1, 1)
    if chosen.blur:
        sigma = draws.uniform(0.4, 1.5, count, 1, 1, 1)
        image = blurred(image, torch.where(by_chance(chosen.blur), sigma, 0.0))
    noise = draws.uniform(2, 12, count, 1, 1, 1) * by_chance(chosen.noise)
    image = image + draws.normal(1, *image.shape) * noise
    if chosen.jpeg:
        quality = draws.below(_QUALITY.stop - _QUALITY.start, count) + _QUALITY.start
        packed = compressed(image.clamp(0, 255), quality)
        image = torch.where(by_chance(chosen.jpeg), packed, image)
    return image


def blurred(image: Tensor, sigma: Tensor) -> Tensor:
    """Blur each of (B, C, H, W) by its own Gaussian, (B, 1, 1, 1) px; 0 leaves it as it is."""
    count, channels, height, width = image.shape
    at = torch.arange(-_BLUR_REACH, _BLUR_REACH + 1, device=image.device)
    kernel = torch.exp(-(at**2) / (2 * sigma.view(-1, 1).clamp(min=1e-3) ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    flat = image.reshape(1, -1, height, width)
    groups, reach = count * channels, _BLUR_REACH
    flat = F.pad(flat, (reach, reach, reach, reach), mode="reflect")
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=groups)
    return F.conv2d(flat, kernel[:, None, None, :], groups=groups).view_as(image)

"""U-Net3+ as published: full-scale skips, deep supervision, classification-guided module.

Huang et al., "UNet 3+: A Full-Scale Connected UNet for Medical Image Segmentation", ICASSP 2020.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nuguide.networks.blocks import initialise, pad_to_multiple
from nuguide.networks.full_scale_decoder import FullScaleDecoder
from nuguide.networks.heads import Heads
from nuguide.networks.registry import register_network
from nuguide.networks.unet import LEVELS, STRIDE, UNetEncoder, level_widths

_CERTAIN_LOGIT = 30.0  # a sigmoid of it is 1 to float32's last bit, and it stays finite in half


class ClassificationGuidedModule(nn.Module):
    """Says whether an image holds any nucleus, (B, C, h, w) -> (B, 2) logits (none, some).

    Dropout, Conv1x1 to two channels, global max-pooling (section 2.3 of the paper); trained by
    cross-entropy against whether the crop holds any nucleus (``nuguide.training.losses.terms``).
    """

    def __init__(self, in_channels: int):
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.convolution = nn.Conv2d(in_channels, 2, 1)

    def forward(self, bottleneck: Tensor) -> Tensor:
        """Classify the image by its bottleneck."""
        return F.adaptive_max_pool2d(self.convolution(self.dropout(bottleneck)), 1).flatten(1)


def silence_empty(logits: dict[str, Tensor], classification: Tensor) -> dict[str, Tensor]:
    """Replace the heads of images that the classification calls empty.

    Parameters
    ----------
    logits : dict of str to Tensor
        Heads' logits, (B, channels, H, W).
    classification : Tensor
        (B, 2) logits: no nucleus, some nucleus; its argmax is the gate.

    Returns
    -------
    dict of str to Tensor
        Where the gate is 0: ``nuclei`` is background for certain, all others are 0.

    Notes
    -----
    The paper multiplies the one foreground probability by the gate; with background and nucleus
    as two sigmoids the same statement is nucleus 0 and background 1.
    """
    empty = (classification.argmax(dim=1) == 0)[:, None, None, None]
    return {
        name: torch.where(empty, _background(x) if name == "nuclei" else torch.zeros_like(x), x)
        for name, x in logits.items()
    }


def _background(nuclei: Tensor) -> Tensor:
    """Return the logits of certain background, (2, 1, 1), made where ``nuclei`` lie."""
    # Not copied there: a copy from the CPU would wait for the GPU, and no graph can hold it.
    certain = nuclei.new_full((1, 1, 1), _CERTAIN_LOGIT)
    return torch.cat([certain, -certain])


@register_network("unet3plus")
class UNet3Plus(nn.Module):
    """U-Net3+ without a guide.

    Parameters
    ----------
    width : int
        Channels of the finest level, c, and of every decoder branch; the encoder has
        c * (1, 2, 4, 8, 16). The paper's is 64.
    heads : sequence of str
        Names of ``nuguide.networks.heads``.
    n_types : int
        Types of nuclei that the head ``types`` tells apart; 0 without it.
    deep_supervision : bool
        In training mode every coarser decoder map and the bottleneck get heads of their own, with
        the same losses as the finest.
    classification_guided : bool
        Adds ``ClassificationGuidedModule``. It pools over all it is given: such a network runs
        tile by tile.

    Attributes
    ----------
    reads_tokens, tile_px, grid_px : bool, int or None, int
        As in ``nuguide.networks.eunet3plus``.
    """

    def __init__(
        self,
        width: int = 32,
        heads: Sequence[str] = ("nuclei",),
        deep_supervision: bool = False,
        classification_guided: bool = False,
        n_types: int = 0,
    ):
        super().__init__()
        widths = level_widths(width)
        self.encoder = UNetEncoder(widths)
        self.decoder = FullScaleDecoder(widths, width)
        self.heads = Heads(self.decoder.out_channels, heads, n_types)
        coarser = [*[self.decoder.out_channels] * (LEVELS - 2), widths[-1]]
        self.side_heads = nn.ModuleList(
            Heads(channels, heads, n_types) for channels in coarser if deep_supervision
        )
        self.classifier = ClassificationGuidedModule(widths[-1]) if classification_guided else None
        self.reads_tokens, self.grid_px = False, STRIDE
        self.tile_px = 256 if classification_guided else None
        initialise(self)

    def forward(self, image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
        """Predict the heads' logits.

        Parameters
        ----------
        image : Tensor
            (B, 3, H, W) float, 0..1; any H and W.
        tokens : Tensor, optional
            Taken for the contract's sake and not read: this network has no guide.

        Returns
        -------
        dict of str to Tensor
            Each head's logits, (B, channels, H, W). With deep supervision, in training mode, also
            ``<head>_2`` .. ``<head>_5``, those of levels 2 to 5 enlarged to (H, W). With the
            classification-guided module also ``classification``, (B, 2) logits (no nucleus,
            some), which in evaluation mode silences the heads of an image it calls empty.
        """
        height, width = image.shape[-2:]
        maps = self.decoder(self.encoder(pad_to_multiple(image, STRIDE)))
        logits = self.heads(maps[0])
        if self.training:
            logits |= self._side_logits(maps)
        logits = {name: x[..., :height, :width] for name, x in logits.items()}
        if self.classifier is None:
            return logits
        classification = self.classifier(maps[-1])
        if not self.training:
            logits = silence_empty(logits, classification)
        return logits | {"classification": classification}

    def _side_logits(self, maps: list[Tensor]) -> dict[str, Tensor]:
        """Return the deep supervision's logits at the padded image's size."""
        enlarged: dict[str, Tensor] = {}
        for level, heads in enumerate(self.side_heads, start=2):
            for name, x in heads(maps[level - 1]).items():
                enlarged[f"{name}_{level}"] = F.interpolate(
                    x, scale_factor=float(2 ** (level - 1)), mode="bilinear", align_corners=False
                )
        return enlarged

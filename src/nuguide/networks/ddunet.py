"""DDU-Net: one encoder, two decoders, for the nuclei and for their distance maps.

Mahbod et al., "A dual decoder U-Net-based model for nuclei instance segmentation in hematoxylin
and eosin-stained histological images", Frontiers in Medicine 9, 2022, 10.3389/fmed.2022.978146.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from nuguide.networks.blocks import initialise, pad_to_multiple
from nuguide.networks.heads import Heads
from nuguide.networks.registry import register_network
from nuguide.networks.unet import STRIDE, UNetDecoder, UNetEncoder, Upsampling, level_widths


@register_network("ddunet")
class DualDecoderUNet(nn.Module):
    """A U-Net's encoder with a decoder of its own for each head.

    Parameters
    ----------
    width : int
        Channels of the finest level, c; the levels have c * (1, 2, 4, 8, 16).
    heads : sequence of str
        Names of ``nuguide.networks.heads``; the published network has both.
    n_types : int
        Types of nuclei that the head ``types`` tells apart; 0 without it.
    upsampling : str
        A value of ``nuguide.networks.unet.Upsampling``.

    Attributes
    ----------
    reads_tokens, tile_px, grid_px : bool, None, int
        As in ``nuguide.networks.eunet3plus``: no guide, regions of any size on a grid of 16 px.

    Notes
    -----
    Both decoders read the same encoder maps and share nothing else. The watershed that joins the
    two maps belongs to the decoding, not to the network. As in every network here, the distance is
    normalised to each nucleus' own largest.
    """

    def __init__(
        self,
        width: int = 32,
        heads: Sequence[str] = ("nuclei", "distance"),
        upsampling: str = Upsampling.TRANSPOSED,
        n_types: int = 0,
    ):
        super().__init__()
        widths = level_widths(width)
        self.encoder = UNetEncoder(widths)
        self.heads = Heads(widths[0], heads, n_types)
        self.decoders = nn.ModuleDict(
            {name: UNetDecoder(widths, Upsampling(upsampling)) for name in heads}
        )
        self.reads_tokens, self.tile_px, self.grid_px = False, None, STRIDE
        initialise(self)

    def forward(self, image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
        """Predict the heads' logits, each from its own decoder.

        Parameters
        ----------
        image : Tensor
            (B, 3, H, W) float, 0..1; any H and W.
        tokens : Tensor, optional
            Taken for the contract's sake and not read: this network has no guide.

        Returns
        -------
        dict of str to Tensor
            Each head's logits, (B, channels, H, W).
        """
        height, width = image.shape[-2:]
        encoded = self.encoder(pad_to_multiple(image, STRIDE))
        return {
            name: self.heads[name](decoder(encoded))[..., :height, :width]
            for name, decoder in self.decoders.items()
        }

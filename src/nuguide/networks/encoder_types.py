"""A head of types that reads the encoder: what a nucleus is like, and what lies around it."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

_FINEST = 2
"""Level of the finest map that is read; stride 2."""

_LEVEL = 3
"""Level at whose stride, 4, types are told; at 0.5 um/px a nucleus of 6 um is three of it wide."""


class EncoderTypes(nn.Module):
    """Logits of types from the encoder's maps at strides 2 to 16, told at stride 4.

    Every map is brought to ``hidden`` channels by a Conv1x1 and to stride 4 (averaged, or enlarged
    bilinearly); their sum goes through two Conv3x3 with ReLU and a Conv1x1, and is enlarged to the
    image.

    Parameters
    ----------
    widths : sequence of int
        Channels of the encoder's maps, finest first.
    n_types : int
        Types.
    hidden : int
        Channels in between.

    Notes
    -----
    The decoder's last map, which the other heads read, was made to tell nuclei from their
    surroundings; trained on that map as it is (the network frozen), a head tells types less well
    (docs/results.md). Not of the published method.
    """

    def __init__(self, widths: Sequence[int], n_types: int, hidden: int = 64):
        super().__init__()
        self.take = nn.ModuleList(nn.Conv2d(width, hidden, 1) for width in widths[_FINEST - 1 :])
        self.tell = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, n_types, 1),
        )

    def forward(self, encoded: Sequence[Tensor]) -> Tensor:
        """Return (B, n_types, H, W) of the encoder's maps, (B, C_l, H / 2**l, W / 2**l)."""
        maps = zip(self.take, encoded[_FINEST - 1 :], strict=True)
        made = [_at_level(take(x), level) for level, (take, x) in enumerate(maps, _FINEST)]
        logits: Tensor = self.tell(sum(made[1:], made[0]))
        return F.interpolate(logits, scale_factor=2 ** (_LEVEL - 1), mode="bilinear")


def _at_level(x: Tensor, level: int) -> Tensor:
    """Bring a map of a level to the one at which types are told."""
    if level < _LEVEL:
        return F.avg_pool2d(x, 2 ** (_LEVEL - level))
    if level > _LEVEL:
        return F.interpolate(x, scale_factor=2 ** (level - _LEVEL), mode="bilinear")
    return x

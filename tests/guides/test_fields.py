from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nuguide.errors import GuideError
from nuguide.guides.base import Embedding
from nuguide.guides.fields import encode_extent


@dataclass
class MeanColour:
    """Tokens that say the mean of the red channel under them, times one."""

    field_um: float | None = 16.0
    token_um: float = 4.0
    name: str = "mean-colour"
    sha256: str = "0" * 64
    passes: int = 0

    def encode(self, rgb: NDArray[np.uint8], mpp: float) -> Embedding:
        self.passes += 1
        patch = round(self.token_um / mpp)
        red = torch.from_numpy(rgb[..., 0].astype(np.float32))[:, None]
        means = torch.nn.functional.avg_pool2d(red, patch, ceil_mode=True)
        return Embedding(means.repeat(1, 256, 1, 1), self.token_um, self.name, self.sha256)


def ramp(height: int, width: int) -> NDArray[np.uint8]:
    y, x = np.indices((height, width))
    return np.stack([(y + 2 * x) % 200] * 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("size", [(64, 64), (32, 96), (33, 50), (7, 3), (1, 1), (128, 40)])
def test_extent_is_covered_exactly(size: tuple[int, int]) -> None:
    embedding = encode_extent(MeanColour(), ramp(*size), 0.5)
    assert embedding.values.shape == (1, 256, -(-size[0] // 8), -(-size[1] // 8))
    assert embedding.token_um == 4.0


def test_tokens_lie_over_their_own_tissue() -> None:
    rgb = ramp(64, 96)
    joined = encode_extent(MeanColour(), rgb, 0.5).values
    whole = MeanColour().encode(rgb[None], 0.5).values
    torch.testing.assert_close(joined, whole)


def test_batch_of_fields_changes_nothing_but_the_passes() -> None:
    one, many = MeanColour(), MeanColour()
    rgb = ramp(70, 96)
    a, b = encode_extent(one, rgb, 0.5), encode_extent(many, rgb, 0.5, batch=4)
    torch.testing.assert_close(a.values, b.values)
    assert (one.passes, many.passes) == (9, 3)


def test_border_fields_see_the_mirror_image() -> None:
    rgb = np.full((5, 5, 3), 90, dtype=np.uint8)
    assert (encode_extent(MeanColour(), rgb, 0.5).values == 90).all()


@pytest.mark.parametrize("mpp", [0.263, 0.2465, 0.7])
def test_fields_of_no_whole_number_of_pixels_do_not_drift(mpp: float) -> None:
    rgb = np.zeros((8, round(400 / mpp), 3), dtype=np.uint8)
    rgb[:] = np.linspace(0, 250, rgb.shape[1])[None, :, None]
    got = encode_extent(MeanColour(field_um=20.0, token_um=20.0), rgb, mpp).values[0, 0, 0]
    centres = (torch.arange(len(got)) + 0.5) * 20 / (rgb.shape[1] * mpp) * 250
    assert len(got) == int(np.ceil(rgb.shape[1] * mpp / 20 - 1e-6))
    assert (got - centres)[:-1].abs().max() < 1


def test_guide_without_a_field_reads_at_once() -> None:
    guide = MeanColour(field_um=None)
    embedding = encode_extent(guide, ramp(50, 90), 0.5)
    assert embedding.values.shape == (1, 256, 7, 12)
    assert guide.passes == 1


def test_guide_that_gives_too_few_tokens_is_named() -> None:
    guide = MeanColour(field_um=None)
    shy = encode_extent(guide, ramp(16, 16), 0.5)
    guide.encode = lambda rgb, mpp: shy  # type: ignore[method-assign]
    with pytest.raises(GuideError, match="mean-colour gave tokens"):
        encode_extent(guide, ramp(64, 64), 0.5)


@pytest.mark.parametrize(
    "rgb", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_rgb_image_is_refused(rgb: NDArray[np.uint8]) -> None:
    with pytest.raises(GuideError, match="8-bit RGB"):
        encode_extent(MeanColour(), rgb, 0.5)

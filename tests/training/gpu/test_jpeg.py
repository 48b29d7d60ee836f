import cv2
import numpy as np
import pytest
import torch

from fixtures.tissue import draw_tissue
from nuguide.training.gpu.jpeg import compressed


def packed(rgb: np.ndarray, quality: int) -> np.ndarray:
    """Return a picture as it comes back from libjpeg."""
    _, file = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1].astype(np.float32)


@pytest.mark.parametrize("shape", [(128, 160), (75, 90)])
def test_pictures_come_back_as_from_libjpeg(shape: tuple[int, int]):
    """Each by its own quality; libjpeg rounds to whole numbers more often."""
    pictures = [draw_tissue(*shape, mpp=0.5, per_mm2=4000, seed=seed)[0] for seed in range(4)]
    qualities = [30, 49, 75, 94]
    batch = torch.from_numpy(np.stack(pictures)).movedim(-1, 1).float()
    ours = compressed(batch, torch.tensor(qualities)).movedim(1, -1).numpy()
    for rgb, quality, found in zip(pictures, qualities, ours, strict=True):
        theirs = packed(rgb, quality)
        loss = np.sqrt(((theirs - rgb) ** 2).mean())
        assert loss > 1.5
        assert np.sqrt(((found - theirs) ** 2).mean()) < max(loss / 3, 1.4)


def test_worse_quality_loses_more_and_colours_stay_in_their_range():
    grey = torch.rand(1, 1, 48, 48, generator=torch.Generator().manual_seed(0)) * 255
    noisy = grey.expand(4, 3, -1, -1)  # noise of colours goes at any quality
    found = compressed(noisy, torch.tensor([10, 40, 70, 100]))
    losses = (found - noisy).abs().mean((1, 2, 3)).tolist()
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 1.5 * losses[2]
    assert found.min() >= 0
    assert found.max() <= 255


def test_a_picture_of_one_colour_stays_as_it_is():
    plain = torch.tensor([200.0, 128.0, 60.0]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    assert (compressed(plain, torch.tensor([90])) - plain).abs().max() < 3

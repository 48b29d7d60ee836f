import cv2
import numpy as np
import pytest
import torch

from nuguide.datasets.base import Sample
from nuguide.training import augmentation as on_cpu
from nuguide.training.gpu.augmentation import (
    Draws,
    blurred,
    crop_coordinates,
    crop_tokens,
    disturbed,
    draw_batch,
    pooled,
    stained,
)
from nuguide.training.gpu.tissue import Tissue
from nuguide.training.recipe_parts import Augmentation
from nuguide.training.targets import normalised_distance

CPU, SIZE, MPP = torch.device("cpu"), 32, 0.5
STILL = Augmentation(scale=(1, 1), rotate=False, elastic_px=0, stain=0, grey=0, blur=0, noise=0)


@pytest.fixture
def tissue(sample: Sample) -> Tissue:
    """One image, which leaves the right and lower part of its tensors empty."""
    image = torch.from_numpy(sample.image).movedim(-1, 0)
    distance = torch.from_numpy((normalised_distance(sample.labels) * 255).round())[None]
    height, width = sample.labels.shape
    images = torch.zeros(1, 3, height + 40, width + 20, dtype=torch.uint8)
    distances = torch.zeros(1, 1, height + 40, width + 20, dtype=torch.uint8)
    images[0, :, :height, :width] = image
    distances[0, :, :height, :width] = distance
    return Tissue(images, distances, torch.tensor([[float(height), width]]), sample.mpp)


def test_a_crop_is_what_the_other_augmentation_reads_at_the_same_place(tissue, sample):
    """Zoomed, turned, bent and beyond the edge: geometry, averaging and mirrors are one."""
    chosen = STILL.model_copy(update={"scale": (0.6, 1.4), "rotate": True, "elastic_px": 1.5})
    draws = Draws(0, CPU)
    at = crop_coordinates(tissue.sizes.expand(4, 2), MPP / tissue.mpp, SIZE, chosen, draws)
    for index in range(4):
        image, labels = on_cpu.view(sample, at[index].numpy())
        # The same draws again, through the whole way.
        batch, _, again = draw_batch(tissue, MPP, 4, SIZE, chosen, _before(draw_which=4))
        assert torch.allclose(again, at, atol=1e-4)
        seen = batch["image"][index].movedim(0, -1).numpy() * 255
        contrast_free = _linear_fit(seen, image)
        assert np.abs(contrast_free - image).mean() < 1.5
        assert (batch["nuclei"][index].numpy() == (labels > 0)).mean() > 0.99


def _before(draw_which: int) -> Draws:
    """Return draws that stand where ``draw_batch`` draws its coordinates like ``Draws(0)``."""

    class After(Draws):
        def below(self, high: int, *shape: int) -> torch.Tensor:
            if high == 1 and shape == (draw_which,):
                return torch.zeros(shape, dtype=torch.int64)
            return super().below(high, *shape)

    return After(0, CPU)


def _linear_fit(seen: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Undo brightness and contrast, which every crop gets."""
    slope, offset = np.polyfit(seen.ravel(), image.ravel().astype(float), 1)
    return seen * slope + offset


def test_positions_stay_inside_and_are_as_far_apart_as_the_zoom_says(tissue):
    chosen = STILL.model_copy(update={"scale": (0.5, 2.0), "rotate": True})
    at = crop_coordinates(tissue.sizes.expand(64, 2), 0.5, SIZE, chosen, Draws(1, CPU))
    assert at.min() >= 0
    assert at.max() <= tissue.sizes.max() - 1
    apart = (at[:, 1:, 1:] - at[:, :-1, 1:]).norm(dim=-1).median(dim=-1)[0].median(dim=-1)[0]
    assert apart.min() >= 0.5 / 2 / 2 - 1e-4
    assert apart.max() <= 0.5 * 2 / 2 + 1e-4
    assert apart.std() > 0.05
    down, across = at[:, 33, 32] - at[:, 32, 32], at[:, 32, 33] - at[:, 32, 32]
    assert (down * across).sum(-1).abs().max() < 1e-4, "turned, not sheared"
    assert torch.allclose(down.norm(dim=-1), across.norm(dim=-1), atol=1e-4)
    turns = (down[:, 0] * across[:, 1] - down[:, 1] * across[:, 0]).sign()
    assert set(turns.tolist()) == {-1.0, 1.0}, "mirrored and not"


def test_upright_positions_are_neither_turned_nor_mirrored(tissue):
    chosen = STILL.model_copy(update={"upright": True, "scale": (0.5, 2.0)})
    at = crop_coordinates(tissue.sizes.expand(32, 2), 0.5, SIZE, chosen, Draws(1, CPU))
    down, across = at[:, 33, 32] - at[:, 32, 32], at[:, 32, 33] - at[:, 32, 32]
    assert torch.equal(down[:, 1], torch.zeros(32))
    assert torch.equal(across[:, 0], torch.zeros(32))
    assert (down[:, 0] > 0).all()
    assert (across[:, 1] > 0).all()


def test_equal_seeds_draw_equal_batches(tissue):
    one, other, another = (
        draw_batch(tissue, MPP, 2, SIZE, Augmentation(), Draws(seed, CPU))[0] for seed in (5, 5, 6)
    )
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not torch.equal(one["image"], another["image"])
    assert (one["image"].shape, one["nuclei"].dtype) == ((2, 3, SIZE, SIZE), torch.int64)
    assert 0 <= one["image"].min() <= one["image"].max() <= 1
    assert torch.equal(one["distance"] > 0, one["nuclei"] > 0)
    assert one["distance"].max() <= 1


def test_stains_that_hardly_change_leave_the_picture(sample):
    image = torch.from_numpy(sample.image).movedim(-1, 0)[None].float()
    hardly = STILL.model_copy(update={"stain": 1e-6, "other_stain": 0.0})
    assert (stained(image, hardly, Draws(0, CPU)) - image).abs().max() < 0.1
    assert torch.equal(stained(image, STILL, Draws(0, CPU)), image)
    strong = Augmentation(other_stain=1.0)
    both = stained(image.expand(2, -1, -1, -1), strong, Draws(0, CPU))
    assert (both - image).abs().mean() > 3
    assert (both[0] - both[1]).abs().mean() > 1, "each crop draws for itself"


def test_disturbances_happen_by_their_probability(sample):
    image = torch.from_numpy(sample.image).movedim(-1, 0)[None].float().expand(8, -1, -1, -1)
    grey = disturbed(image, STILL.model_copy(update={"grey": 1.0}), Draws(0, CPU))
    assert (grey - grey.mean(1, keepdim=True)).abs().max() < 1e-3
    still = disturbed(image, STILL, Draws(0, CPU))
    noisy = disturbed(image, STILL.model_copy(update={"noise": 1.0}), Draws(0, CPU))
    fine = [(x[..., 1:] - x[..., :-1]).abs().mean() for x in (still, noisy)]
    assert fine[1] > fine[0] + 1


@pytest.mark.parametrize("sigma", [0.5, 1.4])
def test_blur_is_a_gaussian_of_its_own_width_for_each(sample, sigma: float):
    image = torch.from_numpy(sample.image).movedim(-1, 0)[None].float().expand(2, -1, -1, -1)
    both = blurred(image, torch.tensor([sigma, 0.0]).view(2, 1, 1, 1))
    truth = cv2.GaussianBlur(sample.image.astype(np.float32), (13, 13), sigma)
    assert np.abs(both[0].movedim(0, -1).numpy() - truth).max() < 0.05
    assert torch.allclose(both[1], image[1], atol=1e-3)


def test_tokens_are_read_where_the_crop_lies(tissue):
    """Tokens that hold the (y, x) of their centres, um."""
    token_um, side = 2.0, 20
    centres = (torch.arange(side) + 0.5) * token_um
    ramp = torch.stack([centres[:, None].expand(side, side), centres[None].expand(side, side)])
    chosen = STILL.model_copy(update={"rotate": True})
    _, which, at = draw_batch(tissue, MPP, 3, SIZE, chosen, Draws(2, CPU))
    read = crop_tokens(ramp[None], token_um, which, at, tissue.mpp)
    assert read.shape == (3, 2, SIZE // 4, SIZE // 4)
    truth = (pooled(at, 8).movedim(-1, 1) + 0.5) * tissue.mpp
    inside = (truth > token_um) & (truth < token_um * (side - 1))
    assert inside.any()
    assert torch.allclose(read[inside], truth[inside], atol=1e-3)

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from nuguide.datasets.base import Sample
from nuguide.training import augmentation as on_cpu
from nuguide.training.gpu.augmentation import (
    Draws,
    _apart,
    blurred,
    crop_positions,
    crop_tokens,
    disturbed,
    draw_batch,
    mirror_image,
    mirrored,
    pooled,
    sampled,
    stained,
)
from nuguide.training.gpu.jpeg import compressed
from nuguide.training.gpu.tissue import Tissue, cut_by_the_edge
from nuguide.training.recipe_parts import Augmentation
from nuguide.training.targets import centre_offsets, normalised_distance

CPU, SIZE, MPP = torch.device("cpu"), 32, 0.5
HEADS = ("nuclei", "distance", "offsets")
STILL = Augmentation(scale=(1, 1), rotate=False, elastic_px=0, stain=0, grey=0, blur=0, noise=0)


@pytest.fixture
def tissue(sample: Sample) -> Tissue:
    """One image, which leaves the right and lower part of its tensors empty."""
    image = torch.from_numpy(sample.image).movedim(-1, 0)
    distance = torch.from_numpy((normalised_distance(sample.labels) * 255).round())[None]
    height, width = sample.labels.shape
    images = torch.zeros(1, 3, height + 40, width + 20, dtype=torch.uint8)
    labels = torch.zeros(1, 1, height + 40, width + 20, dtype=torch.int32)
    distances = torch.zeros(1, 1, height + 40, width + 20, dtype=torch.uint8)
    images[0, :, :height, :width] = image
    labels[0, 0, :height, :width] = torch.from_numpy(sample.labels)
    distances[0, :, :height, :width] = distance
    cut = cut_by_the_edge([torch.from_numpy(sample.labels)[None]])
    sizes = torch.tensor([[float(height), width]])
    return Tissue(images, labels, cut, distances, sizes, sample.mpp, torch.tensor([0]))


def test_a_crop_is_what_the_other_augmentation_reads_at_the_same_place(tissue, sample):
    """Zoomed, turned, bent and beyond the edge: geometry, averaging and mirrors are one."""
    chosen = STILL.model_copy(update={"scale": (0.6, 1.4), "rotate": True, "elastic_px": 1.5})
    draws = Draws(0, CPU)
    sizes = tissue.sizes.expand(4, 2)
    at = mirrored(crop_positions(sizes, MPP / tissue.mpp, SIZE, chosen, draws), sizes)
    for index in range(4):
        image, labels = on_cpu.view(sample, at[index].numpy())
        # The same draws again, through the whole way.
        batch, _, again = draw_batch(tissue, MPP, 4, SIZE, chosen, HEADS, _before(draw_which=4))
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
    sizes = tissue.sizes.expand(64, 2)
    at = mirrored(crop_positions(sizes, 0.5, SIZE, chosen, Draws(1, CPU)), sizes)
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
    at = crop_positions(tissue.sizes.expand(32, 2), 0.5, SIZE, chosen, Draws(1, CPU))
    down, across = at[:, 33, 32] - at[:, 32, 32], at[:, 32, 33] - at[:, 32, 32]
    assert torch.equal(down[:, 1], torch.zeros(32))
    assert torch.equal(across[:, 0], torch.zeros(32))
    assert (down[:, 0] > 0).all()
    assert (across[:, 1] > 0).all()


def test_equal_seeds_draw_equal_batches(tissue):
    one, other, another = (
        draw_batch(tissue, MPP, 2, SIZE, Augmentation(), HEADS, Draws(seed, CPU))[0]
        for seed in (5, 5, 6)
    )
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not torch.equal(one["image"], another["image"])
    assert (one["image"].shape, one["nuclei"].dtype) == ((2, 3, SIZE, SIZE), torch.int64)
    assert 0 <= one["image"].min() <= one["image"].max() <= 1
    assert not one["distance"][one["nuclei"] == 0].any()
    assert 0.5 < one["distance"].max() <= 1
    assert not one["offsets"].movedim(1, -1)[one["nuclei"] == 0].any()


def test_ambiguous_areas_are_read_at_the_place_of_the_labels(tissue):
    vague = replace(tissue, ignore=(tissue.labels > 0).byte())
    plain, seen = (
        draw_batch(each, MPP, 4, SIZE, Augmentation(), HEADS, Draws(5, CPU))[0]
        for each in (tissue, vague)
    )
    assert seen["ignore"].any()
    assert torch.equal(seen["ignore"], seen["nuclei"] > 0)
    assert "ignore" not in plain
    assert all(torch.equal(plain[key], seen[key]) for key in plain)


def test_crops_are_compressed_as_often_as_the_recipe_says():
    """By a quality of their own each, after all else."""
    image = 255 * torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    plain, packed = (
        disturbed(image, STILL.model_copy(update={"jpeg": share}), Draws(2, CPU)).clamp(0, 255)
        for share in (0.0, 1.0)
    )
    every = torch.stack([compressed(plain, torch.full((3,), q)) for q in range(30, 95)])
    apart = (every - packed).abs().amax((2, 3, 4))
    assert (apart.min(0).values == 0).all()
    assert len(set(apart.argmin(0).tolist())) == 3
    assert (packed - plain).abs().mean() > 1


def test_an_image_is_drawn_as_often_as_it_stands_there(tissue):
    twice = {
        name: getattr(tissue, name).expand(2, *getattr(tissue, name).shape[1:])
        for name in ("images", "labels", "cut", "distance", "sizes")
    }
    many = replace(tissue, **twice, drawn=torch.tensor([1, 0, 1, 1]))
    _, which, _ = draw_batch(many, MPP, 1000, 4, STILL, ["nuclei"], Draws(0, CPU))
    assert 0.2 < (which == 0).float().mean() < 0.3


def test_only_targets_of_heads_are_made(tissue):
    batch, *_ = draw_batch(tissue, MPP, 2, SIZE, STILL, ["nuclei", "offsets"], Draws(0, CPU))
    assert set(batch) == {"image", "nuclei", "offsets"}


def test_offsets_are_those_of_the_nuclei_in_the_crop(tissue):
    """Cut by the crop's edge, turned, and mirrored: as if made of the crop's own map."""
    chosen = STILL.model_copy(update={"scale": (0.5, 1.0), "rotate": True})
    batch, _, at = draw_batch(tissue, MPP, 16, SIZE, chosen, HEADS, Draws(3, CPU))
    alike = []
    for index in range(16):
        labels = sampled(tissue.labels, pooled(at[index : index + 1], 2), "nearest")[0, 0]
        truth = centre_offsets(labels.numpy().astype(np.int32))
        alike.append(np.abs(batch["offsets"][index].numpy() - truth).max(axis=0) < 1e-5)
    # Not all: the crop's edge can cut a nucleus in two.
    assert np.mean(alike) > 0.98
    assert batch["offsets"].min() == -1
    assert batch["offsets"].max() == 1


def test_offsets_are_right_where_a_crop_holds_several_mirror_images(tissue, sample):
    """As of an image that is smaller than the crops."""
    height, width = 22, 27
    labels = torch.from_numpy(sample.labels)[None, :height, :width]
    assert all(edge.any() for edge in (labels[0, 0], labels[0, :, 0]))
    small = replace(
        tissue,
        labels=labels[None],
        images=tissue.images[..., :height, :width],
        distance=tissue.distance[..., :height, :width],
        cut=cut_by_the_edge([labels]),
        sizes=torch.tensor([[float(height), width]]),
    )
    chosen = STILL.model_copy(update={"rotate": True})
    batch, _, at = draw_batch(small, MPP, 16, 2 * SIZE, chosen, HEADS, Draws(3, CPU))
    alike = []
    for index in range(16):
        seen = sampled(small.labels, pooled(at[index : index + 1], 2), "nearest")[0, 0]
        truth = centre_offsets(seen.numpy().astype(np.int32))
        alike.append(np.abs(batch["offsets"][index].numpy() - truth).max(axis=0) < 1e-5)
    assert np.mean(alike) > 0.98


def test_a_nucleus_and_its_mirror_image_are_two_unless_the_edge_cuts_it(tissue):
    sizes = torch.tensor([[20.0, 30.0]])
    y, x = torch.meshgrid(torch.arange(-4.0, 24), torch.arange(-4.0, 34), indexing="ij")
    positions = torch.stack([y, x], dim=-1)[None]
    image = mirror_image(positions, sizes)[0]
    assert (image[4:23, 4:33] == 0).all()
    around = image[[0, 0, 0, 10, 10, 27, 27, 27], [0, 10, 37, 0, 37, 0, 10, 37]].tolist()
    assert around == [[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 1], [1, -1], [1, 0], [1, 1]]
    labels = torch.zeros(20, 30, dtype=torch.int32)
    labels[8:12, 1:4], labels[0:3, 20:25] = 1, 2
    whole = Tissue(
        torch.zeros(1, 3, 20, 30),
        labels[None, None],
        cut_by_the_edge([labels[None]]),
        torch.zeros(1, 1, 20, 30),
        sizes,
        MPP,
        torch.tensor([0]),
    )
    seen = labels[mirrored(positions, sizes)[0].long().unbind(-1)].long()[None]
    apart = _apart(seen, image[None], whole, torch.zeros(1, dtype=torch.int64))[0]
    assert apart[12:16, 5:8].unique().numel() == 1
    assert apart[12, 5] != apart[12, 3], "its image is another"
    assert apart[2:7, 24:29].unique().numel() == 1, "one with its image"
    assert torch.equal(apart > 0, seen[0] > 0)


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
    _, which, at = draw_batch(tissue, MPP, 3, SIZE, chosen, (), Draws(2, CPU))
    read = crop_tokens(ramp[None], token_um, which, at, tissue.mpp)
    assert read.shape == (3, 2, SIZE // 4, SIZE // 4)
    truth = (pooled(at, 8).movedim(-1, 1) + 0.5) * tissue.mpp
    inside = (truth > token_um) & (truth < token_um * (side - 1))
    assert inside.any()
    assert torch.allclose(read[inside], truth[inside], atol=1e-3)

import pytest
import torch
from pydantic import ValidationError

from nuguide.errors import RecipeError
from nuguide.training import losses
from nuguide.training.recipe_parts import Losses

NAMES = ("cross_entropy", "focal", "dice", "released_dice", "iou", "ms_ssim")


def truth() -> torch.Tensor:
    return torch.randint(0, 2, (2, 12, 25), generator=torch.Generator().manual_seed(0))


def logits_of(truth: torch.Tensor, size: float) -> torch.Tensor:
    """Return logits that say the truth, as surely as ``size`` is large."""
    return torch.stack([1 - 2 * truth, 2 * truth - 1], dim=1) * size


def random_logits() -> torch.Tensor:
    return torch.randn(2, 2, 12, 25, dtype=torch.double, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_match(name: str):
    """0, but for the published code's Dice, which divides by the union and so reaches -1."""
    value = getattr(losses, name)(logits_of(truth(), 50.0), truth())
    assert value.item() == pytest.approx(-1.0 if name == "released_dice" else 0.0, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_worse_match_costs_more(name: str):
    loss = getattr(losses, name)
    # Below, the structural similarity has its floor.
    sizes = (5.0, 2.0, 1.0, 0.2, 0.0) if name == "ms_ssim" else (5.0, 1.0, 0.0, -1.0, -5.0)
    costs = [loss(logits_of(truth(), size), truth()).item() for size in sizes]
    assert costs == sorted(costs)
    assert len(set(costs)) == 5


@pytest.mark.parametrize("name", NAMES)
def test_gradients_equal_finite_differences(name: str):
    logits = random_logits().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: getattr(losses, name)(x, truth()), logits)


def test_gradients_of_distance_and_tokens_equal_finite_differences():
    generator = torch.Generator().manual_seed(2)
    prediction, wanted = torch.randn(2, 2, 1, 4, 3, dtype=torch.double, generator=generator)
    assert torch.autograd.gradcheck(
        lambda x: losses.distance_error(x, wanted[:, 0]), prediction.clone().requires_grad_()
    )
    tokens, others = torch.randn(2, 2, 8, 3, 2, dtype=torch.double, generator=generator)
    assert torch.autograd.gradcheck(
        lambda x: losses.token_error(x, others), tokens.clone().requires_grad_()
    )


def test_the_jaccard_loss_is_that_of_hard_masks():
    logits, other = logits_of(truth(), 50.0), truth().flip(-1)
    overlap, union = (truth() & other).sum(), (truth() | other).sum()
    assert losses.iou(logits, other).item() == pytest.approx(float(1 - (overlap + 1) / (union + 1)))


@pytest.mark.parametrize("shape", [(2, 180, 200), (1, 177, 176)])
def test_ms_ssim_equals_an_independent_implementation(shape: tuple[int, ...]):
    image = pytest.importorskip("torchmetrics.functional.image", reason="torchmetrics is absent")
    generator = torch.Generator().manual_seed(4)
    blobs = torch.nn.functional.interpolate(
        torch.rand(shape[0], 1, 20, 20, generator=generator), shape[1:]
    )
    wanted = (blobs[:, 0] > 0.6).long()
    logits = logits_of(wanted, 1.0) + torch.randn(shape[0], 2, *shape[1:], generator=generator)
    ours = 1 - losses.ms_ssim(logits, wanted)
    theirs = image.multiscale_structural_similarity_index_measure(
        logits.softmax(1)[:, 1:], wanted[:, None].float(), data_range=1.0
    )
    assert 0.1 < ours.item() < 0.9
    # Theirs counts the mirrored border, too, at the coarsest scale.
    assert ours.item() == pytest.approx(theirs.item(), abs=2e-3)


def test_ms_ssim_has_a_finite_gradient_where_all_is_wrong_and_refuses_what_is_too_small():
    logits = logits_of(truth(), -50.0).float().requires_grad_()
    (gradient,) = torch.autograd.grad(losses.ms_ssim(logits, truth()), logits)
    assert gradient.isfinite().all()
    with pytest.raises(ValueError, match=r"ms_ssim of 10 px; expected 11"):
        losses.ms_ssim(logits[..., :10, :], truth()[..., :10, :])


def test_the_weighted_cross_entropy_weighs_pixels():
    logits, heavier = random_logits(), torch.ones(2, 12, 25, dtype=torch.double)
    plain = losses.cross_entropy(logits, truth())
    torch.testing.assert_close(losses.cross_entropy(logits, truth(), heavier), plain)
    heavier[0, 3, 4] = 11.0
    pixel = losses.cross_entropy(logits[:1, :, 3:4, 4:5], truth()[:1, 3:4, 4:5])
    torch.testing.assert_close(
        losses.cross_entropy(logits, truth(), heavier), plain + 10 * pixel / truth().numel()
    )


def test_the_error_of_offsets():
    """0 at a match; its derivatives count inside nuclei alone, and are exact."""
    generator = torch.Generator().manual_seed(5)
    wanted = torch.randn(2, 2, 7, 8, dtype=torch.double, generator=generator)
    nuclei = torch.randint(0, 2, (2, 7, 8), generator=generator)
    assert losses.offset_error(wanted, wanted, nuclei).item() == 0
    prediction = torch.randn(2, 2, 7, 8, dtype=torch.double, generator=generator).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: losses.offset_error(x, wanted, nuclei), prediction)
    nothing = torch.zeros_like(nuclei)
    plain = torch.nn.functional.mse_loss(prediction, wanted)
    torch.testing.assert_close(losses.offset_error(prediction, wanted, nothing), plain)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_slope_along_its_own_axis_costs_its_square_and_across_nothing(axis: int):
    ramp = torch.zeros(1, 2, 12, 12, dtype=torch.double)
    at = torch.arange(12.0, dtype=torch.double)
    ramp[0, 0] = 0.1 * (at[:, None] if axis == 0 else at[None, :])  # the vertical offset
    middle = torch.zeros(1, 12, 12, dtype=torch.int64)
    middle[:, 4:8, 4:8] = 1
    error = losses.offset_error(ramp, torch.zeros_like(ramp), middle) - (ramp**2).mean()
    steep = 1.2**2 * 16 / (2 * 16 + 1) if axis == 0 else 0.0
    assert error.item() == pytest.approx(steep, abs=1e-12)


def test_the_error_of_types_counts_where_a_type_is_known():
    logits = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
    truth = torch.zeros(2, 4, 5, dtype=torch.int64)
    assert losses.type_error(logits, truth).item() == 0
    truth[0, 1, 2], truth[1, 3, 4] = 3, 1
    chances = logits.softmax(1)
    wanted = -(chances[0, 2, 1, 2].log() + chances[1, 0, 3, 4].log()) / 2
    error = losses.type_error(logits, truth)
    torch.testing.assert_close(error, wanted)
    error.backward()
    assert logits.grad[0, :, 0, 0].eq(0).all()
    assert logits.grad[0, :, 1, 2].ne(0).all()
    found = losses.terms(
        {"nuclei": logits[:, :2], "types": logits},
        {"nuclei": truth.clamp(max=1), "types": truth},
        None,
        Losses(),
    )
    assert found.keys() == {"cross_entropy", "dice", "types"}
    torch.testing.assert_close(found["types"], wanted)


def test_only_terms_with_a_weight_and_a_head_are_computed():
    batch = {"nuclei": truth(), "closeness": torch.rand(2, 12, 25)}
    outputs = {"nuclei": random_logits().float(), "offsets": torch.zeros(2, 2, 12, 25)}
    weights = Losses(dice=0, iou=1, ms_ssim=1, offsets=0)
    found = losses.terms(outputs, batch, None, weights)
    assert found.keys() == {"cross_entropy", "iou", "ms_ssim"}
    batch["offsets"] = torch.ones(2, 2, 12, 25)
    heavy = losses.terms(outputs, batch, None, Losses(dice=0, boundary=10))
    assert heavy.keys() == {"cross_entropy", "offsets"}
    assert heavy["cross_entropy"] > found["cross_entropy"] + 1
    with pytest.raises(ValidationError, match="expected a weight of the cross-entropy"):
        Losses(cross_entropy=0, boundary=10)


def test_under_deep_supervision_a_term_is_its_sum_over_the_scales():
    generator = torch.Generator().manual_seed(6)
    batch = {
        "nuclei": truth(),
        "distance": torch.rand(2, 12, 25, generator=generator),
        "closeness": torch.rand(2, 12, 25, generator=generator),
    }
    scales = [
        {"nuclei": torch.randn(2, 2, 12, 25), "distance": torch.randn(2, 1, 12, 25)}
        for _ in range(3)
    ]
    outputs = scales[0] | {
        f"{head}_{level}": logits
        for level, scale in enumerate(scales[1:], start=2)
        for head, logits in scale.items()
    }
    weights = Losses(boundary=2, ms_ssim=1)
    found = losses.terms(outputs, batch, None, weights)
    apart = [losses.terms(scale, batch, None, weights) for scale in scales]
    assert found.keys() == {"cross_entropy", "dice", "distance", "ms_ssim"}
    for name, value in found.items():
        torch.testing.assert_close(value, sum(each[name] for each in apart))


@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
def test_the_classification_is_that_of_the_whole_crop(name: str):
    """Its loss is the pixels' kind, 0 where it is right: one crop holds a nucleus, one none."""
    nuclei = torch.zeros(2, 12, 25, dtype=torch.int64)
    nuclei[1, 3, 4] = 1
    weights = Losses(cross_entropy=0, dice=0).model_copy(update={name: 1.0})
    pixels = {"nuclei": random_logits().float()}
    (plain,) = losses.terms(pixels, {"nuclei": nuclei}, None, weights).values()

    def added(sure: float) -> torch.Tensor:
        said = torch.tensor([[sure, -sure], [-sure, sure]])
        outputs = pixels | {"classification": said}
        (both,) = losses.terms(outputs, {"nuclei": nuclei}, None, weights).values()
        return both - plain

    even = getattr(losses, name)(torch.zeros(2, 2, 1, 1), torch.tensor([[[0]], [[1]]]))
    torch.testing.assert_close(added(0.0), even)
    assert added(30.0).item() == pytest.approx(0, abs=1e-6)
    assert added(-1.0) > added(0.0) > added(1.0) > 0


def test_a_classification_without_a_loss_is_refused():
    outputs = {"nuclei": random_logits().float(), "classification": torch.zeros(2, 2)}
    with pytest.raises(RecipeError, match=r"classification_guided has no loss.*cross_entropy$"):
        losses.terms(outputs, {"nuclei": truth()}, None, Losses(cross_entropy=0))


KNOWN = 15
"""Columns of a crop that are annotated."""


def half_known(seed: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return outputs and a batch that differ from those of other seeds in the other columns."""
    heads = {"nuclei": 2, "nuclei_2": 2, "distance": 1, "offsets": 2, "types": 3}
    columns = []
    for each, width in ((0, KNOWN), (seed, 25 - KNOWN)):
        generator = torch.Generator().manual_seed(each)
        size = (2, 12, width)
        said = {
            head: torch.randn(2, channels, 12, width, generator=generator)
            for head, channels in heads.items()
        }
        batch = {
            "nuclei": torch.randint(0, 2, size, generator=generator),
            "distance": torch.rand(size, generator=generator),
            "offsets": torch.rand(2, 2, 12, width, generator=generator),
            "types": torch.randint(0, 4, size, generator=generator),
            "closeness": torch.rand(size, generator=generator),
        }
        columns.append((said, batch))
    outputs, batch = (
        {name: torch.cat([one[name], other[name]], dim=-1) for name in one}
        for one, other in zip(*columns, strict=True)
    )
    ignore = torch.zeros(2, 12, 25, dtype=torch.bool)
    ignore[..., KNOWN:] = True
    return outputs, batch | {"ignore": ignore}


def test_nothing_is_learned_where_the_annotation_is_ambiguous():
    """Neither what is said nor what is annotated there counts, at any scale."""
    weights = Losses(focal=1, released_dice=1, iou=1, ms_ssim=1, boundary=2)
    outputs, batch = half_known(1)
    for values in outputs.values():
        values.requires_grad_()
    found = losses.terms(outputs, batch, None, weights)
    assert found.keys() >= {"cross_entropy", "dice", "ms_ssim", "distance", "offsets", "types"}
    torch.testing.assert_close(found, losses.terms(*half_known(2), None, weights))
    sum(found.values()).backward()
    for values in outputs.values():
        assert values.grad[..., KNOWN:].eq(0).all()
        assert values.grad[..., :KNOWN].ne(0).any()


def test_what_is_annotated_weighs_as_much_as_without_ambiguous_areas():
    outputs, batch = half_known(1)
    names = ("nuclei", "distance")
    weights = Losses(dice=0, offsets=0, types=0)
    found = losses.terms({name: outputs[name] for name in names}, batch, None, weights)
    alone = losses.terms(
        {name: outputs[name][..., :KNOWN] for name in names},
        {name: batch[name][..., :KNOWN] for name in names},
        None,
        weights,
    )
    assert found.keys() == alone.keys() == {"cross_entropy", "distance"}
    for name, value in alone.items():
        torch.testing.assert_close(found[name], value * KNOWN / 25)


def test_a_crop_that_may_hide_a_nucleus_is_no_example_of_none():
    nuclei = torch.zeros(3, 12, 25, dtype=torch.int64)
    nuclei[0, 3, 4] = 1
    ignore = torch.zeros(3, 12, 25, dtype=torch.bool)
    ignore[:2, :, 15:] = True
    kind = torch.zeros(3, 2, requires_grad=True)
    outputs = {"nuclei": torch.zeros(3, 2, 12, 25), "classification": kind}
    batch = {"nuclei": nuclei, "ignore": ignore}
    losses.terms(outputs, batch, None, Losses(dice=0))["cross_entropy"].backward()
    assert kind.grad.ne(0).any(1).tolist() == [True, False, True]


def test_distance_and_tokens_are_zero_at_a_perfect_match():
    x = torch.randn(2, 8, 4, 3, generator=torch.Generator().manual_seed(3))
    assert losses.distance_error(x[:, :1], x[:, 0]).item() == 0
    assert losses.token_error(x, x).item() == pytest.approx(0, abs=1e-6)
    assert losses.token_error(-x, x).item() > 2


def test_focal_never_exceeds_the_cross_entropy_it_damps():
    for seed in range(20):
        logits = 5 * torch.randn(2, 2, 12, 25, generator=torch.Generator().manual_seed(seed))
        plain = losses.focal(logits, truth(), gamma=0.0)
        channels = torch.stack([1 - truth(), truth()], dim=1).float()
        binary = torch.nn.functional.binary_cross_entropy_with_logits(logits, channels)
        torch.testing.assert_close(plain, binary)
        assert losses.focal(logits, truth()) <= plain


@pytest.mark.parametrize("name", NAMES)
def test_a_crop_without_nuclei_has_a_finite_loss(name: str):
    nothing = torch.zeros(1, 12, 12, dtype=torch.int64)
    assert getattr(losses, name)(logits_of(nothing, 50.0), nothing).isfinite()
    assert losses.dice(logits_of(nothing, 50.0), nothing).item() == pytest.approx(0, abs=1e-6)

import pytest
import torch
import torch.nn.functional as F

from nuguide.networks.upsampled_conv import UpsampledConv2d, interpolation_blocks


def plain(x: torch.Tensor, convolution: UpsampledConv2d) -> torch.Tensor:
    enlarged = F.interpolate(
        x, scale_factor=convolution.scale, mode="bilinear", align_corners=False
    )
    return F.conv2d(enlarged, convolution.weight, convolution.bias, padding=1)


# 16 cells make a block: sizes below, at and beyond it, and no multiples of it.
@pytest.mark.parametrize("size", [(1, 1), (3, 16), (17, 5), (33, 50)])
@pytest.mark.parametrize("scale", [2, 4, 8, 16])
def test_equals_enlarging_and_then_convolving(size: tuple[int, int], scale: int) -> None:
    torch.manual_seed(0)
    convolution = UpsampledConv2d(5, 3, scale)
    torch.nn.init.normal_(convolution.bias)
    x = torch.randn(2, 5, *size)
    torch.testing.assert_close(convolution(x), plain(x, convolution), atol=1e-5, rtol=0)


def test_gradients_equal_those_of_the_plain_form() -> None:
    torch.manual_seed(0)
    convolution = UpsampledConv2d(4, 3, 4).double()
    x = torch.randn(1, 4, 18, 7, dtype=torch.double, requires_grad=True)
    parameters = (x, convolution.weight, convolution.bias)
    weighting = torch.randn(1, 3, 72, 28, dtype=torch.double)
    ours = torch.autograd.grad((convolution(x) * weighting).sum(), parameters)
    theirs = torch.autograd.grad((plain(x, convolution) * weighting).sum(), parameters)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-5)


def test_state_is_that_of_a_plain_convolution() -> None:
    ours = UpsampledConv2d(4, 3, 2).state_dict()
    theirs = torch.nn.Conv2d(4, 3, 3, padding=1).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


def test_blocks_grow_linearly_with_the_side() -> None:
    def numbers(size: int, backward: bool) -> int:
        blocks = interpolation_blocks(size, 4, backward, torch.float32, torch.device("cpu"))
        return sum(matrices.numel() for _, _, matrices in blocks)

    for backward in (False, True):
        assert numbers(2048, backward) < 4.1 * numbers(512, backward)


def test_blocks_write_everything_once() -> None:
    for backward, length in ((False, 37 * 4), (True, 37)):
        blocks = interpolation_blocks(37, 4, backward, torch.float32, torch.device("cpu"))
        written = [place for to, _, _ in blocks for place in range(length)[to]]
        assert written == list(range(length))


def test_scale_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"nn\.Conv2d"):
        UpsampledConv2d(4, 3, 1)


def test_training_keeps_maps_channels_last() -> None:
    convolution = UpsampledConv2d(4, 3, 2)
    x = torch.randn(2, 4, 8, 8)
    last = x.contiguous(memory_format=torch.channels_last)
    assert convolution(x).is_contiguous()
    enlarged = convolution(last)
    assert enlarged.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(enlarged, convolution(x))
    (gradient,) = torch.autograd.grad(enlarged.square().sum(), convolution.weight)
    (other,) = torch.autograd.grad(convolution(x).square().sum(), convolution.weight)
    torch.testing.assert_close(gradient, other)
    assert convolution.eval()(last).is_contiguous(), "a copy that inference has no use for"

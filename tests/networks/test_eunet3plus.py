import pytest
import torch

from nuguide.errors import ModelError
from nuguide.networks.blocks import Activation, Blur, Pooling, pad_tokens
from nuguide.networks.eunet3plus import EUNet3Plus
from nuguide.networks.registry import build_network


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_published_size() -> None:
    assert parameters(EUNet3Plus(width=32)) == pytest.approx(11.5e6, rel=0.02)
    assert parameters(EUNet3Plus(width=32, fusion="released")) == pytest.approx(12.6e6, rel=0.02)


@pytest.mark.parametrize("fusion", ["released", "paper", "cross"])
def test_guided_modes_react_to_the_tokens(fusion: str) -> None:
    # In training mode, whose batch norm keeps the features of a fresh network at unit scale.
    network = EUNet3Plus(width=4, fusion=fusion, dropout=0)
    image, tokens = torch.rand(2, 3, 64, 64), torch.rand(2, 256, 16, 16)
    fused, other = (network.encode(image, x)[-1] for x in (tokens, 5 * tokens.flip(0)))
    assert (fused - other).abs().max() > 1e-3 * fused.abs().max()


@pytest.mark.parametrize("fusion", ["none", "distil"])
def test_unguided_modes_do_not(fusion: str) -> None:
    network = EUNet3Plus(width=4, fusion=fusion, fusion_level=3).eval()
    image = torch.rand(1, 3, 64, 64)
    guided = network(image, torch.randn(1, 256, 16, 16))["nuclei"]
    torch.testing.assert_close(guided, network(image)["nuclei"], atol=0, rtol=0)


def test_distil_predicts_tokens_in_training_only() -> None:
    network = EUNet3Plus(width=4, fusion="distil", fusion_level=3)
    image = torch.rand(2, 3, 64, 96)
    assert network(image)["tokens"].shape == (2, 256, 16, 24)
    assert set(network.eval()(image)) == {"nuclei"}


def test_multi_level_gates_act_at_every_level() -> None:
    network = EUNet3Plus(width=4, fusion="released", multi_level=True).eval()
    assert network.gates is not None
    image, tokens = torch.rand(1, 3, 256, 256), torch.randn(1, 256, 64, 64)
    before = network.encode(image, tokens)
    after = network.encode(image, tokens + 1)
    assert all((x - y).abs().max() > 0 for x, y in zip(before, after, strict=True))


def test_cross_at_several_levels_guides_each_and_no_finer_one() -> None:
    network = EUNet3Plus(width=4, fusion="cross", fusion_level=3, multi_level=True).eval()
    image, tokens = torch.rand(1, 3, 128, 128), torch.randn(1, 256, 32, 32)
    at_one = EUNet3Plus(width=4, fusion="cross", fusion_level=3).eval()
    at_one.load_state_dict(network.state_dict(), strict=False)
    with torch.no_grad():
        several, one = (each.encode(image, tokens) for each in (network, at_one))
    same = [torch.equal(x, y) for x, y in zip(several, one, strict=True)]
    assert same == [True, True, True, False, False]
    assert set(network.fuse_coarser) == {"4", "5"}
    with pytest.raises(ValueError, match="expected fusion 'released' or 'cross'"):
        EUNet3Plus(width=4, fusion="paper", multi_level=True)


def test_missing_tokens_are_an_error() -> None:
    with pytest.raises(ValueError, match="no tokens"):
        EUNet3Plus(width=4, fusion="cross")(torch.rand(1, 3, 32, 32))


def test_tokens_lie_over_their_own_tissue_when_the_image_is_padded() -> None:
    # 40 px with tokens of 4 px is padded to 48 px: 10 tokens become 12, the first 10 as they were.
    tokens = torch.randn(1, 256, 10, 10)
    padded = pad_tokens(tokens, (40, 40), (48, 48))
    assert padded.shape[-2:] == (12, 12)
    torch.testing.assert_close(padded[..., :10, :10], tokens, atol=0, rtol=0)


@pytest.mark.parametrize("token_px", [2, 4, 8, 16])
def test_tokens_keep_their_side_when_the_last_reaches_beyond_the_image(token_px: int) -> None:
    for size in range(241, 257):
        tokens = torch.randn(1, 2, -(-size // token_px), 1)
        padded = pad_tokens(tokens, (size, token_px), (256, token_px))
        assert padded.shape[2] == 256 // token_px


def test_cross_sets_the_grid_of_regions() -> None:
    assert EUNet3Plus(width=2, fusion="cross", fusion_level=5, window=4).grid_px == 64
    assert EUNet3Plus(width=2, fusion="cross", fusion_level=3, window=8).grid_px == 32
    assert EUNet3Plus(width=2, fusion="cross", fusion_level=3, window=3).grid_px == 48
    assert EUNet3Plus(width=2, fusion="cross", fusion_level=4, window=5).grid_px == 80
    several = EUNet3Plus(width=2, fusion="cross", fusion_level=3, window=8, multi_level=True)
    assert several.grid_px == 128
    assert EUNet3Plus(width=2).grid_px == 16
    assert EUNet3Plus(width=2, fusion="paper").tile_px == 256


def test_a_shift_by_the_grid_shifts_the_result() -> None:
    # The one-grid contract: away from the edges a pixel does not feel where its region began.
    network = EUNet3Plus(width=2, fusion="cross", fusion_level=3, window=4, dropout=0).eval()
    image, tokens = torch.rand(1, 3, 640, 64), torch.randn(1, 256, 160, 16)
    whole = network(image, tokens)["nuclei"]
    part = network(image[..., 64:, :], tokens[..., 16:, :])["nuclei"]
    torch.testing.assert_close(whole[..., 320:, :], part[..., 256:, :], atol=1e-5, rtol=0)


@pytest.mark.parametrize("pooling", list(Pooling))
def test_pooling_halves_and_keeps_a_constant_inside(pooling: Pooling) -> None:
    x = torch.ones(1, 3, 16, 12)
    halved = pooling.module()(x)
    assert halved.shape == (1, 3, 8, 6)
    torch.testing.assert_close(halved[..., 1:-1, 1:-1], torch.ones(1, 3, 6, 4))


def test_blur_keeps_the_sum_of_a_point_inside() -> None:
    x = torch.zeros(1, 1, 5, 5)
    x[..., 2, 2] = 16
    expected = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])
    torch.testing.assert_close(Blur()(x)[0, 0, 1:4, 1:4], expected)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(8, 10), (7, 9)])
def test_blur_on_a_gpu_is_the_same_filter(stride: int, size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    blur = Blur(stride)
    torch.testing.assert_close(blur.averaged(x), blur(x))


@pytest.mark.parametrize("activation", list(Activation))
def test_every_activation_builds_a_network(activation: Activation) -> None:
    network = EUNet3Plus(width=2, activation=activation.value).eval()
    assert network(torch.rand(1, 3, 32, 32))["nuclei"].shape == (1, 2, 32, 32)


def test_a_misspelt_option_names_the_nearest() -> None:
    with pytest.raises(ModelError, match="did you mean width"):
        build_network("eunet3plus", widht=8)
    with pytest.raises(ModelError, match=r"did you mean .*eunet3plus"):
        build_network("eunet3+")
    with pytest.raises(ModelError, match="fusion_level 7"):
        build_network("eunet3plus", fusion_level=7)
    with pytest.raises(ModelError, match="network 'eunet3plus'"):
        build_network("eunet3plus", width="wide")

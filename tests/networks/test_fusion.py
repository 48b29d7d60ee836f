import pytest
import torch

from nuguide.errors import ModelError
from nuguide.networks.fusion import (
    CrossFusion,
    FusionMode,
    PaperFusion,
    ReleasedFusion,
    TokenNoise,
    bring_tokens,
    partition,
    unpartition,
)
from nuguide.networks.registry import build_network


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_windows_come_back_where_they_were() -> None:
    x = torch.randn(2, 5, 12, 8)
    windows = partition(x, 4)
    assert windows.shape == (2 * 3 * 2, 16, 5)
    torch.testing.assert_close(unpartition(windows, (12, 8), 4), x, atol=0, rtol=0)


def test_tokens_are_brought_to_a_quarter_by_two_pools() -> None:
    tokens = torch.randn(1, 256, 64, 64)
    brought = bring_tokens(tokens, (16, 16))
    assert brought.shape == (1, 256, 16, 16)
    # A blur of a maximum: no value lies above the largest token.
    assert brought.max() <= tokens.max()
    assert bring_tokens(tokens, (64, 64)) is tokens
    assert bring_tokens(tokens, (40, 50)).shape == (1, 256, 40, 50)


@pytest.mark.parametrize("block", [ReleasedFusion(32), PaperFusion(32)])
def test_released_and_paper_see_only_the_average_of_the_tokens(block: torch.nn.Module) -> None:
    features, tokens = torch.randn(1, 32, 8, 8), torch.rand(1, 256, 8, 8)
    block.eval()
    turned = block(features, tokens.flip(2, 3))
    torch.testing.assert_close(block(features, tokens), turned, atol=1e-5, rtol=0)
    assert (block(features, 3 * tokens) - turned).abs().max() > 1e-6


def test_cross_sees_where_a_token_lies() -> None:
    block = CrossFusion(32, window=4).eval()
    features, tokens = torch.randn(1, 32, 8, 8), torch.randn(1, 256, 8, 8)
    changed = tokens.clone()
    changed[..., 0, 0] += 5
    difference = (block(features, tokens) - block(features, changed)).abs().amax(1)[0]
    assert (difference[:4, :4] > 1e-6).all()  # attention carries it through its window
    assert difference[4:].max() == 0  # and no further
    assert difference[:, 4:].max() == 0


@pytest.mark.parametrize("window", [3, 4, 5])
@pytest.mark.parametrize("level", [3, 4, 5])
def test_windows_lie_alike_in_every_region_on_the_grid(window: int, level: int) -> None:
    network = build_network(
        "eunet3plus", width=1, fusion="cross", fusion_level=level, window=window
    ).eval()
    step = network.grid_px // 2 ** (level - 1)
    features = torch.randn(1, 2 ** (level - 1), step + 6, 4)
    tokens = torch.randn(1, 256, step + 6, 4)
    with torch.inference_mode():
        whole = network.fuse(features, tokens)
        region = network.fuse(features[..., step:, :], tokens[..., step:, :])
    torch.testing.assert_close(whole[..., step:, :], region)


@pytest.mark.parametrize("size", [(8, 8), (9, 13)])
@pytest.mark.parametrize("ratio", [1, 2])
def test_cross_keeps_the_shape_of_the_features(size: tuple[int, int], ratio: int) -> None:
    block = CrossFusion(24, window=4, tokens_per_position=ratio)
    features, tokens = torch.randn(2, 24, *size), torch.randn(2, 256, 20, 24)
    assert block(features, tokens).shape == features.shape


def test_tokens_are_disturbed_in_training_alone() -> None:
    tokens = torch.randn(400, 8, 6, 6)
    disturb = TokenNoise(noise=0.5, dropout=0.25)
    disturbed = disturb(tokens)
    dropped = (disturbed == 0).flatten(1).all(1)
    assert (disturbed == 0).flatten(1).any(1).equal(dropped), "an image's tokens stand or fall"
    assert dropped.float().mean() == pytest.approx(0.25, abs=0.08)
    assert (disturbed - tokens)[~dropped].std() == pytest.approx(0.5, abs=0.02)
    assert disturb.eval()(tokens) is tokens
    assert TokenNoise().train()(tokens) is tokens


def test_cross_disturbs_what_it_has_standardised() -> None:
    features, tokens = torch.randn(2, 32, 8, 8), 100 + 20 * torch.randn(2, 256, 8, 8)
    block = CrossFusion(32, window=4, token_dropout=1.0)
    torch.testing.assert_close(block(features, tokens), block(features, tokens.flip(2, 3)))
    assert block.token_norm.running_mean.mean() > 5, "the statistics are those of all tokens"
    block.eval()
    assert not block(features, tokens).allclose(block(features, tokens.flip(2, 3)))


@pytest.mark.parametrize("wrong", [{"noise": -1}, {"dropout": 1.5}])
def test_an_impossible_disturbance_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected 0 or more, and 0 to 1"):
        TokenNoise(**wrong)


@pytest.mark.parametrize("wrong", [{"window": 0}, {"window": -8}, {"tokens_per_position": 0}])
def test_a_window_of_nothing_is_refused_when_it_is_built(wrong: dict[str, int]) -> None:
    with pytest.raises(ModelError, match="expected 1 or more"):
        build_network("eunet3plus", width=1, fusion="cross", **wrong)


def test_cross_costs_in_proportion_to_area() -> None:
    # One window more adds one window's scores; global attention would square the positions.
    block = CrossFusion(8, window=4, heads=1)
    counted = []
    for side in (8, 16):
        with torch.profiler.profile(with_flops=True) as profile:
            block(torch.randn(1, 8, side, side), torch.randn(1, 256, side, side))
        counted.append(sum(event.flops for event in profile.key_averages()))
    assert counted[1] == pytest.approx(4 * counted[0], rel=0.1)


def test_the_modes_that_read_tokens() -> None:
    assert {mode for mode in FusionMode if mode.reads_tokens} == {"released", "paper", "cross"}
    assert {mode for mode in FusionMode if mode.pools_globally} == {"released", "paper"}

import numpy as np
import pytest

from nuguide.segmentation.region import is_blank

GLASS = np.full((256, 256, 3), 240, np.uint8)


def test_glass_with_the_noise_of_compression_is_blank() -> None:
    noise = np.random.default_rng(0).integers(-4, 5, GLASS.shape)
    assert is_blank((GLASS + noise).astype(np.uint8))


@pytest.mark.parametrize("place", [(0, 0), (100, 57), (255, 255)])
@pytest.mark.parametrize("channel", [0, 2])
def test_one_pixel_of_another_colour_is_seen_wherever_it_lies(
    place: tuple[int, int], channel: int
) -> None:
    """Also where it is none of the few that are looked at first."""
    seen = GLASS.copy()
    seen[(*place, channel)] -= 20
    assert not is_blank(seen)

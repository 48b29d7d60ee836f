from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from nuguide.errors import GuideError
from nuguide.guides.base import Guide
from nuguide.guides.student import TOKEN_PX, StudentGuide
from nuguide.models.card import GuideSpec

SMALL = {"widths": (4, 8, 8, 8), "blocks": 1}


def small(seed: int = 0) -> StudentGuide:
    torch.manual_seed(seed)
    return StudentGuide(**SMALL).eval()


def pixels(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (1, height, width, 3), np.uint8)


def test_it_is_a_guide():
    guide: Guide = small()
    assert isinstance(guide, Guide)
    assert guide.name == "student of tinyvit-sam"
    assert guide.field_um is None


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (17, 33), (50, 15)])
def test_tokens_cover_the_extent_whatever_its_size(size):
    embedding = small().encode(pixels(*size), 0.5)
    rows, columns = (-(-side // TOKEN_PX) for side in size)
    assert embedding.values.shape == (1, 256, rows, columns)
    assert embedding.values.dtype == torch.float32
    assert embedding.values.isfinite().all()


def test_a_token_covers_four_pixels_of_its_scale():
    guide = StudentGuide(mpp=0.25, **SMALL).eval()
    assert guide.encode(pixels(16, 16), 0.25).token_um == 1.0


def test_encoding_is_deterministic_and_signed():
    guide, rgb = small(), pixels(40, 24)
    first, second = guide.encode(rgb, 0.5), guide.encode(rgb, 0.5)
    assert torch.equal(first.values, second.values)
    assert (first.name, first.sha256) == (guide.name, guide.sha256)


def test_encoding_changes_no_weight():
    guide = small()
    before = {key: value.clone() for key, value in guide.state_dict().items()}
    guide.encode(pixels(32, 32), 0.5)
    assert all(torch.equal(before[key], value) for key, value in guide.state_dict().items())


def test_a_batch_is_encoded_image_by_image():
    guide, rgb = small(), np.concatenate([pixels(32, 48, seed) for seed in (1, 2)])
    together = guide.encode(rgb, 0.5).values
    alone = torch.cat([guide.encode(each[None], 0.5).values for each in rgb])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_far_pixels_do_not_move_a_token():
    """It is convolutional: no token pools over the whole image."""
    guide, rgb = small(), pixels(32, 400)
    other = rgb.copy()
    other[:, :, 300:] = 0
    near = (
        embedding.values[..., :10]
        for embedding in (guide.encode(rgb, 0.5), guide.encode(other, 0.5))
    )
    assert torch.equal(*near)


def test_the_digest_survives_saving_and_tells_weights_apart(tmp_path: Path):
    guide = small()
    save_file(guide.state_dict(), tmp_path / "student.safetensors")
    again = small(seed=1)
    assert StudentGuide.sha256.func(again) != guide.sha256
    again.load_state_dict(load_file(tmp_path / "student.safetensors"))
    assert again.sha256 == guide.sha256


def test_tokens_are_the_head_spread_by_the_teachers_statistics():
    guide, rgb = small(), pixels(16, 16)
    plain = guide.encode(rgb, 0.5).values
    guide.token_mean.fill_(3.0)
    guide.token_std.fill_(2.0)
    torch.testing.assert_close(guide.encode(rgb, 0.5).values, plain * 2 + 3)


def test_another_scale_is_refused_and_a_rounded_one_is_not():
    with pytest.raises(GuideError, match=r"0\.25 um/px; expected 0\.5 um/px.*resample"):
        small().encode(pixels(16, 16), 0.25)
    assert small().encode(pixels(16, 16), 0.505).token_um == 2.0


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((16, 16, 3), np.uint8),
        np.zeros((1, 16, 16, 4), np.uint8),
        np.zeros((1, 16, 16, 3), np.float32),
        np.zeros((1, 0, 16, 3), np.uint8),
    ],
)
def test_what_is_no_batch_of_pixels_is_refused(wrong):
    with pytest.raises(GuideError, match="expected uint8"):
        small().encode(wrong, 0.5)


def test_views_and_read_only_pixels_are_taken():
    guide, rgb = small(), pixels(16, 16)
    mirrored = rgb[:, :, ::-1]
    rgb.setflags(write=False)
    assert guide.encode(rgb, 0.5).values.shape == guide.encode(mirrored, 0.5).values.shape


def test_options_rebuild_it_and_fit_into_a_card():
    guide = StudentGuide("medsam", 0.25, **SMALL)
    again = StudentGuide(**guide.options)
    assert again.options == guide.options
    assert (again.teacher, again.mpp) == ("medsam", 0.25)
    again.load_state_dict(guide.state_dict())
    spec = GuideSpec(kind="student", name=guide.name, options=guide.options)
    assert StudentGuide(**spec.options).options == guide.options


def test_widths_other_than_four_are_refused():
    with pytest.raises(ValueError, match="expected four"):
        StudentGuide(widths=(4, 8, 8))

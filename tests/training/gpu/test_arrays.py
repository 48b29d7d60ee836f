import lzma

import numpy as np
import pytest

from nuguide.training.gpu.arrays import coarsened, refined, restored, squeezed

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(1, 1), (7, 1), (1, 9), (30, 40), (30, 40, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_what_is_squeezed_comes_back(shape: tuple[int, ...], dtype: str):
    array = RANDOM.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    data = squeezed(array)
    assert (data.dtype, data.ndim) == (np.uint8, 1)
    back = restored(data, shape, dtype)
    assert (back.dtype, back.shape) == (array.dtype, shape)
    np.testing.assert_array_equal(back, array)


def test_what_is_smooth_becomes_small():
    ramp = np.add.outer(np.arange(200), np.arange(200)).astype(np.uint8)
    assert len(squeezed(ramp)) < 300
    colours = np.stack([ramp, ramp + 9, ramp // 2], axis=-1)
    assert len(squeezed(colours)) < 0.02 * colours.size


@pytest.mark.parametrize("max_error", range(9))
def test_what_is_coarsened_is_off_by_no_more_than_was_allowed(max_error: int):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    back = refined(coarsened(values, max_error), max_error)
    assert back.dtype == np.uint8
    assert np.abs(back.astype(int) - values).max() == max_error


def test_damaged_bytes_are_no_picture():
    data = squeezed(np.zeros((4, 4), np.uint8)).copy()
    with pytest.raises(ValueError, match="cannot reshape"):
        restored(data, (9, 9), "uint8")
    with pytest.raises(lzma.LZMAError):
        restored(data[:10], (4, 4), "uint8")

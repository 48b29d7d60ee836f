import numpy as np

from nuguide.training.simplex_noise import octaves, simplex_noise


def grid(size: int, step: float) -> list[np.ndarray]:
    along = np.arange(size) * step
    return np.meshgrid(along, along, indexing="ij")


def noise(size: int = 200, step: float = 0.1, seed: int = 0) -> np.ndarray:
    return simplex_noise(*grid(size, step), np.random.default_rng(seed))


def test_a_seed_decides_it():
    np.testing.assert_array_equal(noise(seed=1), noise(seed=1))
    assert not np.allclose(noise(seed=1), noise(seed=2))


def test_it_lies_within_one_and_uses_the_range():
    values = noise()
    assert -1.01 <= values.min() < -0.6
    assert 0.6 < values.max() <= 1.01
    assert abs(values.mean()) < 0.05


def test_it_has_no_steps_at_the_borders_of_its_triangles():
    """Half as far apart values differ half as much, at worst too."""
    for axis in (0, 1):
        far, near = (
            np.abs(np.diff(noise(size, step), axis=axis)).max()
            for size, step in ((300, 0.02), (600, 0.01))
        )
        assert near < 0.6 * far


def test_it_is_zero_at_the_corners_of_its_triangles():
    """The unskewed whole numbers: there every gradient is multiplied by no distance."""
    rows, columns = np.meshgrid(np.arange(8.0), np.arange(8.0), indexing="ij")
    back = (rows + columns) * (3 - np.sqrt(3)) / 6
    at = simplex_noise(rows - back + 1e-9, columns - back + 1e-9, np.random.default_rng(0))
    np.testing.assert_allclose(at, 0, atol=1e-6)


def test_its_features_are_as_wide_as_asked():
    """What is a wavelength and more apart has little to do with one another."""
    values = octaves(256, 32.0, 1, 0.6, np.random.default_rng(0))
    centred = values - values.mean()

    def alike(apart: int) -> float:
        return float((centred[:, :-apart] * centred[:, apart:]).mean() / centred.var())

    assert alike(4) > 0.8
    assert alike(40) < 0.35


def test_octaves_fill_zero_to_one_and_get_rougher():
    one, six = (octaves(128, 32.0, count, 0.6, np.random.default_rng(0)) for count in (1, 6))
    for values in (one, six):
        assert (values.shape, values.min(), values.max()) == ((128, 128), 0, 1)
    roughness = [np.abs(np.diff(values, 2)).mean() for values in (one, six)]
    assert roughness[1] > 3 * roughness[0]

import pytest

from nuguide.errors import ResolutionError
from nuguide.units import checked_mpp, coarseness_warning


@pytest.mark.parametrize("mpp", [0.1, 0.5, 1.0])
def test_a_scale_near_the_model_s_or_finer_needs_no_word(mpp: float) -> None:
    assert not coarseness_warning("tile", mpp, "--mpp", 0.5)


@pytest.mark.parametrize("mpp", [1.01, 2.0])
def test_a_coarse_scale_is_told(mpp: float) -> None:
    warning = coarseness_warning("tile", mpp, "OME metadata", 0.5)
    assert f"tile has {mpp:g} um/px (OME metadata)" in warning
    assert "the model's 0.5" in warning


def test_a_scale_at_which_no_nucleus_is_seen_is_refused() -> None:
    with pytest.raises(ResolutionError, match=r"8 um/px .*expected 2 um/px or finer.*--mpp") as no:
        coarseness_warning("tile", 8.0, "OME-Zarr metadata", 0.5)
    assert "objective" not in str(no.value)


def test_an_objective_power_is_recognised() -> None:
    hint = r"{} looks like an objective: um/px of 20x is about 0\.5 and of 40x about 0\.25"
    for power in (10, 20):
        with pytest.raises(ResolutionError, match=hint.format(power)):
            coarseness_warning("tile", power, "--mpp", 0.5)
    for power in (40, 60):
        with pytest.raises(ResolutionError, match=hint.format(power)):
            checked_mpp(power)

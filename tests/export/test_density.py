import numpy as np
import pyarrow as pa
import pytest

from nuguide.export.density import count_density
from nuguide.nuclei.schema import empty_nuclei
from nuguide.slides.tissue import Tissue


def at(y_um: np.ndarray, x_um: np.ndarray) -> pa.Table:
    return pa.table({"centroid_y_um": y_um, "centroid_x_um": x_um})


def test_each_nucleus_counts_once_where_it_lies() -> None:
    pieces = [at(np.array([5.0, 30.0, 1000.0]), np.array([5.0, 50.0, 600.0])), empty_nuclei()]
    density = count_density(pieces, (1000.0, 600.0))
    assert (density.cell_um, density.counts.shape) == (20.0, (50, 30))
    assert density.nuclei == 3
    assert {tuple(place) for place in np.argwhere(density.counts)} == {(0, 0), (1, 2), (49, 29)}


def test_a_large_slide_has_larger_cells() -> None:
    assert count_density([], (25_600.0, 5000.0)).cell_um == 100.0
    assert count_density([], (25_600.0, 5000.0)).counts.shape == (256, 50)


def test_an_even_spread_has_one_density_up_to_the_edges() -> None:
    # One nucleus in each square of 10 um: 10,000 per mm2; the far cells are cut by the edge.
    y, x = np.mgrid[5:1010:10, 5:530:10].reshape(2, -1).astype(float)
    density = count_density([at(y, x)], (1010.0, 530.0))
    assert density.per_mm2() == pytest.approx(10_000.0, rel=1e-6)


def test_an_even_spread_has_one_density_up_to_the_edges_of_what_was_searched() -> None:
    # The region's edges cut both the cells of 20 um and the squares of the spread.
    mask = np.zeros((132, 157), np.bool_)
    mask[41:97, 30:118] = True
    tissue = Tissue(mask, 8.0, 0.0)
    y, x = np.mgrid[2:1056:4, 2:1256:4].reshape(2, -1).astype(float)
    inside = tissue.covers(y, x, 1.0)
    density = count_density([at(y[inside], x[inside])], (1056.0, 1256.0), tissue)
    searched = np.zeros((53, 63), np.bool_)
    searched[328 // 20 : -(-776 // 20), 240 // 20 : -(-944 // 20)] = True
    shown = density.per_mm2()
    assert shown[searched] == pytest.approx(1e6 / 4**2, rel=0.03)
    assert not shown[~searched].any()


def test_where_nothing_was_searched_is_no_density() -> None:
    nowhere = Tissue(np.zeros((40, 30), np.bool_), 8.0, 0.0)
    assert not count_density([], (320.0, 240.0), nowhere).per_mm2().any()


def test_no_nuclei_are_no_density() -> None:
    assert not count_density([empty_nuclei()], (100.0, 3.0)).per_mm2().any()


def test_a_share_is_of_all_nuclei_and_unknown_where_there_are_few() -> None:
    y, x = np.mgrid[2:400:4, 2:800:4].reshape(2, -1).astype(float)
    left = x < 300
    near = x < 500
    whole = count_density([at(y[near], x[near])], (400.0, 800.0))
    share = count_density([at(y[left], x[left])], (400.0, 800.0)).share_of(whole)
    assert share[:, :8] == pytest.approx(1.0)
    assert share[:, 22:24] == pytest.approx(0.0)
    assert np.isnan(share[:, 32:]).all()
    assert np.isnan(count_density([], (50.0, 50.0)).share_of(count_density([], (50.0, 50.0)))).all()

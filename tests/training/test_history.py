from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from nuguide.training.fit import fit
from nuguide.training.history import CURVE_FILE, History, best_line, curve, history_of
from nuguide.training.log import METRICS

LOG = (
    "epoch,loss_epoch,loss_step,step,"
    "validation_aji,validation_dice_foreground,validation_mpq_plus\n"
    """0,,2.5,0,,,
0,,2.0,9,,,
0,,,9,0.3,0.7,nan
0,2.2,,9,,,
1,,1.5,19,,,
1,,,19,0.5,0.75,0.1
1,1.6,,19,,,
2,,,29,0.4,0.8,0.2
2,1.4,,29,,,
"""
)


def written(folder: Path, text: str = LOG) -> Path:
    (folder / METRICS).parent.mkdir(parents=True)
    (folder / METRICS).write_text(text)
    return folder


@pytest.fixture
def history(tmp_path: Path) -> History:
    found = history_of(written(tmp_path), "validation_aji")
    assert found is not None
    return found


def test_each_value_stands_beside_the_steps_that_were_done(history: History):
    np.testing.assert_array_equal(history.loss.steps, [1, 10, 20])
    np.testing.assert_array_equal(history.loss.values, [2.5, 2.0, 1.5])
    np.testing.assert_array_equal(history.mean_loss.values, [2.2, 1.6, 1.4])
    assert list(history.scores) == ["aji", "dice_foreground", "mpq_plus"]
    np.testing.assert_array_equal(history.scores["aji"].steps, [10, 20, 30])
    np.testing.assert_array_equal(history.scores["aji"].values, [0.3, 0.5, 0.4])


def test_the_best_epoch_is_told_with_all_its_scores(history: History):
    assert history.best_steps == 20
    assert best_line(history) == (
        "AJI 0.500; Dice, foreground 0.750; mPQ+ 0.100 (validation, after 20 of 30 steps)"
    )


def test_a_score_that_is_no_number_is_not_the_best(tmp_path: Path):
    found = history_of(written(tmp_path), "validation_mpq_plus")
    assert found is not None
    assert next(iter(found.scores)) == "mpq_plus"
    assert found.best_steps == 30


@pytest.mark.parametrize("text", [LOG.splitlines()[0] + "\n0,,2.5,0,,,\n", ""])
def test_before_the_first_validation_there_is_no_history(tmp_path: Path, text: str):
    assert history_of(written(tmp_path, text), "validation_aji") is None


def test_a_run_without_a_log_has_no_history(tmp_path: Path):
    assert history_of(tmp_path, "validation_aji") is None


def test_the_figure_draws_every_course_and_marks_the_best_epoch(history: History):
    above, below = curve(history).axes
    drawn = {line.get_label(): line.get_xydata() for line in (*above.lines, *below.lines)}
    np.testing.assert_array_equal(drawn["a step"], [[1, 2.5], [10, 2.0], [20, 1.5]])
    np.testing.assert_array_equal(drawn["AJI"], [[10, 0.3], [20, 0.5], [30, 0.4]])
    assert {line.get_xdata()[0] for line in (above.lines[-1], below.lines[-1])} == {20}


def test_a_training_leaves_its_curve(data, make_segmentation, tmp_path: Path):
    fit(make_segmentation(), data, tmp_path / "run", progress=False)
    picture = imread(tmp_path / "run" / CURVE_FILE)
    assert picture.shape[1] > 1000
    assert picture.std() > 0.05


def test_it_is_drawn_while_a_long_training_goes_on(
    data, make_segmentation, tmp_path: Path, monkeypatch
):
    drawn: list[int] = []
    monkeypatch.setattr("nuguide.training.history._DRAWN_EVERY_S", -1)
    monkeypatch.setattr(
        "nuguide.training.history.write_figure",
        lambda figure, path: drawn.append(len(figure.axes[1].lines[0].get_xdata())),
    )
    fit(make_segmentation(), data, tmp_path / "run", progress=False)
    assert drawn == [1, 2, 2]

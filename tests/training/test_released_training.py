"""The recipe ``released`` from end to end, as narrow and short as it can be."""

from pathlib import Path

import pytest
import torch

from nuguide.datasets.opening import open_dataset
from nuguide.errors import RecipeError
from nuguide.models.registry import load
from nuguide.segmentation.predictor import predict_maps
from nuguide.training.finish import finish, read_checkpoint
from nuguide.training.fit import fit
from nuguide.training.length import in_steps
from nuguide.training.module import SegmentationTraining
from nuguide.training.progress import is_finished, steps_done
from nuguide.training.recipe import SegmentationRecipe
from nuguide.training.recipe_file import read_recipe

SMALL = {
    "mpp": 0.125,  # of 128 px at 0.25 um/px, resized whole to 256 px
    "network.options.width": 2,
    "batch": 2,
    "views": 2,
    "epochs": 2,
}


@pytest.fixture(autouse=True)
def teacher(make_teacher, monkeypatch):
    teacher = make_teacher()
    for room in ("training.fit", "models.model"):
        monkeypatch.setattr(f"nuguide.{room}.load_guide", lambda name, field_um: teacher)
    return teacher


def small(**changes) -> SegmentationRecipe:
    recipe = read_recipe("released", SMALL | changes)
    assert isinstance(recipe, SegmentationRecipe)
    return recipe


def weights(run: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]


def test_it_trains_whole_epochs_goes_on_after_a_stop_and_leaves_a_model(
    data: Path, tmp_path: Path, monkeypatch
):
    recipe, run, stopped = small(), tmp_path / "run", tmp_path / "stopped"
    fit(recipe, data, run, progress=False)
    assert steps_done(run) == 4, "two epochs of two views of two images, two a step"
    assert is_finished(run, in_steps(recipe, 2))

    step = SegmentationTraining.training_step

    def dying(self, batch, index):
        if self.current_epoch == 1:
            raise ZeroDivisionError
        assert batch["image"].shape == (2, 3, 256, 256)
        assert batch["tokens"].shape == (2, 256, 64, 64)
        return step(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(SegmentationTraining, "training_step", dying)
        with pytest.raises(ZeroDivisionError):
            fit(recipe, data, stopped, progress=False)
    fit(recipe, data, stopped, progress=False)
    whole, resumed = weights(run), weights(stopped)
    assert [key for key in whole if not torch.equal(whole[key], resumed[key])] == []

    folder = finish(run)
    assert folder is not None
    model = load(folder)
    assert (model.card.mpp, model.card.tile_px) == (0.125, 256)
    assert model.card.guide.name == "sam-vit-b"
    sample = open_dataset(data, "validation")[0]
    assert predict_maps(model, sample.image).foreground.shape == sample.labels.shape


def test_an_unfinished_run_of_epochs_is_not_called_finished(data: Path, tmp_path: Path):
    short, long = small(epochs=1), small(epochs=3)
    fit(short, data, tmp_path / "run", progress=False)
    assert not is_finished(tmp_path / "run", in_steps(long, 2))


def test_images_of_another_scale_are_refused_before_anything_is_written(data: Path, tmp_path: Path):
    with pytest.raises(RecipeError, match=r"has 0\.125 um/px when it is resized whole to 256 px"):
        fit(small(mpp=0.5), data, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()

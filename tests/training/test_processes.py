import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nuguide.errors import RecipeError
from nuguide.training.finish import read_checkpoint
from nuguide.training.fit import fit
from nuguide.training.module import SegmentationTraining
from nuguide.training.processes import (
    crop_workers,
    launched,
    own_gpu,
    share_of_crops,
    share_of_images,
)

# Batch norm is left out of the comparison: a CPU cannot synchronise it.
STILL = """
import json, sys
from pathlib import Path
from torch import nn
from nuguide.training.module import SegmentationTraining

step = SegmentationTraining.training_step

def still(self, batch, index):
    for each in self.network.modules():
        if isinstance(each, nn.BatchNorm2d):
            each.eval()
    return step(self, batch, index)

SegmentationTraining.training_step = still
"""

PROGRAM = (
    STILL
    + """
from nuguide.training.fit import fit
from nuguide.training.processes import is_first, launched
from nuguide.training.recipe_file import checked_recipe

recipe = checked_recipe(json.loads(Path(sys.argv[1]).read_text()), "test")
devices, nodes = launched() or (int(sys.argv[4]), 1)
fit(recipe, Path(sys.argv[2]), Path(sys.argv[3]), progress=False, devices=devices, nodes=nodes)
if is_first():
    print("written by the first")
"""
)


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_step_by_step_all_processes_together_see_the_crops_of_one(world: int):
    batch, steps = 12, 5
    shares = [share_of_crops(batch * steps, rank, world) for rank in range(world)]
    for step in range(steps):
        own = batch // world
        seen = [crop for share in shares for crop in share[step * own : (step + 1) * own]]
        assert sorted(seen) == list(range(step * batch, (step + 1) * batch))


@pytest.mark.parametrize(("count", "world"), [(6, 1), (6, 4), (1, 3), (5, 2)])
def test_every_image_is_validated_and_no_process_has_fewer(count: int, world: int):
    shares = [share_of_images(count, rank, world) for rank in range(world)]
    assert {image for share in shares for image in share} == set(range(count))
    assert len({len(share) for share in shares}) == 1
    assert share_of_images(count, 0, 1) == list(range(count))


def test_torchrun_and_slurm_say_how_many_processes_there_are(monkeypatch):
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_NTASKS", "SLURM_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)
    assert launched() is None
    with monkeypatch.context() as patch:
        patch.setenv("TORCHELASTIC_RUN_ID", "a")
        patch.setenv("WORLD_SIZE", "6")
        patch.setenv("LOCAL_WORLD_SIZE", "2")
        assert launched() == (2, 3)
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    monkeypatch.setenv("SLURM_NTASKS", "8")
    monkeypatch.setenv("SLURM_NNODES", "2")
    assert launched() == (4, 2)
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("SLURM_NNODES", "1")
    assert launched() is None


@pytest.mark.parametrize("variable", ["LOCAL_RANK", "SLURM_LOCALID"])
def test_each_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch, variable: str):
    for name in ("LOCAL_RANK", "SLURM_LOCALID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert own_gpu() == torch.device("cuda", 0)
    monkeypatch.setenv(variable, "1")
    assert own_gpu() == torch.device("cuda", 1)
    monkeypatch.setenv(variable, "2")
    assert own_gpu() is None


@pytest.mark.parametrize(
    ("cores", "trainings", "workers"), [(16, 1, 8), (4, 1, 3), (16, 4, 3), (1, 1, 0), (2, 4, 0)]
)
def test_the_cores_beside_a_gpu_make_crops(monkeypatch, cores: int, trainings: int, workers: int):
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    monkeypatch.setattr("nuguide.training.processes.available_cores", lambda: cores)
    assert crop_workers(trainings) == workers


def test_a_batch_that_cannot_be_shared_is_refused(make_segmentation, data: Path, tmp_path: Path):
    with pytest.raises(RecipeError, match="batch is 2 for 3 processes; expected a multiple"):
        fit(make_segmentation(), data, tmp_path / "run", progress=False, devices=3)
    assert not (tmp_path / "run").exists()


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "log" / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["lightning", "torchrun"])
def test_two_processes_end_where_one_does(
    data_with_two_of_validation: Path, make_segmentation, tmp_path: Path, monkeypatch, launcher: str
):
    data = data_with_two_of_validation
    recipe = make_segmentation(
        network={
            "architecture": "eunet3plus",
            "options": {"width": 2, "heads": ["nuclei", "distance"], "dropout": 0.0},
        },
        losses={"dice": 0.0},  # over the batch as a whole, so other over its halves
        decoding={"foreground_threshold": 0.2},  # so that a beginner finds something
        patience_epochs=3,
        steps=3,
        epoch_steps=1,
    )
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json())
    (tmp_path / "program.py").write_text(PROGRAM)
    two = tmp_path / "two"
    start = [sys.executable]
    if launcher == "torchrun":
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [
            *start,
            *(str(tmp_path / name) for name in ("program.py", "recipe.json")),
            *(str(data), str(two), "2"),
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("written by the first") == 1

    step = SegmentationTraining.training_step
    monkeypatch.setattr(SegmentationTraining, "training_step", step)  # puts it back afterwards
    exec(STILL, {})
    one = tmp_path / "one"
    fit(recipe, data, one, progress=False)
    first, second = (read_checkpoint(run / "checkpoints" / "last.ckpt") for run in (one, two))
    assert first["global_step"] == second["global_step"] == 3
    for part in ("state_dict", "current_model_state"):  # averaged and not
        assert first[part].keys() == second[part].keys()
        apart = torch.cat(
            [(value - second[part][key]).abs().ravel() for key, value in first[part].items()]
        )
        # Adam makes a step of 1e-2 of the smallest gradient, of the rounding in it too.
        assert (apart < 1e-3).float().mean() > 0.99
        assert apart.float().mean() < 2e-4
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}
    alone, together = rows(one), rows(two)
    assert [row.keys() for row in alone] == [row.keys() for row in together]
    assert len(alone) == 9, "of each epoch: its step, its validation, its means"
    for here, there in zip(alone[:3], together[:3], strict=True):  # before rounding has grown
        for key, value in here.items():
            assert (value == "") == (there[key] == "")
            if value:
                assert float(there[key]) == pytest.approx(float(value), rel=1e-5), key
    assert float(alone[1]["validation_dice_foreground"]) > 0.05

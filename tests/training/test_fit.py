import csv
import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.fabric.loggers.csv_logs import _ExperimentWriter as ExperimentWriter

from fixtures.replicas import write_consep, write_folder, write_picture
from nuguide import segment
from nuguide.datasets.base import Sample
from nuguide.datasets.consep import CLASSES
from nuguide.datasets.opening import open_dataset
from nuguide.errors import DataSetError, ModelError, OutputError, RecipeError, ResolutionError
from nuguide.guides.base import Embedding
from nuguide.guides.fields import encode_extent
from nuguide.guides.frozen import FrozenSamGuide
from nuguide.guides.student import StudentGuide
from nuguide.models.card import TrainingData
from nuguide.models.checkpoint import load_model_folder, save_model
from nuguide.models.licence import require_commercial_use
from nuguide.models.registry import load, load_plain
from nuguide.networks.fusion import CrossFusion
from nuguide.segmentation.predictor import predict_maps
from nuguide.training.claim import claim, refuse_another_run
from nuguide.training.crops import TokenMap, batches
from nuguide.training.finish import (
    finish,
    load_student,
    load_trained,
    read_checkpoint,
)
from nuguide.training.fit import fit, fitted_on, opened
from nuguide.training.module import DistillationTraining, SegmentationTraining, _mpq_plus
from nuguide.training.progress import is_finished, steps_done
from nuguide.training.recipe import SegmentationRecipe
from nuguide.training.seen import seen_by

STEPS = 6  # three epochs
CHECKPOINTS = ("best.ckpt", "last.ckpt")


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "log" / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def assert_equal_runs(one: Path, other: Path) -> None:
    for name in CHECKPOINTS:
        first, second = (read_checkpoint(run / "checkpoints" / name) for run in (one, other))
        for part in ("state_dict", "current_model_state"):
            assert first[part].keys() == second[part].keys()
            different = [k for k in first[part] if not torch.equal(first[part][k], second[part][k])]
            assert different == [], f"{name}, {part}"
    assert rows(one) == rows(other)


def change_of_weights(run: Path, prefix: str) -> float:
    last = read_checkpoint(run / "checkpoints" / "last.ckpt")
    return max(
        float((value - last["current_model_state"][key]).abs().max())
        for key, value in last["state_dict"].items()
        if key.startswith(prefix)
    )


@pytest.fixture
def dies_in_epoch(monkeypatch):
    """Return a function that lets trainings die in the second step of an epoch, or of none."""
    step = SegmentationTraining.training_step

    def choose(epoch: int | None, error: type[BaseException] = ZeroDivisionError) -> None:
        def dying(self, batch, index):
            if (self.current_epoch, index) == (epoch, 1):
                raise error
            return step(self, batch, index)

        monkeypatch.setattr(SegmentationTraining, "training_step", dying)

    return choose


@pytest.fixture(scope="module")
def whole(data, make_segmentation, tmp_path_factory) -> Path:
    """Return the run of an unguided network that was never stopped."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    best = fit(make_segmentation(steps=STEPS), data, run, progress=False)
    assert best == run / "checkpoints" / "best.ckpt"
    return run


@pytest.fixture(scope="module")
def student_run(data, make_distillation, fake_teacher, tmp_path_factory) -> Path:
    """Return the run of a student of the fake teacher, one epoch."""
    run = tmp_path_factory.mktemp("runs") / "student"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nuguide.training.fit.load_guide", lambda name, field_um: fake_teacher)
        fit(make_distillation(steps=2), data, run, progress=False)
    return run


def test_a_run_leaves_recipe_checkpoints_and_log(whole: Path):
    assert {path.name for path in whole.iterdir()} == {
        "recipe.json",
        "data.json",
        "checkpoints",
        "log",
        "curve.png",
        ".lock",
    }
    assert {path.name for path in (whole / "checkpoints").iterdir()} == set(CHECKPOINTS)
    scored = [row for row in rows(whole) if row["validation_aji"]]
    assert [(row["epoch"], row["step"]) for row in scored] == [("0", "1"), ("1", "3"), ("2", "5")]
    losses = [float(row["loss_epoch"]) for row in rows(whole) if row["loss_epoch"]]
    assert len(losses) == 3
    assert losses[-1] < losses[0]


def test_images_that_tell_no_scale_are_trained_on_at_the_one_that_is_given(
    make_segmentation, tmp_path: Path
):
    names = [f"image-{number}" for number in range(8)]
    write_folder(tmp_path / "data", names)
    recipe, run = make_segmentation(steps=2), tmp_path / "run"
    with pytest.raises(ResolutionError, match="um/px"):
        fit(recipe, tmp_path / "data", run, progress=False)
    fit(recipe, tmp_path / "data", run, mpp=0.25, progress=False)
    (seen,) = seen_by(run).sets
    assert (seen.name, 0 < seen.n_images < 8) == ("data", True)
    with pytest.raises(OutputError, match="images"):
        fit(recipe, tmp_path / "data", run, mpp=0.5, progress=False)


def test_what_is_drawn_where_the_annotation_is_ambiguous_changes_nothing(
    make_segmentation, tmp_path: Path
):
    """Two sets of images, one with all nuclei and one without those of the ambiguous half."""
    names, runs = [f"image-{number}" for number in range(6)], []
    vague = np.zeros((64, 64), np.uint8)
    vague[:, 32:] = 255
    for kind in ("all", "half", "apart"):
        root = tmp_path / kind
        truths = write_folder(root, names)
        for name, truth in truths.items():
            labels = truth.labels.astype(np.uint16)
            if kind != "all":
                reaching = np.unique(labels[:, :32])
                labels[~np.isin(labels, reaching)] = 0
            write_picture(root / "masks" / f"{name}.tif", labels)
            if kind != "apart":
                write_picture(root / "ignore" / f"{name}.png", vague)
        fit(make_segmentation(steps=2), root, root / "run", mpp=0.5, progress=False)
        runs.append(root / "run")
    both, half, apart = (read_checkpoint(run / "checkpoints" / "last.ckpt") for run in runs)
    assert all(torch.equal(v, half["state_dict"][k]) for k, v in both["state_dict"].items())
    assert rows(runs[0]) == rows(runs[1])
    assert any(not torch.equal(v, apart["state_dict"][k]) for k, v in both["state_dict"].items())


def test_types_are_not_scored_where_the_annotation_is_ambiguous():
    labels = np.zeros((40, 60), np.int32)
    labels[5:15, 5:15], labels[5:15, 40:50] = 1, 2
    types = np.where(labels > 0, np.uint8(1), np.uint8(0))
    sample = Sample("a", np.zeros((40, 60, 3), np.uint8), labels, 0.5, types=types)
    probabilities = np.zeros((2, 40, 60), np.float32)
    probabilities[0, :, :30] = probabilities[1, :, 30:] = 1  # the second nucleus is called wrong
    ignore = np.zeros((40, 60), np.bool_)
    ignore[:, 30:] = True
    assert _mpq_plus(sample, labels, probabilities) < 0.7
    vague = replace(sample, ignore=ignore)
    assert _mpq_plus(vague, labels, probabilities) == pytest.approx(1)


def test_an_image_of_which_nothing_is_annotated_is_refused(make_segmentation, tmp_path: Path):
    write_folder(tmp_path / "data", [f"image-{number}" for number in range(6)])
    write_picture(tmp_path / "data" / "ignore" / "image-2.png", np.full((64, 64), 255, np.uint8))
    with pytest.raises(DataSetError, match=r"ignore mask of image-2 covers all of the image"):
        fit(make_segmentation(), tmp_path / "data", tmp_path / "run", mpp=0.5, progress=False)
    assert not (tmp_path / "run").exists()


def test_the_last_checkpoint_is_that_of_the_last_epoch_though_another_was_better(
    data, make_segmentation, tmp_path: Path, monkeypatch
):
    falling = iter([0.5, 0.4])
    scores = {"dice_foreground": 0.0, "pq": 0.0}
    monkeypatch.setattr("nuguide.training.module.score", lambda *_: scores | {"aji": next(falling)})
    fit(make_segmentation(), data, tmp_path / "run", progress=False)
    steps = [
        read_checkpoint(tmp_path / "run" / "checkpoints" / name)["global_step"]
        for name in CHECKPOINTS
    ]
    assert steps == [2, 4]


def test_a_stopped_run_goes_on_as_if_never_stopped(
    data, make_segmentation, whole: Path, tmp_path: Path, dies_in_epoch
):
    run, recipe = tmp_path / "run", make_segmentation(steps=STEPS)
    dies_in_epoch(2)
    with pytest.raises(ZeroDivisionError):
        fit(recipe, data, run, progress=False)
    dies_in_epoch(None)
    fit(recipe, data, run, progress=False)
    assert_equal_runs(whole, run)


def test_a_stopped_run_that_was_moved_keeps_its_best_checkpoint(
    data, make_segmentation, tmp_path: Path, dies_in_epoch, monkeypatch
):
    falling = iter([0.5, 0.4, 0.3])
    scores = {"dice_foreground": 0.0, "pq": 0.0}
    monkeypatch.setattr("nuguide.training.module.score", lambda *_: scores | {"aji": next(falling)})
    recipe, run = make_segmentation(steps=STEPS), tmp_path / "run"
    dies_in_epoch(2)
    with pytest.raises(ZeroDivisionError):
        fit(recipe, data, run, progress=False)
    dies_in_epoch(None)
    moved = run.rename(tmp_path / "moved")
    best = fit(recipe, data, moved, progress=False)
    assert read_checkpoint(best)["global_step"] == 2, "the first epoch was best"
    assert not run.exists()


def test_workers_change_nothing_neither_in_a_run_nor_over_a_stop(
    data, make_segmentation, whole: Path, tmp_path: Path, dies_in_epoch, monkeypatch
):
    """As beside a GPU: two processes make the crops of all epochs ahead of time."""
    made: list[int] = []

    def with_two(crops, epoch, indices, batch, workers):
        made.append(workers)
        return batches(crops, epoch, indices, batch, 2)

    monkeypatch.setattr("nuguide.training.module.batches", with_two)
    recipe, run = make_segmentation(steps=STEPS), tmp_path / "run"
    dies_in_epoch(2)
    with pytest.raises(ZeroDivisionError):
        fit(recipe, data, run, progress=False)
    dies_in_epoch(None)
    fit(recipe, data, run, progress=False)
    assert_equal_runs(whole, run)
    assert made == [0, 0], "on a CPU there are none"


def test_a_killed_process_goes_on_as_if_never_stopped(
    data, make_segmentation, whole: Path, tmp_path: Path
):
    """SIGKILL in the second step of the second epoch: nothing gets a chance to tidy up."""
    run, recipe = tmp_path / "run", make_segmentation(steps=STEPS)
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json())
    program = textwrap.dedent("""
        import json, os, signal, sys
        from pathlib import Path
        from nuguide.training import fit, module, recipe_file

        step = module.SegmentationTraining.training_step

        def killing(self, batch, index):
            if (self.current_epoch, index) == (1, 1):
                os.kill(os.getpid(), signal.SIGKILL)
            return step(self, batch, index)

        module.SegmentationTraining.training_step = killing
        values = json.loads(Path(sys.argv[1]).read_text())
        chosen = recipe_file.checked_recipe(values, "test")
        fit.fit(chosen, Path(sys.argv[2]), Path(sys.argv[3]), progress=False)
    """)
    killed = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "recipe.json"), str(data), str(run)],
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    fit(recipe, data, run, progress=False)
    assert_equal_runs(whole, run)


@pytest.mark.parametrize("fails", ["last.ckpt", "best.ckpt", "metrics.csv"])
def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(
    data, make_segmentation, whole: Path, tmp_path: Path, monkeypatch, fails: str
):
    """The disk is full when the second epoch is written."""
    run, recipe, full = tmp_path / "run", make_segmentation(steps=STEPS), [False]
    epochs = iter(range(STEPS))
    start = SegmentationTraining.on_train_epoch_start

    def filling(self):
        full[0] = next(epochs) == 1
        start(self)

    write_bytes, write = Path.write_bytes, ExperimentWriter.save

    def no_space(path: Path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    def to_disk(path: Path, content):
        if full[0] and fails in path.name:
            write_bytes(path, bytes(content)[:100])
            no_space(path)
        return write_bytes(path, content)

    def to_log(self):
        if full[0] and fails == "metrics.csv":
            no_space(run / "log" / "metrics.csv")
        write(self)

    with monkeypatch.context() as patch:
        patch.setattr(SegmentationTraining, "on_train_epoch_start", filling)
        patch.setattr(Path, "write_bytes", to_disk)
        patch.setattr(ExperimentWriter, "save", to_log)
        patch.setattr("nuguide.training.module.score", _rising())
        with pytest.raises(OutputError, match=rf"{fails} cannot be written \(No space left"):
            fit(recipe, data, run, progress=False)
    assert {path.name for path in (run / "checkpoints").iterdir()} == set(CHECKPOINTS)
    assert read_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"] >= 2
    assert load_trained(run).network is not None
    fit(recipe, data, run, progress=False)
    last = [read_checkpoint(each / "checkpoints" / "last.ckpt") for each in (whole, run)]
    assert all(
        torch.equal(x, last[1]["state_dict"][key]) for key, x in last[0]["state_dict"].items()
    )


def _rising():
    """Every validation is the best so far."""
    values = iter(np.linspace(0.1, 0.9, 20))
    return lambda *_: {"dice_foreground": 0.0, "pq": 0.0, "aji": float(next(values))}


@pytest.fixture
def validates_as(monkeypatch):
    """Return a function that tells what the next validations find, one image each."""

    def choose(name: str, values: list[float]) -> None:
        coming = iter(values)
        others = {"dice_foreground": 0.5, "pq": 0.5, "aji": 0.5}
        monkeypatch.setattr(
            "nuguide.training.module.score", lambda *_: others | {name: next(coming)}
        )

    return choose


@pytest.mark.parametrize("stop_on", ["aji", "dice_foreground"])
def test_a_training_out_of_patience_ends_and_a_stop_in_between_changes_nothing(
    data, make_segmentation, tmp_path: Path, dies_in_epoch, validates_as, stop_on: str
):
    recipe = make_segmentation(steps=16, patience_epochs=2, stop_on=stop_on)
    found = [0.5, 0.6, 0.55, 0.6, 0.9]  # two epochs that are no better: the fifth is not reached
    runs = tmp_path / "whole", tmp_path / "stopped"
    validates_as(stop_on, found)
    fit(recipe, data, runs[0], progress=False)
    validates_as(stop_on, found)
    dies_in_epoch(3)
    with pytest.raises(ZeroDivisionError):
        fit(recipe, data, runs[1], progress=False)
    assert not is_finished(runs[1], recipe), "it has waited for one epoch so far"
    dies_in_epoch(None)
    fit(recipe, data, runs[1], progress=False)
    assert_equal_runs(*runs)
    for run in runs:
        assert steps_done(run) == 8
        assert is_finished(run, recipe)
    dies_in_epoch(4)  # it would be trained further
    assert fit(recipe, data, runs[1], progress=False) == runs[1] / "checkpoints" / "best.ckpt"


def test_patience_is_kept_by_each_better_epoch_and_none_is_asked_for_by_default(
    data, make_segmentation, tmp_path: Path, validates_as
):
    validates_as("aji", [0.5, 0.4, 0.6, 0.5])
    fit(make_segmentation(steps=8, patience_epochs=2), data, tmp_path / "run", progress=False)
    assert steps_done(tmp_path / "run") == 8
    validates_as("aji", [0.5, 0.4, 0.3, 0.2])
    fit(make_segmentation(steps=8), data, tmp_path / "plain", progress=False)
    assert steps_done(tmp_path / "plain") == 8


def _no_better(self: DistillationTraining, index: int, _: int) -> None:
    self.found[index] = [0.5, 0.5]


def test_a_training_that_diverges_is_stopped_after_its_epoch(
    data, make_segmentation, tmp_path: Path
):
    wild = make_segmentation(steps=STEPS, learning_rate=1e30, warmup_steps=0, clip=0.0)
    with pytest.raises(RecipeError, match=r"NaN or infinite values after 2 steps; .*learning_rate"):
        fit(wild, data, tmp_path / "run", progress=False)
    assert steps_done(tmp_path / "run") == 0


def test_a_student_out_of_patience_ends(
    data, make_distillation, make_teacher, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr("nuguide.training.fit.load_guide", lambda name, field_um: make_teacher())
    monkeypatch.setattr(DistillationTraining, "validation_step", _no_better)
    recipe = make_distillation(steps=12, patience_epochs=1)
    fit(recipe, data, tmp_path / "run", progress=False)
    assert steps_done(tmp_path / "run") == 4
    assert is_finished(tmp_path / "run", recipe)


def test_a_first_best_checkpoint_without_a_last_one_is_replaced(
    data, make_segmentation, whole: Path, tmp_path: Path
):
    """Stopped between the first writing of the two: the run begins anew in their place."""
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    shutil.copy(whole / "recipe.json", run)
    (run / "checkpoints" / "best.ckpt").write_bytes(b"of another time")
    fit(make_segmentation(steps=STEPS), data, run, progress=False)
    assert {path.name for path in (run / "checkpoints").iterdir()} == set(CHECKPOINTS)
    assert_equal_runs(whole, run)


def test_a_finished_run_is_left_as_it_is(data, make_segmentation, whole: Path, tmp_path: Path):
    shutil.copytree(whole, tmp_path / "before")
    assert fit(make_segmentation(steps=STEPS), data, whole, progress=False).is_file()
    assert_equal_runs(tmp_path / "before", whole)


def test_another_recipe_in_the_same_folder_is_refused_with_the_difference(
    data, make_segmentation, whole: Path
):
    before = (whole / "recipe.json").read_bytes()
    with pytest.raises(OutputError, match=r"\(steps 6, now 8\); expected"):
        fit(make_segmentation(steps=8), data, whole, progress=False)
    assert (whole / "recipe.json").read_bytes() == before


@pytest.fixture
def other_data(data_with_two_of_validation: Path, tmp_path: Path) -> Path:
    """Return the replica with a second image of validation: those to fit on are the same."""
    return shutil.copytree(data_with_two_of_validation, tmp_path / "other")


def test_a_run_on_other_images_is_refused_whether_finished_or_stopped(
    data, other_data: Path, make_segmentation, whole: Path, tmp_path: Path, dies_in_epoch
):
    said = rf"a run on other images \({data.name}, digest \w+, now other, \w+\); expected the same"
    with pytest.raises(OutputError, match=said):
        fit(make_segmentation(steps=STEPS), other_data, whole, progress=False)
    dies_in_epoch(1)
    with pytest.raises(ZeroDivisionError):
        fit(make_segmentation(steps=STEPS), data, tmp_path / "run", progress=False)
    with pytest.raises(OutputError, match=said):
        fit(make_segmentation(steps=STEPS), other_data, tmp_path / "run", progress=False)


def test_a_finished_run_needs_its_data_and_takes_them_in_another_place(
    data, make_segmentation, whole: Path, tmp_path: Path
):
    with pytest.raises(DataSetError, match="is no folder"):
        fit(make_segmentation(steps=STEPS), tmp_path / "absent", whole, progress=False)
    shutil.copytree(data, tmp_path / "moved")
    assert fit(make_segmentation(steps=STEPS), tmp_path / "moved", whole, progress=False).is_file()


def test_a_run_of_before_its_images_were_kept_is_taken_and_they_are_kept_then(
    data, other_data: Path, make_segmentation, whole: Path, tmp_path: Path
):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (run / "data.json").unlink()
    fit(make_segmentation(steps=STEPS), data, run, progress=False)
    assert (run / "data.json").read_bytes() == (whole / "data.json").read_bytes()
    with pytest.raises(OutputError, match="a run on other images"):
        fit(make_segmentation(steps=STEPS), other_data, run, progress=False)


def test_a_damaged_record_of_what_was_seen_is_one_clear_line(
    data, make_segmentation, whole: Path, tmp_path: Path
):
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / "data.json").write_text('{"folders": ""')
    with pytest.raises(RecipeError, match=r"data\.json cannot be read .*; delete it") as error:
        fit(make_segmentation(steps=STEPS), data, tmp_path / "run", progress=False)
    assert "\n" not in str(error.value)


def test_a_failed_start_leaves_no_folder_behind(tmp_path: Path, make_segmentation, data):
    with pytest.raises(DataSetError):
        fit(make_segmentation(), tmp_path / "absent", tmp_path / "run", progress=False)
    guide = {"kind": "student", "name": str(tmp_path / "no-student")}
    network = {"architecture": "eunet3plus", "options": {"width": 2, "fusion": "cross"}}
    with pytest.raises(RecipeError, match="is no run of a training"):
        fit(make_segmentation(guide=guide, network=network), data, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, make_segmentation, data):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        fit(make_segmentation(), data, tmp_path / "file" / "run", progress=False)


def test_a_folder_in_which_another_process_trains_is_refused_and_left_alone(
    tmp_path: Path, make_segmentation, data, monkeypatch
):
    monkeypatch.setattr("nuguide.training.claim._PATIENCE_S", 0.0)
    run, recipe = tmp_path / "run", make_segmentation(steps=2)
    program = """
        import sys
        from pathlib import Path
        from nuguide.training.claim import alone

        with alone(Path(sys.argv[1])):
            print("held", flush=True)
            sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(OutputError, match=r"another process is training in .*run; "):
            fit(recipe, data, run, progress=False)
        assert [path.name for path in run.iterdir()] == [".lock"]
        other.kill()
    fit(recipe, data, run, progress=False)
    assert (run / "checkpoints/last.ckpt").is_file()


def test_a_folder_that_cannot_be_held_is_refused(tmp_path: Path, make_segmentation, data):
    (tmp_path / ".lock").mkdir()
    with pytest.raises(OutputError, match=r"lock cannot be written \(Is a directory\).*--out"):
        fit(make_segmentation(steps=2), data, tmp_path, progress=False)


def test_what_was_trained_while_this_one_waited_is_another_run(
    tmp_path: Path, make_segmentation, data, monkeypatch
):
    @contextmanager
    def after_another(out: Path) -> Iterator[None]:
        claim(out, make_segmentation(steps=3), None)
        yield

    monkeypatch.setattr("nuguide.training.fit.alone", after_another)
    with pytest.raises(OutputError, match=r"another recipe \(steps 3, now 2\)"):
        fit(make_segmentation(steps=2), data, tmp_path / "run", progress=False)


def test_ctrl_c_is_passed_on(tmp_path: Path, make_segmentation, data, dies_in_epoch):
    dies_in_epoch(0, KeyboardInterrupt)
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(make_segmentation(), data, tmp_path / "run", progress=False)
    finally:
        signal.signal(signal.SIGINT, before)  # Lightning ignores further ones


def test_lightning_tells_the_device_and_does_not_chatter(
    tmp_path: Path, make_segmentation, data, caplog
):
    with caplog.at_level(logging.INFO):
        for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero"):
            logging.getLogger(name).addHandler(caplog.handler)
        fit(make_segmentation(steps=2), data, tmp_path / "run", progress=False)
        for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero"):
            logging.getLogger(name).removeHandler(caplog.handler)
    assert "GPU available" in caplog.text, "useful lines stay"
    for words in ("Tip", "TPU", "max_epochs"):
        assert words not in caplog.text


def test_without_a_moving_average_the_weights_themselves_are_kept(
    tmp_path: Path, make_segmentation, data
):
    fit(make_segmentation(steps=2, ema=0.0), data, tmp_path / "run", progress=False)
    assert "current_model_state" not in read_checkpoint(
        tmp_path / "run" / "checkpoints" / "last.ckpt"
    )
    assert load_trained(tmp_path / "run").guide is None


def test_a_model_of_offsets_is_trained_validated_and_decoded(
    data, make_segmentation, tmp_path: Path, sample
):
    options = {"width": 2, "heads": ["nuclei", "offsets"]}
    recipe = make_segmentation(
        network={"architecture": "eunet3plus", "options": options},
        losses={"boundary": 10.0, "iou": 1.0, "dice": 0.0},
        decoding={"prominence": 0.2},
    )
    run = tmp_path / "run"
    fit(recipe, data, run, progress=False)
    (last,) = (row for row in rows(run) if row["loss_offsets"] and row["epoch"] == "1")
    assert all(float(last[f"loss_{name}"]) > 0 for name in ("offsets", "cross_entropy", "iou"))
    assert "loss_dice" not in last
    finish(run)
    model = load(run / "model")
    assert model.card.decoding.prominence == 0.2
    maps = predict_maps(model, sample.image)
    assert maps.distance is None
    assert maps.offsets.shape == (2, *sample.labels.shape)
    assert maps.offsets.any()
    result = segment(sample.image, mpp=sample.mpp, model=run / "model")
    assert result.labels.shape == sample.labels.shape


@pytest.fixture
def typed(make_segmentation) -> Callable[..., SegmentationRecipe]:
    """Make recipes that tell types apart, by default CoNSeP's."""

    def made(classes=CLASSES, **changes) -> SegmentationRecipe:
        options = {"width": 2, "heads": ["nuclei", "distance", "types"], "n_types": len(classes)}
        network = {"architecture": "eunet3plus", "options": options}
        return make_segmentation(network=network, classes=list(classes), **changes)

    return made


def test_types_are_learned_from_the_set_that_has_them_and_named_in_the_result(
    data, typed, tmp_path: Path, sample
):
    write_consep(tmp_path / "consep", size=128)
    run = tmp_path / "run"
    fit(typed(), [data, tmp_path / "consep"], run, progress=False)
    assert all(float(row["loss_types"]) > 0 for row in rows(run) if row["loss_types"])
    finish(run)
    model = load(run / "model")
    assert model.card.classes == CLASSES
    maps = predict_maps(model, sample.image)
    assert maps.types.shape == (4, *sample.labels.shape)
    np.testing.assert_allclose(maps.types.sum(0), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (("one", "two", "three", "four"), "the data have the classes miscellaneous, .* one, two"),
        (("one", "two"), "the data have no types, the recipe quick has 2 classes"),
    ],
)
def test_types_that_the_data_do_not_have_are_refused(
    data, typed, tmp_path: Path, classes: tuple[str, ...], said: str
):
    write_consep(tmp_path / "consep", size=128)
    folder = tmp_path / "consep" if len(classes) == 4 else data
    with pytest.raises(RecipeError, match=said):
        fit(typed(classes), folder, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


SEEN = TrainingData(name="one", licence="CC0-1.0", split="all", n_images=1, citation="none")


@pytest.fixture(scope="module")
def model_before(whole: Path, tmp_path_factory) -> Path:
    """Return the folder of the unguided run's model, whose card names what it has seen."""
    model = load_trained(whole)
    card = model.card.model_copy(update={"training_data": (SEEN,)})
    folder = tmp_path_factory.mktemp("models") / "before"
    save_model(replace(model, card=card), folder)
    return folder


def test_types_alone_are_learned_and_all_else_stays_the_models(
    typed, model_before: Path, tmp_path: Path, sample
):
    """To the bit: neither gradient, batch norm, dropout nor the moving average moves it."""
    write_consep(tmp_path / "consep", size=128)
    run = tmp_path / "run"
    start = {"model": str(model_before), "train": ["types"]}
    told = [SEEN.model_copy(update={"name": "CoNSeP"}).model_dump()]
    # So many steps that an average of equal numbers is off by its rounding.
    recipe = typed(start=start, training_data=told, ema=0.995, steps=20, epoch_steps=20)
    fit(recipe, tmp_path / "consep", run, progress=False)
    assert change_of_weights(run, "network.heads.types") > 1e-4
    finish(run)
    before, after = (load_plain(folder) for folder in (model_before, run / "model"))
    new = after.network.state_dict()
    for key, value in before.network.state_dict().items():
        assert torch.equal(new.pop(key), value), key
    assert set(new) == {"heads.types.weight", "heads.types.bias"}
    for field in ("foreground", "distance"):
        maps = [getattr(predict_maps(model, sample.image), field) for model in (before, after)]
        np.testing.assert_allclose(*maps, atol=1e-6)
    assert [each.name for each in after.card.training_data] == ["one", "CoNSeP"]
    assert [float(row["validation_mpq_plus"]) for row in rows(run) if row["validation_mpq_plus"]]


def test_the_best_of_types_alone_is_the_best_by_types(typed, model_before: Path, tmp_path: Path):
    write_consep(tmp_path / "consep", size=128)
    start = {"model": str(model_before), "train": ["types"]}
    fit(typed(start=start, steps=STEPS), tmp_path / "consep", tmp_path / "run", progress=False)
    scores = [
        float(r["validation_mpq_plus"]) for r in rows(tmp_path / "run") if r["validation_aji"]
    ]
    best = read_checkpoint(tmp_path / "run" / "checkpoints" / "best.ckpt")
    (kept,) = (
        state["best_model_score"]
        for state in best["callbacks"].values()
        if state.get("monitor") == "validation_mpq_plus"
    )
    assert float(kept) == pytest.approx(max(scores), abs=1e-6)


def test_types_alone_need_types_in_validation(
    data, typed, model_before: Path, tmp_path: Path, monkeypatch
):
    write_consep(tmp_path / "consep", size=128)
    plain = list(open_dataset(data, "validation"))
    monkeypatch.setattr("nuguide.training.fit._validation", lambda *_: plain)
    recipe = typed(start={"model": str(model_before), "train": ["types"]})
    with pytest.raises(RecipeError, match="the images of validation have no types"):
        fit(recipe, tmp_path / "consep", tmp_path / "run", progress=False)


def test_the_finished_model_loads_and_predicts(whole: Path, tmp_path: Path, sample):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    for _ in range(2):  # the same command again writes the same model
        assert finish(run) == run / "model"
    model = load(run / "model")
    assert (model.card.name, model.card.mpp, model.guide) == ("quick", 0.5, None)
    maps = predict_maps(model, sample.image)
    assert maps.foreground.shape == maps.distance.shape == sample.labels.shape
    averaged = read_checkpoint(run / "checkpoints" / "best.ckpt")["state_dict"]
    assert all(
        torch.equal(averaged[f"network.{key}"], value)
        for key, value in load_model_folder(run / "model").network.state_dict().items()
    )


def test_the_card_tells_the_data_that_were_given_and_not_the_recipes(
    data, make_segmentation, whole: Path, tmp_path: Path
):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    recipe = make_segmentation(steps=STEPS, licence="CC0-1.0", training_data=[SEEN.model_dump()])
    (run / "recipe.json").write_text(recipe.model_dump_json())
    finish(run)
    card = load(run / "model").card
    (told,) = card.training_data
    assert (told.name, told.licence, told.n_images) == ("MoNuSeg 2018", "CC BY-NC-SA 4.0", 2)
    with pytest.raises(ModelError, match="not allowed"):
        require_commercial_use(card)


def test_a_student_is_distilled(student_run: Path, fake_teacher):
    (scored,) = (row for row in rows(student_run) if row["validation_cosine"])
    assert -1 <= float(scored["validation_cosine_standardised"]) <= 1
    student = load_student(student_run)
    assert not student.training
    assert student.teacher == "tinyvit-sam"
    assert student.token_std.min() > 0
    assert not torch.equal(student.token_mean, torch.zeros_like(student.token_mean))
    assert finish(student_run) is None
    # Two images to fit on and one of validation, one field each: the teacher is asked once.
    assert fake_teacher.calls == 3
    assert len(list((student_run.parent / "tokens").iterdir())) == 3


def test_a_student_is_validated_on_an_image_of_a_broken_number_of_its_pixels(
    make_distillation, fake_teacher
):
    """129 px at 0.25 um/px are 17 tokens of 2 um, and 64 px, 16 tokens, at the student's."""
    image = np.random.default_rng(0).integers(0, 255, (129, 129, 3)).astype(np.uint8)
    sample = Sample("odd", image, np.ones((129, 129), np.int32), 0.25)
    tokens = TokenMap(encode_extent(fake_teacher, image, 0.25).values[0].half(), 2.0)
    training = DistillationTraining(make_distillation(), [sample], [sample], [tokens], [tokens])
    assert tokens.values.shape[1:] == (17, 17)
    with torch.no_grad():
        training.eval().validation_step(0, 0)
    assert np.isfinite(training.found[0]).all()


def test_a_student_of_every_way_learns_what_the_teacher_says_of_the_turned_image(
    data, make_distillation, fake_teacher, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr("nuguide.training.fit.load_guide", lambda name, field_um: fake_teacher)
    given: list[DistillationTraining] = []
    monkeypatch.setattr("nuguide.training.fit.train", lambda module, *_, **__: given.append(module))
    upright = {"rotate": False, "upright": True}
    fit(make_distillation(every_way=True, augmentation=upright), data, tmp_path / "run")
    (module,) = given
    assert len({sample.image.tobytes() for sample in module.fit_samples}) == 16
    assert len(module.validation_samples) == 1
    for sample, tokens in zip(module.fit_samples, module.tokens, strict=True):
        taught = encode_extent(fake_teacher, sample.image, sample.mpp).values[0]
        assert torch.equal(tokens.values, taught.half())


def test_plain_tokens_of_a_student_are_read_at_the_crop_and_no_pixel_of_it(
    data, make_guided, student_run: Path, tmp_path: Path, monkeypatch, tokens_seen
):
    """As a named guide's are: whole images are encoded, two to fit on and one of validation."""
    shapes: list[torch.Size] = []
    forward = StudentGuide.forward

    def watched(self, image):
        shapes.append(image.shape)
        return forward(self, image)

    monkeypatch.setattr(StudentGuide, "forward", watched)
    fit(make_guided(student_run, steps=2, plain_tokens=True), data, tmp_path / "run")
    assert shapes == [(1, 3, 64, 64)] * 3
    assert len(tokens_seen["training"]) == 2
    assert all(each.any() for each in tokens_seen["training"])


def test_a_guide_inside_a_network_in_training_stays_as_it_was(
    data, make_guided, student_run: Path, tmp_path: Path, sample
):
    """Neither gradient, nor batch-norm's statistics, nor the moving average may move it."""
    student, run = load_student(student_run), tmp_path / "guided"
    fit(make_guided(student_run), data, run, progress=False)
    checkpoint = read_checkpoint(run / "checkpoints" / "last.ckpt")
    for key, value in student.state_dict().items():
        assert torch.equal(checkpoint["current_model_state"][f"guide.{key}"], value)
    assert change_of_weights(run, "network.") > 1e-4, "the network did train"
    finish(run)
    model = load(run / "model")
    assert model.guide.sha256 == student.sha256
    assert predict_maps(model, sample.image).foreground.shape == sample.labels.shape


@pytest.fixture(scope="module")
def guided_model(data, make_guided, student_run: Path, tmp_path_factory) -> Path:
    """Return the folder of a model with a student inside."""
    run = tmp_path_factory.mktemp("runs") / "guided"
    fit(make_guided(student_run, steps=2), data, run, progress=False)
    made = finish(run)
    assert made is not None
    return made


def test_a_model_brings_its_student_to_the_training_that_begins_with_it(
    data, make_guided, guided_model: Path, tmp_path: Path
):
    run, start = tmp_path / "run", {"model": str(guided_model)}
    fit(make_guided(tmp_path / "gone", start=start, steps=2), data, run, progress=False)
    finish(run)
    before, after = load_plain(guided_model), load_plain(run / "model")
    assert after.guide.sha256 == before.guide.sha256
    assert after.card.guide == before.card.guide


def test_a_student_of_another_teacher_or_of_no_model_is_refused(
    data, make_guided, make_distillation, guided_model: Path, model_before: Path, tmp_path: Path
):
    other = tmp_path / "other"
    claim(other, make_distillation(teacher="sam-vit-b"), None)
    start = {"model": str(guided_model)}
    with pytest.raises(RecipeError, match=r"student of tinyvit-sam at 0\.5 um/px, .* of sam-vit-b"):
        fit(make_guided(other, start=start), data, tmp_path / "run", progress=False)
    start = {"model": str(model_before)}
    with pytest.raises(RecipeError, match="has no student, the recipe guided is guided by one"):
        fit(make_guided(other, start=start), data, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_the_tokens_of_a_named_guide_are_read_from_its_cache(
    data, make_segmentation, fake_teacher, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr("nuguide.training.fit.load_guide", lambda name, field_um: fake_teacher)
    recipe = named(make_segmentation)
    before = fake_teacher.calls
    fit(recipe, data, tmp_path / "run", progress=False)
    # Two images to fit on and one of validation, whose tokens are read after both epochs.
    assert len(list((tmp_path / "tokens").iterdir())) == fake_teacher.calls - before == 3
    fit(recipe, data, tmp_path / "again", progress=False)
    assert fake_teacher.calls - before == 3, "another run encodes nothing"
    card = load_trained(tmp_path / "run").card
    assert (card.guide.kind, card.guide.name) == ("named", "tinyvit-sam")


class WatchedGuide(FrozenSamGuide):
    """A guide of zeros that notes where it was moved, and where it was when it encoded."""

    def __init__(self) -> None:
        super().__init__(torch.nn.Identity(), "watched", "e" * 64, 128.0)
        self.noted: list[str] = []

    def to(self, device):
        self.noted.append(str(device))
        return self

    def encode(self, rgb, mpp):
        self.noted.append("encoded")
        return Embedding(torch.zeros(len(rgb), 256, 64, 64), 2.0, self.name, self.sha256)


@pytest.mark.parametrize("gpu", [torch.device("cuda", 1), None])
def test_a_named_guide_encodes_on_the_gpu_that_is_trained_on(
    data, make_segmentation, tmp_path: Path, monkeypatch, gpu: torch.device | None
):
    guide = WatchedGuide()
    monkeypatch.setattr("nuguide.training.fit.load_guide", lambda name, field_um: guide)
    monkeypatch.setattr("nuguide.training.fit.own_gpu", lambda: gpu)
    monkeypatch.setattr("nuguide.training.fit.train", lambda *_, **__: None)
    fit(named(make_segmentation), data, tmp_path / "run", progress=False)
    assert guide.noted == (["cuda:1"] if gpu else []) + ["encoded"] * 2


@pytest.mark.parametrize("progress", [True, False])
def test_the_images_that_a_guide_encodes_are_counted_where_a_bar_is_asked_for(
    data, make_distillation, fake_teacher, tmp_path: Path, monkeypatch, progress: bool
):
    shown: list[tuple[str, int]] = []

    def watched(samples, description, *, disable, **_):
        if not disable:
            shown.append((description, len(samples)))
        return samples

    monkeypatch.setattr("nuguide.training.fit.track", watched)
    monkeypatch.setattr("nuguide.training.fit.load_guide", lambda name, field_um: fake_teacher)
    monkeypatch.setattr("nuguide.training.fit.train", lambda *_, **__: None)
    fit(make_distillation(), data, tmp_path / "run", progress=progress)
    counted = [("tokens of fake-teacher", 2), ("tokens of fake-teacher", 1)]
    assert shown == (counted if progress else [])


@pytest.fixture
def tokens_seen(monkeypatch) -> dict[str, list[torch.Tensor]]:
    """Return the tokens that fusion is given in training and in validation."""
    seen: dict[str, list[torch.Tensor]] = {"training": [], "validation": []}
    forward = CrossFusion.forward

    def watched(self, features, tokens):
        seen["training" if self.training else "validation"].append(tokens)
        return forward(self, features, tokens)

    monkeypatch.setattr(CrossFusion, "forward", watched)
    return seen


def named(make_segmentation, **changes):
    options = {"width": 2, "fusion": "cross", "fusion_level": 3, "window": 4}
    return make_segmentation(
        steps=2,
        network={"architecture": "eunet3plus", "options": options},
        guide={"kind": "named", "name": "tinyvit-sam", "field_um": 128.0},
        **changes,
    )


def test_a_control_trained_with_zeros_sees_nothing_else_and_makes_no_model(
    data, make_segmentation, fake_teacher, tmp_path: Path, monkeypatch, tokens_seen
):
    monkeypatch.setattr("nuguide.training.fit.load_guide", lambda name, field_um: fake_teacher)
    fit(named(make_segmentation), data, tmp_path / "guided", progress=False)
    assert all(each.any() for part in tokens_seen.values() for each in part)
    for part in tokens_seen.values():
        part.clear()
    recipe = named(make_segmentation, guide_control="zeroed")
    fit(recipe, data, tmp_path / "zeroed", progress=False)
    assert all(tokens_seen.values()), "it trains and validates"
    assert not any(each.any() for part in tokens_seen.values() for each in part)
    assert finish(tmp_path / "zeroed") is None
    assert finish(tmp_path / "guided") is not None


def test_a_control_trained_with_other_images_tokens_gets_those_by_its_seed(
    data, make_segmentation, fake_teacher, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr("nuguide.training.fit.load_guide", lambda name, field_um: fake_teacher)
    validation = list(open_dataset(data, "train"))[:2]
    monkeypatch.setattr("nuguide.training.fit._validation", lambda *_: validation)
    given: list[SegmentationTraining] = []
    monkeypatch.setattr("nuguide.training.fit.train", lambda module, *_, **__: given.append(module))
    for control in ("guided", "shuffled"):
        recipe = named(make_segmentation, guide_control=control)
        fit(recipe, data, tmp_path / control, progress=False)
    own, other = given
    assert torch.equal(own.tokens[0].values, other.tokens[1].values)
    assert torch.equal(own.tokens[1].values, other.tokens[0].values)
    assert not torch.equal(own.tokens[0].values, own.tokens[1].values)
    names = [sample.name for sample in other.validation_samples]
    assert [guide.other.name for guide in other.validation_guides] == names[::-1]


def test_a_recipe_may_ask_for_some_of_the_images(data, make_segmentation, tmp_path, monkeypatch):
    given: list[SegmentationTraining] = []
    monkeypatch.setattr("nuguide.training.fit.train", lambda module, *_, **__: given.append(module))
    for n_images in (None, 1):
        fit(make_segmentation(n_images=n_images), data, tmp_path / str(n_images), progress=False)
    assert [len(module.fit_samples) for module in given] == [2, 1]
    with pytest.raises(DataSetError, match="3 images were asked for"):
        fit(make_segmentation(n_images=3), data, tmp_path / "3", progress=False)


def test_a_balanced_recipe_repeats_the_images_of_small_strata(make_segmentation, tmp_path: Path):
    organs = {"a": "colon", "b": "colon", "c": "colon", "d": "liver"}
    rows = [{"name": n, "organ": organ, "split": "train"} for n, organ in organs.items()]
    rows.append({"name": "e", "organ": "liver", "split": "validation"})
    write_folder(tmp_path, "abcde", [{**row, "mpp": 0.5} for row in rows])
    drawn = fitted_on(make_segmentation(balanced=True), [tmp_path])
    assert [sample.name for sample in drawn] == ["a", "b", "c", "d", "d", "d"]
    assert len(fitted_on(make_segmentation(), [tmp_path])) == 4
    samples, *_ = opened(make_segmentation(balanced=True), [tmp_path])
    assert [sample.name for sample in samples] == ["a", "b", "c", "d", "d", "d"]
    assert len({id(sample) for sample in samples}) == 4, "each is held once"


def test_a_recipe_balances_data_sets(make_segmentation, tmp_path: Path):
    for name, images in (("one", "abcdef"), ("two", "gh")):
        rows = [{"name": each, "split": "train", "mpp": 0.5} for each in images]
        rows[-1]["split"] = "validation"
        write_folder(tmp_path / name, images, rows)
    folders = [tmp_path / "one", tmp_path / "two"]
    drawn = fitted_on(make_segmentation(balanced="sets"), folders)
    assert [entry.name for entry in drawn.entries[5:]] == ["two/g"] * 5
    assert len(fitted_on(make_segmentation(balanced="sets"), folders[:1])) == 5


def test_a_control_needs_tokens_that_are_kept(make_segmentation):
    with pytest.raises(RecipeError, match="expected a guide of kind 'named'"):
        make_segmentation(guide_control="zeroed")


def test_a_run_of_before_the_controls_goes_on(make_segmentation, whole: Path, tmp_path: Path):
    """A recipe.json that lacks a newer key counts as the key's default."""
    shutil.copytree(whole, tmp_path / "run")
    path = tmp_path / "run" / "recipe.json"
    old = json.loads(path.read_text())
    assert old.pop("guide_control") == "guided"
    path.write_text(json.dumps(old))
    refuse_another_run(tmp_path / "run", make_segmentation(steps=STEPS))
    with pytest.raises(OutputError, match="another recipe"):
        refuse_another_run(tmp_path / "run", make_segmentation(steps=STEPS, seed=9))


def test_mode_distil_learns_the_tokens_and_needs_no_guide_afterwards(
    data, make_segmentation, student_run: Path, tmp_path: Path
):
    options = {"width": 2, "fusion": "distil", "fusion_level": 3}
    recipe = make_segmentation(
        steps=2,
        network={"architecture": "eunet3plus", "options": options},
        guide={"kind": "student", "name": str(student_run)},
        losses={"tokens": 1.0},
    )
    fit(recipe, data, tmp_path / "run", progress=False)
    assert any(
        np.isfinite(float(r["loss_tokens"])) for r in rows(tmp_path / "run") if r["loss_tokens"]
    )
    model = load_trained(tmp_path / "run")
    assert (model.guide, model.card.guide.kind) == (None, "none")


def test_a_network_that_reads_tokens_needs_a_guide(data, make_segmentation, tmp_path: Path):
    network = {"architecture": "eunet3plus", "options": {"width": 2, "fusion": "cross"}}
    with pytest.raises(RecipeError, match=r"reads tokens, its guide is 'none'; expected"):
        fit(make_segmentation(network=network), data, tmp_path / "run", progress=False)


def test_a_student_of_another_scale_is_refused_before_training(
    data, make_guided, student_run: Path, tmp_path: Path
):
    with pytest.raises(RecipeError, match=r"reads 0\.5 um/px; expected 0\.25"):
        fit(make_guided(student_run, mpp=0.25), data, tmp_path / "run", progress=False)


def test_a_run_of_the_other_kind_is_refused(whole: Path, student_run: Path):
    with pytest.raises(RecipeError, match="expected that of a distillation"):
        load_student(whole)
    with pytest.raises(RecipeError, match="expected that of a segmentation"):
        load_trained(student_run)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 truncated", b"\x80\x02N."])
def test_a_missing_or_damaged_checkpoint_is_one_clear_line(
    whole: Path, tmp_path: Path, content: bytes | None
):
    (tmp_path / "checkpoints").mkdir()
    shutil.copy(whole / "recipe.json", tmp_path)
    if content is not None:
        (tmp_path / "checkpoints" / "best.ckpt").write_bytes(content)
    with pytest.raises(RecipeError) as error:
        load_trained(tmp_path)
    assert "best.ckpt" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_damaged_recipe_of_a_run_is_one_clear_line(tmp_path: Path):
    (tmp_path / "recipe.json").write_text('{"kind": "segm')
    with pytest.raises(RecipeError, match=r"recipe\.json cannot be read as JSON"):
        finish(tmp_path)
    (tmp_path / "recipe.json").write_text(f'{{"seed": {"1" * 5000}}}')
    with pytest.raises(RecipeError, match=r"recipe\.json cannot be read as JSON"):
        finish(tmp_path)

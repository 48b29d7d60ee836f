"""One command's worth of training: samples, tokens, Lightning's trainer, checkpoints, resume."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint, Timer
from lightning.pytorch.callbacks.progress import RichProgressBar
from lightning.pytorch.plugins.io import TorchCheckpointIO

from nuguide.datasets.base import Sample
from nuguide.datasets.collection import Samples
from nuguide.datasets.opening import open_dataset
from nuguide.datasets.splits import balanced
from nuguide.errors import RecipeError
from nuguide.files import make_folder, unwritable
from nuguide.guides.controls import derangement
from nuguide.guides.registry import load_guide
from nuguide.training.checkpoint_file import write_checkpoint
from nuguide.training.claim import claim, refuse_another_run
from nuguide.training.crops import TokenMap
from nuguide.training.finish import (
    TRAINED_FILE,
    best_path,
    last_path,
    load_student,
    read_checkpoint,
)
from nuguide.training.hardware import PRECISION_KEY, Precision
from nuguide.training.log import open_log, without_noise
from nuguide.training.module import DistillationTraining, SegmentationTraining
from nuguide.training.recipe import (
    DistillationRecipe,
    Recipe,
    SegmentationRecipe,
)
from nuguide.training.teacher import CachedGuide, cached_tokens, tokens_folder

_ADVICE = "make room, or give another --out, and train on"


def fit(recipe: Recipe, data: Path | Sequence[Path], out: Path, *, progress: bool = True) -> Path:
    """Train what the recipe says; run again with the same arguments, it continues.

    Parameters
    ----------
    recipe : Recipe
        All choices.
    data : Path or sequence of Path
        The data set's folder, or those of several, which are joined.
    out : Path
        The run's folder: ``recipe.json``, ``checkpoints/``, ``log/metrics.csv``, and shared by
        the runs beside it, ``tokens/``.
    progress : bool
        Whether to draw a progress bar.

    Returns
    -------
    Path
        The checkpoint that validated best.

    Raises
    ------
    OutputError
        If ``out`` holds the run of another recipe, or cannot be written.
    DataSetError
        If ``data`` is no data set with the recipe's split and a part of validation.
    RecipeError
        If guide and network do not go together, or a checkpoint is damaged.
    """
    refuse_another_run(out, recipe)
    if is_finished(out, recipe):
        return best_path(out)
    samples, validation = list(fitted_on(recipe, data)), list(_validation(data))
    if isinstance(recipe, DistillationRecipe):
        monitor = "validation_cosine_standardised"
        module: L.LightningModule = _distillation(recipe, samples, validation, out)
    else:
        monitor = "validation_aji"
        module = _segmentation(recipe, samples, validation, out)
    claim(out, recipe)  # only now, when data, guide and network have been found good
    with without_noise():
        _train(module, recipe, out, monitor, progress)
    return best_path(out)


def trained_elsewhere(out: Path) -> dict[str, float] | None:
    """Return ``steps`` and ``seconds`` of a run that was taken back from a GPU machine.

    Raises
    ------
    RecipeError
        If that record is damaged.
    """
    path = out / TRAINED_FILE
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return {name: float(values[name]) for name in ("steps", "seconds")}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RecipeError(
            f"{path} cannot be read ({type(error).__name__}: {error}); expected the record of a "
            "training on a GPU; take it back again with scripts/train_gpu unpack"
        ) from error


def steps_done(out: Path) -> int:
    """Return the steps that the last checkpoint of a run has seen; 0 if there is none.

    Raises
    ------
    RecipeError
        If that checkpoint is damaged.
    """
    if (there := trained_elsewhere(out)) is not None:
        return int(there["steps"])
    last = last_path(out)
    return int(read_checkpoint(last)["global_step"]) if last.is_file() else 0


def seconds_trained(out: Path) -> float | None:
    """Return the wall time of a run up to its last checkpoint, over all its stops.

    None if there is no checkpoint, or one of before the time was kept.
    """
    if (there := trained_elsewhere(out)) is not None:
        return float(there["seconds"])
    last = last_path(out)
    kept = read_checkpoint(last)["callbacks"].get("Timer") if last.is_file() else None
    return None if kept is None else float(kept["time_elapsed"]["train"])


def precision_of(out: Path) -> Precision:
    """Return the precision that a run was trained with; 32 for one of before it was kept.

    Raises
    ------
    RecipeError
        If its best checkpoint is missing or damaged.
    """
    kept: Precision = read_checkpoint(best_path(out)).get(PRECISION_KEY, "32")
    return kept


def is_finished(out: Path, recipe: Recipe) -> bool:
    """Tell whether ``out`` holds all epochs of its recipe, or a training of another machine."""
    return (
        trained_elsewhere(out) is not None
        or steps_done(out) >= _epochs(recipe) * recipe.epoch_steps
    )


def _epochs(recipe: Recipe) -> int:
    return -(-recipe.steps // recipe.epoch_steps)


def _train(
    module: L.LightningModule, recipe: Recipe, out: Path, monitor: str, progress: bool
) -> None:
    best, last = best_path(out), last_path(out)
    done = steps_done(out)
    # Without counters: a run that goes on replaces the files of the one that was stopped. And two
    # of them: Lightning's own save_last would keep the last of those that were best.
    keep = [
        ModelCheckpoint(
            best.parent, best.stem, monitor=monitor, mode="max", enable_version_counter=False
        ),
        ModelCheckpoint(last.parent, last.stem, enable_version_counter=False),
    ]
    trainer = L.Trainer(
        accelerator="auto",
        devices=1,
        max_epochs=_epochs(recipe),
        gradient_clip_val=recipe.clip,
        callbacks=[Timer(), *keep, *_averaging(recipe), *_bar(progress)],
        logger=open_log(out, done),
        plugins=[_WholeCheckpoints()],
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        enable_progress_bar=progress,
        enable_model_summary=False,
        log_every_n_steps=min(10, recipe.epoch_steps),
    )
    try:
        _fit(trainer, module, last if done else None, out)
    except SystemExit as end:
        # Lightning leaves so when Ctrl-C is pressed; the program has its own way to say it.
        if trainer.interrupted:
            raise KeyboardInterrupt from end
        raise


class _WholeCheckpoints(TorchCheckpointIO):  # type: ignore[misc]  # Lightning has no types here
    """Writes checkpoints as this package writes every file."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint, whole or not at all."""
        place = Path(path)
        make_folder(place.parent, _ADVICE)
        write_checkpoint(checkpoint, place, _ADVICE)


def _fit(trainer: L.Trainer, module: L.LightningModule, last: Path | None, out: Path) -> None:
    try:
        trainer.fit(module, ckpt_path=last and str(last), weights_only=True)
    except OSError as fault:  # the log, on a full disk
        raise unwritable(Path(fault.filename or out), fault, _ADVICE) from fault


def fitted_on(recipe: Recipe, data: Path | Sequence[Path]) -> Samples:
    """Open the images that a recipe is fitted on; some more than once if it is balanced."""
    samples = open_dataset(data, recipe.split, images=recipe.n_images)
    return Samples(balanced(samples.entries)) if recipe.balanced else samples


def _validation(data: Path | Sequence[Path]) -> list[Sample]:
    return list(open_dataset(data, "validation"))


def _averaging(recipe: Recipe) -> list[Callback]:
    if not recipe.ema:
        return []
    start = min(recipe.warmup_steps, recipe.epoch_steps - 1)
    return [EMAWeightAveraging(decay=recipe.ema, update_starting_at_step=start)]


def _bar(progress: bool) -> list[Callback]:
    return [RichProgressBar(leave=True)] if progress else []


def _token_maps(guide: CachedGuide, samples: list[Sample]) -> list[TokenMap]:
    return [
        TokenMap(cached_tokens(guide.guide, sample.image, sample.mpp, guide.folder), guide.token_um)
        for sample in samples
    ]


def _controlled(maps: list[TokenMap], recipe: SegmentationRecipe) -> list[TokenMap]:
    if recipe.guide_control == "zeroed":
        return [replace(each, values=torch.zeros_like(each.values)) for each in maps]
    if recipe.guide_control == "shuffled":
        return [maps[other] for other in derangement(len(maps), recipe.seed)]
    return maps


def _distillation(
    recipe: DistillationRecipe, samples: list[Sample], validation: list[Sample], out: Path
) -> DistillationTraining:
    teacher = _cached_guide(recipe.teacher, recipe.field_um, out)
    return DistillationTraining(
        recipe,
        samples,
        validation,
        _token_maps(teacher, samples),
        _token_maps(teacher, validation),
    )


def _segmentation(
    recipe: SegmentationRecipe, samples: list[Sample], validation: list[Sample], out: Path
) -> SegmentationTraining:
    if recipe.guide.kind == "none":
        module = SegmentationTraining(recipe, samples, validation)
        if getattr(module.network, "reads_tokens", False):
            raise RecipeError(
                f"the network of the recipe {recipe.name} reads tokens, its guide is 'none'; "
                "expected a guide that makes them; set guide.kind and guide.name"
            )
        return module
    if recipe.guide.kind == "student":
        student = load_student(Path(recipe.guide.name))
        if student.mpp != recipe.mpp:
            raise RecipeError(
                f"the student in {recipe.guide.name} reads {student.mpp:g} um/px; expected "
                f"{recipe.mpp:g}, the recipe's; change mpp, or distil a student at it"
            )
        return SegmentationTraining(recipe, samples, validation, guide=student)
    guide = _cached_guide(recipe.guide.name, recipe.guide.field_um, out)
    tokens = _controlled(_token_maps(guide, samples), recipe)
    return SegmentationTraining(recipe, samples, validation, tokens, guide)


def _cached_guide(name: str, field_um: float | None, out: Path) -> CachedGuide:
    guide = load_guide(name, field_um=field_um)
    if guide is None:
        raise RecipeError(
            f"guide {name!r} makes no tokens; expected one that does; "
            "name one of 'nuguide guides list'"
        )
    return CachedGuide(guide, tokens_folder(out))

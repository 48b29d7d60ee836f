"""One command's worth of training: samples, tokens, Lightning's trainer, checkpoints, resume."""

import warnings
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.callbacks.progress import RichProgressBar
from lightning.pytorch.loggers import CSVLogger

from nuguide.datasets.base import Sample
from nuguide.datasets.opening import open_dataset
from nuguide.errors import OutputError, RecipeError
from nuguide.guides.base import Guide
from nuguide.guides.registry import load_guide
from nuguide.training.crops import TokenMap
from nuguide.training.finish import load_student
from nuguide.training.module import DistillationTraining, SegmentationTraining
from nuguide.training.recipe import (
    RECIPE_FILE,
    DistillationRecipe,
    Recipe,
    SegmentationRecipe,
)
from nuguide.training.teacher import cached_tokens


def fit(recipe: Recipe, data: Path, out: Path, *, progress: bool = True) -> Path:
    """Train what the recipe says; run again with the same arguments, it continues.

    Parameters
    ----------
    recipe : Recipe
        All choices.
    data : Path
        The data set's folder.
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
        If ``out`` holds the run of another recipe.
    """
    _claim(out, recipe)
    samples, validation = list(open_dataset(data, recipe.split)), list(_validation(data))
    if isinstance(recipe, DistillationRecipe):
        monitor = "validation_cosine_standardised"
        module: L.LightningModule = _distillation(recipe, samples, validation, out)
    else:
        monitor = "validation_aji"
        module = _segmentation(recipe, samples, validation, out)
    best = ModelCheckpoint(
        out / "checkpoints", filename="best", monitor=monitor, mode="max", save_last=True
    )
    best.CHECKPOINT_EQUALS_CHAR = "-"
    trainer = L.Trainer(
        accelerator="auto",
        devices=1,
        max_epochs=-(-recipe.steps // recipe.epoch_steps),
        gradient_clip_val=recipe.clip,
        callbacks=[best, *_averaging(recipe), *_bar(progress)],
        logger=CSVLogger(out, name="", version="log"),
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        enable_progress_bar=progress,
        enable_model_summary=False,
        log_every_n_steps=min(10, recipe.epoch_steps),
    )
    last = out / "checkpoints" / "last.ckpt"
    with warnings.catch_warnings():
        # Crops are made in the training process: at two cores a worker would only take from it.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        trainer.fit(module, ckpt_path=str(last) if last.is_file() else None, weights_only=True)
    return Path(best.best_model_path)


def _claim(out: Path, recipe: Recipe) -> None:
    """Write the recipe into a new folder, or check that the folder's is the same."""
    path, text = out / RECIPE_FILE, recipe.model_dump_json(indent=1)
    if path.is_file() and path.read_text() != text:
        raise OutputError(
            f"{out} holds the run of another recipe; expected the same or a new folder; "
            f"compare with {path}, or give another --out"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise OutputError(
            f"{out} cannot be written ({error.strerror}); give another --out"
        ) from error


def _validation(data: Path) -> list[Sample]:
    return list(open_dataset(data, "validation"))


def _averaging(recipe: Recipe) -> list[Callback]:
    if not recipe.ema:
        return []
    start = min(recipe.warmup_steps, recipe.epoch_steps - 1)
    return [EMAWeightAveraging(decay=recipe.ema, update_starting_at_step=start)]


def _bar(progress: bool) -> list[Callback]:
    return [RichProgressBar(leave=True)] if progress else []


def _token_maps(guide: Guide, samples: list[Sample], out: Path) -> list[TokenMap]:
    if guide.field_um is None:
        raise RecipeError(f"{guide.name} reads any extent; expected a guide with a field to cache")
    token_um = guide.field_um / 64
    folder = out.parent / "tokens"
    return [
        TokenMap(cached_tokens(guide, sample.image, sample.mpp, folder), token_um)
        for sample in samples
    ]


def _distillation(
    recipe: DistillationRecipe, samples: list[Sample], validation: list[Sample], out: Path
) -> DistillationTraining:
    teacher = _required_guide(recipe.teacher, recipe.field_um)
    return DistillationTraining(
        recipe,
        samples,
        validation,
        _token_maps(teacher, samples, out),
        _token_maps(teacher, validation, out),
    )


def _segmentation(
    recipe: SegmentationRecipe, samples: list[Sample], validation: list[Sample], out: Path
) -> SegmentationTraining:
    if recipe.guide.kind == "none":
        return SegmentationTraining(recipe, samples, validation)
    if recipe.guide.kind == "student":
        student = load_student(Path(recipe.guide.name))
        return SegmentationTraining(recipe, samples, validation, guide=student)
    guide = _required_guide(recipe.guide.name, recipe.guide.field_um)
    tokens = _token_maps(guide, samples, out)
    return SegmentationTraining(recipe, samples, validation, tokens, guide)


def _required_guide(name: str, field_um: float | None) -> Guide:
    guide = load_guide(name, field_um=field_um)
    if guide is None:
        raise RecipeError(f"guide {name!r} is no encoder; expected one of 'nuguide guides list'")
    return guide

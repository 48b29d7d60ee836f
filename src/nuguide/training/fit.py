"""One command's worth of training: what it reads, what it leaves, how far it is."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import lightning as L
import torch
from rich.console import Console
from rich.progress import track

from nuguide.datasets.base import Sample
from nuguide.datasets.collection import Samples
from nuguide.datasets.opening import open_dataset
from nuguide.datasets.resampling import resampled
from nuguide.datasets.splits import balanced
from nuguide.datasets.turning import every_way
from nuguide.errors import RecipeError
from nuguide.guides.controls import derangement
from nuguide.guides.frozen import FrozenSamGuide
from nuguide.guides.registry import load_guide
from nuguide.guides.student import TOKEN_PX, StudentGuide
from nuguide.training.checks import (
    check_annotated,
    check_classes,
    check_network,
    check_student,
    check_terms,
    check_validation,
)
from nuguide.training.claim import alone, claim, refuse_another_run, refuse_other_data
from nuguide.training.crops import TokenMap
from nuguide.training.finish import best_path, student_of
from nuguide.training.length import in_steps
from nuguide.training.log import without_noise
from nuguide.training.module import DistillationTraining, SegmentationTraining
from nuguide.training.processes import is_first, own_gpu
from nuguide.training.progress import is_finished, steps_done
from nuguide.training.recipe import DistillationRecipe, Recipe, SegmentationRecipe
from nuguide.training.released_augmentation import check_view
from nuguide.training.seen import Seen, keep_seen, seen_by
from nuguide.training.teacher import CachedGuide, cached_tokens, tokens_folder
from nuguide.training.trainer import train


def fit(
    recipe: Recipe,
    data: Path | Sequence[Path],
    out: Path,
    *,
    mpp: float | None = None,
    progress: bool = True,
    devices: int = 1,
    nodes: int = 1,
) -> Path:
    """Train what the recipe says; run again with the same arguments, it continues.

    Parameters
    ----------
    recipe : Recipe
        All choices.
    data : Path or sequence of Path
        The data set's folder, or those of several, which are joined.
    out : Path
        The run's folder: ``recipe.json``, ``data.json``, ``checkpoints/``, ``log/metrics.csv``,
        and shared by the runs beside it, ``tokens/``.
    mpp : float, optional
        um/px of the images of data sets that do not tell their own.
    progress : bool
        Whether to draw progress bars, of the tokens that a guide encodes and of the training.
    devices, nodes : int
        Processes on each machine, one a device, and machines. This program is started anew for
        each further one, unless torchrun or srun has started them; all return from here, and
        ``nuguide.training.processes.is_first`` tells which may write.

    Returns
    -------
    Path
        The checkpoint that validated best.

    Raises
    ------
    OutputError
        If ``out`` holds the run of another recipe or on other images, cannot be written, or
        another process trains in it.
    DataSetError
        If ``data`` is no data set with the recipe's split and a part of validation.
    RecipeError
        If guide and network do not go together, something that is trained has no loss, a batch
        cannot be shared by the processes, the training diverges, or a checkpoint is damaged.
    InputError
        If there are fewer devices.

    Notes
    -----
    ``recipe.batch`` is that of all processes together, and step by step they see the crops that one
    alone would see; gradients are averaged. What differs from one process: a loss over the batch as
    a whole (Dice, IoU) is taken over each share; on a CPU, which has no synchronised batch norm, so
    are its statistics, and the first process' are kept; and each draws its own dropout.
    """
    if recipe.batch % (devices * nodes):
        raise RecipeError(
            f"batch is {recipe.batch} for {devices * nodes} processes; expected a multiple; "
            "change batch, or --devices"
        )
    refuse_another_run(out, recipe)
    samples, validation, seen = opened(recipe, data, mpp)
    refuse_other_data(out, seen)
    asked, recipe = recipe, in_steps(recipe, len(samples))
    if is_finished(out, recipe):
        if is_first() and seen_by(out) is None:
            keep_seen(out, seen)  # a run of before they were kept
        return best_path(out)
    if recipe.released_augmentation:
        for sample in samples + validation:
            check_view(sample, recipe)
    if isinstance(recipe, DistillationRecipe):
        module: L.LightningModule = _distillation(recipe, samples, validation, out, progress)
    else:
        check_terms(recipe)
        check_classes(recipe, data, samples, validation, mpp)
        check_validation(recipe, validation)
        module = _segmentation(recipe, samples, validation, out, progress)
    # Only now, when data, guide and network have been found good.
    with alone(out) if is_first() else nullcontext():
        if is_first():
            refuse_another_run(out, asked)  # of a process that ended while this one waited
            refuse_other_data(out, seen)
            claim(out, asked, seen)
        done = steps_done(out)
        with without_noise():
            train(module, recipe, out, done, progress=progress, devices=devices, nodes=nodes)
    return best_path(out)


def opened(
    recipe: Recipe, data: Path | Sequence[Path], mpp: float | None = None
) -> tuple[list[Sample], list[Sample], Seen]:
    """Decode the images to fit on and those of validation, and tell what they are.

    A training holds them decoded anyhow; for a run that is finished it takes seconds, where its
    training took hours.
    """
    samples = _decoded(fitted_on(recipe, data, mpp))
    validation = _validation(data, mpp)
    check_annotated([*samples, *validation])
    return samples, validation, Seen.of(data, samples, validation, mpp)


def fitted_on(recipe: Recipe, data: Path | Sequence[Path], mpp: float | None = None) -> Samples:
    """Open the images that a recipe is fitted on; some more than once if it is balanced."""
    samples = open_dataset(data, recipe.split, mpp, images=recipe.n_images)
    if not recipe.balanced:
        return samples
    return Samples(balanced(samples.entries, sets=recipe.balanced == "sets"))


def _decoded(samples: Samples) -> list[Sample]:
    """Decode each image once, however often a balanced recipe repeats it."""
    held: dict[str, Sample] = {}
    for entry in samples.entries:
        if entry.name not in held:
            held[entry.name] = entry.read()
    return [held[entry.name] for entry in samples.entries]


def _validation(data: Path | Sequence[Path], mpp: float | None) -> list[Sample]:
    return list(open_dataset(data, "validation", mpp))


def _token_maps(guide: CachedGuide, samples: list[Sample], progress: bool) -> list[TokenMap]:
    # On a CPU an image takes seconds; of those that lie in the cache nothing is seen.
    shown = track(
        samples,
        f"tokens of {guide.name}",
        console=Console(stderr=True),
        transient=True,
        disable=not (progress and is_first()),
    )
    return [
        TokenMap(cached_tokens(guide.guide, sample.image, sample.mpp, guide.folder), guide.token_um)
        for sample in shown
    ]


def _plain_tokens(student: StudentGuide, samples: list[Sample]) -> list[TokenMap]:
    maps = []
    for sample in samples:
        image = resampled(sample, student.mpp).image
        values = student.encode(image[None], student.mpp).values[0].half()
        maps.append(TokenMap(values, TOKEN_PX * student.mpp))
    return maps


def _controlled(maps: list[TokenMap], recipe: SegmentationRecipe) -> list[TokenMap]:
    if recipe.guide_control == "zeroed":
        return [replace(each, values=torch.zeros_like(each.values)) for each in maps]
    if recipe.guide_control == "shuffled":
        return [maps[other] for other in derangement(len(maps), recipe.seed)]
    return maps


def _distillation(
    recipe: DistillationRecipe,
    samples: list[Sample],
    validation: list[Sample],
    out: Path,
    progress: bool,
) -> DistillationTraining:
    teacher = _cached_guide(recipe.teacher, recipe.field_um, out)
    if recipe.every_way:
        samples = [laid for sample in samples for laid in every_way(sample)]
    return DistillationTraining(
        recipe,
        samples,
        validation,
        _token_maps(teacher, samples, progress),
        _token_maps(teacher, validation, progress),
    )


def _segmentation(
    recipe: SegmentationRecipe,
    samples: list[Sample],
    validation: list[Sample],
    out: Path,
    progress: bool,
) -> SegmentationTraining:
    if recipe.guide.kind == "none":
        module = SegmentationTraining(recipe, samples, validation)
        check_network(module.network, recipe)
        return module
    if recipe.guide.kind == "student":
        student = student_of(recipe)
        check_student(student, recipe)
        maps = _plain_tokens(student, samples) if recipe.plain_tokens else None
        return SegmentationTraining(recipe, samples, validation, maps, student)
    guide = _cached_guide(recipe.guide.name, recipe.guide.field_um, out)
    tokens = _controlled(_token_maps(guide, samples, progress), recipe)
    return SegmentationTraining(recipe, samples, validation, tokens, guide)


def _cached_guide(name: str, field_um: float | None, out: Path) -> CachedGuide:
    guide = load_guide(name, field_um=field_um)
    if guide is None:
        raise RecipeError(
            f"guide {name!r} makes no tokens; expected one that does; "
            "name one of 'nuguide guides list'"
        )
    # Lightning moves the network alone; tokens come back to the memory that crops are made in.
    gpu = own_gpu()
    if gpu is not None and isinstance(guide, FrozenSamGuide):
        guide.to(gpu)
    return CachedGuide(guide, tokens_folder(out))

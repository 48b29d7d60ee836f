"""One training of an ablation after the other: trained, scored, written down."""

import platform
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import torch
from filelock import Timeout

from nuguide.datasets.base import Sample, Split
from nuguide.datasets.opening import open_dataset
from nuguide.evaluation.controls import controlled
from nuguide.evaluation.evaluate import evaluate
from nuguide.evaluation.prediction import Predictor, predictor
from nuguide.evaluation.protocols import ProtocolName
from nuguide.evaluation.record import Scores
from nuguide.files import held, make_folder
from nuguide.guides.controls import Control
from nuguide.models.model import Model
from nuguide.segmentation.run import on_device, segment_array
from nuguide.training.ablation.grid import Planned
from nuguide.training.ablation.rows import (
    Budget,
    Found,
    Part,
    Row,
    add_row,
    find_row,
    parts_of,
    read_rows,
    refuse_other_images,
)
from nuguide.training.finish import load_trained
from nuguide.training.fit import fit, fitted_on, opened
from nuguide.training.progress import precision_of, seconds_trained, steps_done
from nuguide.training.recipe import SegmentationRecipe
from nuguide.training.seen import seen_by
from nuguide.training.teacher import CachedGuide, tokens_folder

Say = Callable[[str], None]
"""Told in a line what happens next."""


def ablate(
    plan: Sequence[Planned],
    data: Path,
    file: Path,
    out: Path,
    *,
    split: Split = "validation",
    unseen: Sequence[Path] = (),
    mpp: float | None = None,
    protocols: Sequence[ProtocolName] = (),
    say: Say = lambda line: None,
    progress: bool = False,
) -> None:
    """Train and score what is planned and not yet written down.

    A run that was stopped goes on from its last checkpoint. Several processes may share a plan: a
    run that another one holds is passed over.

    Parameters
    ----------
    plan : sequence of Planned
        All trainings.
    data : Path
        The data set's folder.
    file : Path
        Gets a line for each training; see ``Row``.
    out : Path
        Gets a run's folder for each; the guides' tokens lie beside them.
    split : Split
        What is scored. Choices are made on ``validation``.
    unseen : sequence of Path
        Folders of other data sets, on all images of which each run is scored too.
    mpp : float, optional
        um/px of the images of data sets that do not tell their own.
    protocols : sequence of ProtocolName
        Rules by which a run is scored beside ``standard``.
    say : callable
        See ``Say``.
    progress : bool
        Whether to draw a progress bar.

    Raises
    ------
    OutputError
        If a folder or ``file`` holds a run of the same name by another recipe or on other images.
    InputError
        If two data sets' folders have one name.
    NuguideError
        Whatever else stops a training; what was finished before it stands in ``file``.
    """
    parts = parts_of(data, split, unseen)
    advice = "give another --out"
    make_folder(out, advice)
    missing = _Missing(data, parts, mpp)
    rows = read_rows(file)
    left = [each for each in plan if missing(each, rows)]
    say(f"{len(plan) - len(left)} of {len(plan)} runs are in {file}")
    for each in left:
        name = each.recipe.name
        try:
            # Given back by the system when a process dies, however it dies.
            with held(out / f".{name}.lock", advice, timeout_s=0):
                if not (still := missing(each, read_rows(file))):
                    continue
                say(f"{name}: training")
                fit(each.recipe, data, out / name, mpp=mpp, progress=progress)
                for part in still:
                    say(f"{name}: scoring on {part.name} {part.split}")
                    add_row(file, scored(each, data, out / name, part, protocols, mpp))
        except Timeout:
            say(f"{name}: left to the process that has it")


class _Missing:
    """Tells what of a training is not yet written down.

    Parameters
    ----------
    data : Path
        Folder of the data set that is fitted on.
    parts : sequence of Part
        All that each training is scored on.
    mpp : float, optional
        um/px of the images of data sets that do not tell their own.
    """

    def __init__(self, data: Path, parts: Sequence[Part], mpp: float | None) -> None:
        self.data, self.parts, self.mpp = data, parts, mpp
        self.digests: dict[tuple[object, ...], str] = {}

    def __call__(self, each: Planned, rows: list[Row]) -> list[Part]:
        """Return the parts that a training has no row of; refuse a row of other images."""
        found = {part: find_row(rows, each.variant, each.recipe, part) for part in self.parts}
        for row in found.values():
            if row is not None and row.seen_sha256 is not None:
                refuse_other_images(row, self._digest(each.recipe))
        return [part for part, row in found.items() if row is None]

    def _digest(self, recipe: SegmentationRecipe) -> str:
        # Images are decoded once for all recipes that ask for the same.
        asked = recipe.split, recipe.n_images, recipe.balanced
        if asked not in self.digests:
            self.digests[asked] = opened(recipe, self.data, self.mpp)[2].sha256
        return self.digests[asked]


def scored(
    planned: Planned,
    data: Path,
    run: Path,
    part: Part,
    protocols: Sequence[ProtocolName] = (),
    mpp: float | None = None,
) -> Row:
    """Score the best checkpoint of a finished run, with the controls of its guide.

    Parameters
    ----------
    planned : Planned
        What the run is.
    data, run : Path
        Folders of the data set it was fitted on, and of the run.
    part : Part
        What is scored.
    protocols : sequence of ProtocolName
        Rules beside ``standard``, for a run with its guide's own tokens.
    mpp : float, optional
        um/px of the images of data sets that do not tell their own.
    """
    recipe = planned.recipe
    # Moved first: a guide that remembers is no guide by name any more, which would be moved along.
    model = _remembering(on_device(load_trained(run), "auto"), run)
    samples, seen = list(open_dataset(part.data, part.split, mpp)), seen_by(run)

    def found_by(predict: Predictor, protocol: ProtocolName = "standard") -> Found:
        scores = evaluate(
            predict,
            samples,
            model=recipe.name,
            data=part.name,
            split=part.split,
            protocol=protocol,
        )
        return _found(scores)

    return Row(
        variant=planned.variant,
        seed=recipe.seed,
        data=part.name,
        split=part.split,
        budget=Budget(
            steps=steps_done(run),
            seconds=seconds_trained(run),
            n_images=len({entry.name for entry in fitted_on(recipe, data, mpp).entries}),
        ),
        parameters=sum(each.numel() for each in model.network.parameters()),
        found={
            control: found_by(_predictor(model, control, samples))
            for control in _controls(model, recipe, samples)
        },
        protocols={
            protocol: found_by(predictor(model, protocol), protocol)
            for protocol in protocols
            if recipe.guide_control == "guided"
        },
        commit=_commit(),
        versions=_versions(),
        device=_device(model),
        precision=precision_of(run),
        recipe=recipe.model_dump(mode="json"),
        seen_sha256=None if seen is None else seen.sha256,
    )


def _found(scores: Scores) -> Found:
    images: list[dict[str, float | str]] = [
        {"name": each.name, **({"origin": each.origin} if each.origin else {}), **each.scores}
        for each in scores.images
    ]
    means = {name: summary.mean for name, summary in scores.summaries.items()}
    return Found(scores=means, images=tuple(images))


def _controls(model: Model, recipe: SegmentationRecipe, samples: Sequence[Sample]) -> list[Control]:
    """List how to score: as it was trained, and a guided network without its guide's knowledge."""
    if model.guide is None or recipe.guide_control != "guided":
        return [recipe.guide_control]
    return ["guided", "zeroed", "shuffled"] if len(samples) > 1 else ["guided", "zeroed"]


def _predictor(model: Model, control: Control, samples: Sequence[Sample]) -> Predictor:
    if model.guide is None:
        return lambda rgb, mpp: segment_array(rgb, mpp, model).labels
    return controlled(model, control, samples)


def _remembering(model: Model, run: Path) -> Model:
    """Let a guide with a field read its tokens from where the runs keep them."""
    if model.guide is None or model.guide.field_um is None:
        return model
    return replace(model, guide=CachedGuide(model.guide, tokens_folder(run)))


def _commit() -> str | None:
    """Return the commit of nuguide's source where it lies in a repository that holds it."""
    source, git = Path(__file__), shutil.which("git")
    if git is None:
        return None

    def ask(*arguments: str) -> str | None:
        done = subprocess.run(
            [git, "-C", str(source.parent), *arguments], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else None

    if not ask("ls-files", source.name):
        return None
    changed = "+changed" if ask("status", "--porcelain", str(source.parents[2])) else ""
    return f"{ask('rev-parse', 'HEAD')}{changed}"


def _versions() -> dict[str, str]:
    packages = ("nuguide", "torch", "lightning", "numpy", "scikit-image")
    found = {name: version(name) for name in packages}
    return {"python": platform.python_version(), **found}


def _device(model: Model) -> str:
    device = next(model.network.parameters()).device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()

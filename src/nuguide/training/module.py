"""The Lightning modules: one step of a segmentation's and of a distillation's training."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from nuguide.datasets.base import Sample
from nuguide.datasets.resampling import resampled
from nuguide.evaluation.controls import under_control
from nuguide.evaluation.score import score
from nuguide.evaluation.types import score_types
from nuguide.guides.base import Guide
from nuguide.guides.student import StudentGuide
from nuguide.networks.registry import build_network
from nuguide.segmentation.decoding import decode
from nuguide.segmentation.predictor import run_network
from nuguide.segmentation.types import types_of
from nuguide.training import losses
from nuguide.training.checks import check_finite
from nuguide.training.crops import Batch, Crops, TokenMap, as_input, batches
from nuguide.training.hardware import (
    PRECISION_KEY,
    Precision,
    chosen_precision,
    in_precision,
    training_layout,
)
from nuguide.training.optimiser import optimiser_of
from nuguide.training.processes import crop_workers, share_of_crops, share_of_images
from nuguide.training.recipe import DistillationRecipe, Recipe, SegmentationRecipe
from nuguide.training.released_augmentation import whole
from nuguide.training.schedule import rate
from nuguide.training.start import begin_with


def _seen(sample: Sample, recipe: Recipe) -> Sample:
    """Return a sample as the network is shown it in validation."""
    return whole(sample) if recipe.released_augmentation else resampled(sample, recipe.mpp)


class _Training(L.LightningModule):  # type: ignore[misc]  # Lightning has no types here
    """What both trainings share: seeded crops, optimiser and schedule, whole validation images.

    Several processes each take their share of every batch and of the images of validation; what a
    validation finds is the mean over all images in each of them.

    Parameters
    ----------
    recipe : Recipe
        All choices.
    fit, validation : sequence of Sample
        Images to fit on and to validate on.
    tokens : sequence of TokenMap or None
        A guide's tokens of each of ``fit``.
    """

    scores: tuple[str, ...]
    """What a validation finds of each image."""

    def __init__(
        self,
        recipe: Recipe,
        fit: Sequence[Sample],
        validation: Sequence[Sample],
        tokens: Sequence[TokenMap] | None,
    ):
        super().__init__()
        self.recipe, self.tokens = recipe, tokens
        self.fit_samples = list(fit)
        self.validation_samples = [_seen(sample, recipe) for sample in validation]
        self.precision: Precision | None = None  # known once the device is
        self.targets: set[str] = set()  # what is made of the labels
        self.found: dict[int, list[float]] = {}  # the scores of this validation, by image

    def on_fit_start(self) -> None:
        """Choose number format and layout for the device; a run that goes on keeps its format."""
        if self.precision is None:
            self.precision = chosen_precision(self.recipe.precision, self.device)
        self.layout = training_layout(self.device)
        self.to(memory_format=self.layout)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the number format beside the weights."""
        checkpoint[PRECISION_KEY] = self.precision

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the number format that the run began with; runs of before it was kept had 32."""
        self.precision = checkpoint.get(PRECISION_KEY, "32")

    def _computed(self, part: Callable[..., Any], image: Tensor, *more: Any) -> Any:
        """Compute a part's outputs for a batch of images in the chosen format."""
        assert self.precision is not None
        with in_precision(self.precision, self.device):
            return part(image.contiguous(memory_format=self.layout), *more)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the batches of each epoch; beside a GPU other processes make them."""
        recipe = self.recipe
        crops = Crops(
            self.fit_samples,
            self.tokens,
            mpp=recipe.mpp,
            size=recipe.crop_px,
            augmentation=recipe.released_augmentation or recipe.augmentation,
            targets=self.targets,
            seed=recipe.seed,
            epoch=0,
            length=recipe.batch * recipe.epoch_steps,
        )
        world = self.trainer.world_size
        own = share_of_crops(len(crops), self.global_rank, world)
        # A CPU is busy with the network itself.
        workers = crop_workers(self.trainer.num_devices) if self.device.type == "cuda" else 0
        return batches(crops, self._epoch_to_come, own, recipe.batch // world, workers)

    def _epoch_to_come(self) -> int:
        # Workers begin before Lightning has set current_epoch of a run that goes on.
        return int(self.global_step) // self.recipe.epoch_steps

    def val_dataloader(self) -> DataLoader[int]:
        """Return the indices of the validation images."""
        count, world = len(self.validation_samples), self.trainer.world_size
        own = share_of_images(count, self.global_rank, world)
        return DataLoader(own, batch_size=None)  # type: ignore[arg-type]

    def on_train_epoch_start(self) -> None:
        """Seed dropout by epoch and process, so that a resumed run equals an uninterrupted one."""
        epoch = self.recipe.seed * 100_003 + self.current_epoch
        torch.manual_seed(epoch + 1_000_000_007 * self.global_rank)

    def on_validation_epoch_start(self) -> None:
        """Begin with no scores, and in every process with the first one's statistics."""
        self.found = {}
        # Here, once an epoch and in all processes alike: to look at a loss is to wait for the GPU.
        check_finite(self, self.recipe, self.global_step)
        if self.trainer.world_size > 1:
            for buffer in self.buffers():
                torch.distributed.broadcast(buffer, 0)

    def on_validation_epoch_end(self) -> None:
        """Log the mean of each score over the images of all processes."""
        several = self.trainer.world_size > 1
        table = torch.full((len(self.validation_samples), len(self.scores)), torch.nan)
        for index, values in self.found.items():
            table[index] = torch.tensor(values)
        if several:
            table = self.all_gather(table.to(self.device)).nanmean(0)
        # Images without types have no score of them.
        for name, mean in zip(self.scores, table.nanmean(0), strict=True):
            shown = name == self.scores[0]
            self.log(f"validation_{name}", mean, prog_bar=shown, sync_dist=several)

    def _log_loss(self, name: str, value: Tensor, **where: bool) -> None:
        several = self.trainer.world_size > 1
        self.log(name, value.detach(), on_epoch=True, sync_dist=several, **where)

    def configure_optimizers(self) -> Any:
        """Return the recipe's optimiser and schedule."""
        recipe = self.recipe
        optimiser = optimiser_of(recipe, [p for p in self.parameters() if p.requires_grad])

        def share(step: int) -> float:
            return rate(step, step / recipe.steps, recipe.warmup_steps, recipe.schedule)

        schedule = {"scheduler": LambdaLR(optimiser, share), "interval": "step"}
        return {"optimizer": optimiser, "lr_scheduler": schedule}


class SegmentationTraining(_Training):
    """Fits a network; validates with foreground Dice, AJI and PQ at the recipe's um/px."""

    recipe: SegmentationRecipe
    scores: tuple[str, ...] = ("aji", "dice_foreground", "pq")

    def __init__(
        self,
        recipe: SegmentationRecipe,
        fit: Sequence[Sample],
        validation: Sequence[Sample],
        tokens: Sequence[TokenMap] | None = None,
        guide: Guide | None = None,
    ):
        super().__init__(recipe, fit, validation, tokens)
        torch.manual_seed(recipe.seed)
        self.network = build_network(recipe.network.architecture, **recipe.network.options)
        self.frozen = recipe.start is not None and bool(recipe.start.train)
        if recipe.start is not None:
            begin_with(self.network, recipe.start, recipe)
        self.targets = set(getattr(self.network, "heads", ()))
        if "types" in self.targets:
            self.scores = (*self.scores, "mpq_plus")
        if recipe.losses.boundary:
            self.targets.add("closeness")
        self.guide = guide
        if isinstance(guide, StudentGuide):
            guide.requires_grad_(False)
        self.validation_guides: list[Guide] | None = None
        if guide is not None and getattr(self.network, "reads_tokens", False):
            self.validation_guides = under_control(
                guide, recipe.guide_control, self.validation_samples, recipe.seed
            )

    def train(self, mode: bool = True) -> "SegmentationTraining":
        """Switch the network; what is frozen stays so, its batch norm and dropout too."""
        super().train(mode)
        if self.frozen:
            self.network.eval()
        if isinstance(self.guide, StudentGuide):
            self.guide.eval()
        return self

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the weighted sum of the recipe's losses."""
        tokens = batch.get("tokens")
        if isinstance(self.guide, StudentGuide) and tokens is None:
            with torch.no_grad():
                tokens = self._computed(self.guide, batch["image"]).float()
        outputs = self._computed(self.network, batch["image"], tokens)
        outputs = {name: values.float() for name, values in outputs.items()}
        total = torch.zeros((), device=self.device)
        for name, value in losses.terms(outputs, batch, tokens, self.recipe.losses).items():
            total = total + getattr(self.recipe.losses, name) * value
            self._log_loss(f"loss_{name}", value, on_step=False)
        self._log_loss("loss", total, on_step=True, prog_bar=True)
        return total

    def validation_step(self, index: int, _: int) -> None:
        """Segment one whole image and score it."""
        sample = self.validation_samples[index]
        guide = None if self.validation_guides is None else self.validation_guides[index]
        maps = run_network(
            self.network,
            guide,
            sample.image,
            sample.mpp,
            tile_px=getattr(self.network, "tile_px", None),
        )
        labels = decode(maps, self.recipe.decoding)
        scores = score(sample.labels, labels, sample.ignore)
        if maps.types is not None:
            scores["mpq_plus"] = _mpq_plus(sample, labels, maps.types)
        self.found[index] = [scores[name] for name in self.scores]


def _mpq_plus(
    sample: Sample, labels: NDArray[np.int32], probabilities: NDArray[np.float32]
) -> float:
    """Score the types of an image's nuclei; nan where the image has none."""
    if sample.types is None:
        return math.nan
    found = np.append(0, types_of(labels, probabilities)[1:] + 1)[labels]
    scores = score_types(
        [sample.labels],
        [labels],
        [sample.types],
        [found],
        len(probabilities),
        ignores=[sample.ignore],
    )
    return scores["mpq_plus"]


class DistillationTraining(_Training):
    """Fits a student to a guide's tokens; validates with the cosine to them."""

    recipe: DistillationRecipe
    scores = ("cosine", "cosine_standardised")

    def __init__(
        self,
        recipe: DistillationRecipe,
        fit: Sequence[Sample],
        validation: Sequence[Sample],
        tokens: Sequence[TokenMap],
        validation_tokens: Sequence[TokenMap],
    ):
        super().__init__(recipe, fit, validation, tokens)
        torch.manual_seed(recipe.seed)
        self.student = StudentGuide(
            teacher=recipe.teacher, mpp=recipe.mpp, **recipe.student.model_dump()
        )
        every = torch.cat([each.values.float().flatten(1) for each in tokens], dim=1)
        self.student.token_mean.copy_(every.mean(1)[:, None, None])
        self.student.token_std.copy_(every.std(1)[:, None, None])
        self.validation_tokens = list(validation_tokens)

    def _standardise(self, tokens: Tensor) -> Tensor:
        return (tokens - self.student.token_mean) / self.student.token_std

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the error of the student's tokens."""
        predicted = self._standardise(self._computed(self.student, batch["image"]).float())
        error = losses.token_error(predicted, self._standardise(batch["tokens"]))
        self._log_loss("loss", error, on_step=True, prog_bar=True)
        return error

    def validation_step(self, index: int, _: int) -> None:
        """Compare the tokens of one image, as they are and standardised channel by channel."""
        image = as_input(self.validation_samples[index].image)[None].to(self.device)
        truth = self.validation_tokens[index].values[None].float().to(self.device)
        predicted = self.student(image)
        # The student pads to whole fields of its own; an image that is brought to its um/px may
        # lose the rest of a pixel, and with it the teacher's last row of tokens.
        height, width = np.minimum(predicted.shape[2:], truth.shape[2:])
        predicted, truth = (each[..., :height, :width] for each in (predicted, truth))
        cosine = F.cosine_similarity(predicted, truth).mean()
        pair = self._standardise(predicted), self._standardise(truth)
        centred = F.cosine_similarity(*pair).mean()
        self.found[index] = [float(cosine), float(centred)]

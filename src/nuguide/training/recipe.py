"""Recipes: everything that decides a training, as one typed, frozen value."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from nuguide.evaluation.protocols import RELEASED_SIDE_PX
from nuguide.guides.controls import Control
from nuguide.models.card import Decoding, GuideSpec, Name, NetworkSpec, Text, TrainingData
from nuguide.training.recipe_parts import (
    Augmentation,
    Losses,
    NotNegative,
    Part,
    PositiveFloat,
    PositiveInt,
    ReleasedAugmentation,
    Start,
    StudentShape,
)
from nuguide.units import MPP_RANGE

Mpp = Annotated[float, Field(ge=MPP_RANGE[0], le=MPP_RANGE[1])]
# Below, the deepest map may be one pixel: batch norm has no statistics of one crop. Above, far
# beyond any training that is known, memory ends before the first step.
CropSide = Annotated[int, Field(ge=32, le=2048)]
Batch = Annotated[int, Field(ge=1, le=1024)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # times an epoch's number it still is one for torch


class _Recipe(Part):
    """What all trainings share.

    Attributes
    ----------
    name : str
        Names the run's folder and the model: lower case, digits, ``.``, ``_`` and ``-``.
    split : str
        Part of the data set to fit on; ``validation`` is what choices are made on.
    n_images : int, optional
        Fit on so many of that part's images alone, of as many organs as can be; fewer lie within
        more (``nuguide.datasets.splits.subset``).
    balanced : bool or "sets"
        Draw crops about as often from every organ (or other stratum of the data), not from every
        image; ``sets``: from every data set, and in each from every image; see
        ``nuguide.datasets.splits.balanced``.
    seed : int
        Of weights, crops and augmentation.
    mpp : float
        um/px the network works at.
    crop_px, batch : int
        Side of a crop at ``mpp``, px, from 32 to 2048, and crops a step, at most 1024.
    steps, epoch_steps : int
        Steps in all (rounded up to whole epochs), and of an epoch: after each, the images of
        validation are scored and a checkpoint is written.
    epochs, views : int
        With ``epochs``, so many in place of ``steps`` and ``epoch_steps``: in each, every image
        that is fitted on is seen ``views`` times; see ``nuguide.training.length``.
    optimiser, learning_rate, weight_decay
        See ``nuguide.training.optimiser``.
    schedule, warmup_steps
        See ``nuguide.training.schedule``.
    clip : float
        Largest norm of the gradient; 0: any.
    patience_epochs : int, optional
        Training ends early when so many epochs in a row have not validated better than the best
        before; None: never. The learning rate still declines as if all steps were to come.
    ema : float
        Decay of the moving average of the weights; the average is what is validated and kept.
    precision : {"auto", "32", "bf16"}
        Of what the network computes in training; ``auto`` is bfloat16 where the device has it in
        hardware. Weights, losses, averages and all of validation are float32.
    augmentation : Augmentation
        How crops are drawn and changed.
    released_augmentation : ReleasedAugmentation, optional
        In place of crops, whole images resized to ``crop_px`` x ``crop_px``, as the protocol
        ``released`` sees them; ``mpp`` is what they have then.
    """

    name: Name
    split: Literal["fit", "train"] = "fit"
    n_images: PositiveInt | None = None
    balanced: bool | Literal["sets"] = False
    seed: Seed = 0
    mpp: Mpp = 0.5
    crop_px: CropSide = 256
    batch: Batch = 4
    steps: PositiveInt = 2400
    epoch_steps: PositiveInt = 100
    epochs: PositiveInt | None = None
    views: PositiveInt = 1
    optimiser: Literal["adamw", "adam"] = "adamw"
    learning_rate: PositiveFloat = 3e-3
    weight_decay: NotNegative = 1e-4
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    clip: NotNegative = 1.0
    patience_epochs: PositiveInt | None = None
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.995
    precision: Literal["auto", "32", "bf16"] = "auto"
    augmentation: Augmentation = Augmentation()
    released_augmentation: ReleasedAugmentation | None = None

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        fields = type(self).model_fields
        told = [n for n in ("steps", "epoch_steps") if getattr(self, n) != fields[n].default]
        if self.epochs is not None and told:
            raise ValueError(
                f"{told[0]} is {getattr(self, told[0])} beside epochs = {self.epochs}; expected "
                "steps or epochs"
            )
        return self

    @model_validator(mode="after")
    def _one_view(self) -> Self:
        if self.released_augmentation is None:
            return self
        if self.crop_px != RELEASED_SIDE_PX:
            raise ValueError(
                f"crop_px is {self.crop_px} with released_augmentation; expected "
                f"{RELEASED_SIDE_PX}, the side of the protocol 'released'"
            )
        if self.augmentation != Augmentation():
            raise ValueError(
                "augmentation is changed with released_augmentation in its place; expected one"
            )
        return self


class SegmentationRecipe(_Recipe):
    """Training of a network that segments nuclei.

    Attributes
    ----------
    network : NetworkSpec
        Architecture and options.
    start : Start, optional
        The model that it begins with, and whether only some heads are trained.
    guide : GuideSpec
        The guide. Of kind ``student``: ``name`` is the folder of a distillation's run.
    guide_control : Control
        ``zeroed`` or ``shuffled``: a control of the guide, trained and validated with tokens that
        know nothing of their image; see ``nuguide.evaluation.controls``. With zeros, ``cross`` is
        the network of equal capacity without a guide. Shuffled, by a derangement of the recipe's
        seed. For a named guide alone.
    plain_tokens : bool
        For a student: its tokens of each image as it is are kept and read at each crop, as a named
        guide's are. Otherwise it reads the augmented pixels of every crop.
    stop_on : {"aji", "dice_foreground"}
        The score that ``patience_epochs`` waits for; the best checkpoint is that by AJI anyhow.
        Where the head ``types`` alone is trained, which moves neither, both go by mPQ+.
    losses, decoding
        Terms of the loss; how maps become nuclei in validation and in the finished model.
    classes : tuple of str
        Names of the types of nuclei that the head ``types`` tells apart, in the data set's order;
        empty without that head. ``network.options.n_types`` is their number.
    licence, training_data
        For the finished model's card: the licence of its weights, and the data it has seen, beside
        those of the model that it began with; where other data were seen, the card says so and
        has neither (``nuguide.training.stated``).
    """

    kind: Literal["segmentation"]
    network: NetworkSpec
    start: Start | None = None
    guide: GuideSpec = GuideSpec()
    guide_control: Control = "guided"
    plain_tokens: bool = False
    stop_on: Literal["aji", "dice_foreground"] = "aji"
    losses: Losses = Losses()
    decoding: Decoding = Decoding()
    classes: tuple[Text, ...] = ()
    licence: Text = "not stated"
    training_data: tuple[TrainingData, ...] = ()

    @model_validator(mode="after")
    def _a_channel_for_each_class(self) -> Self:
        n_types = self.network.options.get("n_types", 0)
        if n_types != len(self.classes):
            raise ValueError(
                f"network.options.n_types is {n_types} and classes has {len(self.classes)} names; "
                "expected a name for each type"
            )
        return self

    @property
    def trains_types_alone(self) -> bool:
        """Whether the nuclei stay the model's that it begins with, and types are learned."""
        return self.start is not None and self.start.train == ("types",)

    @model_validator(mode="after")
    def _trained_heads_are_there(self) -> Self:
        heads = self.network.options.get("heads", ())
        there = set(heads) if isinstance(heads, list | tuple) else set()
        if self.start is not None and not there.issuperset(self.start.train):
            raise ValueError(
                f"start.train is {list(self.start.train)}; expected some of network.options.heads, "
                f"{heads}"
            )
        return self

    @model_validator(mode="after")
    def _control_of_a_named_guide(self) -> Self:
        if self.guide_control != "guided" and self.guide.kind != "named":
            raise ValueError(
                f"guide_control is {self.guide_control!r} for a guide of kind {self.guide.kind!r}; "
                "expected a guide of kind 'named'"
            )
        if self.guide_control == "shuffled" and self.balanced:
            raise ValueError(
                "guide_control is 'shuffled' and balanced is set, which would hand some images "
                "their own tokens; expected one of the two"
            )
        return self

    @model_validator(mode="after")
    def _plain_tokens_of_a_student(self) -> Self:
        if self.plain_tokens and self.guide.kind != "student":
            raise ValueError(
                f"plain_tokens is true for a guide of kind {self.guide.kind!r}; expected 'student' "
                "(the tokens of a named guide are of plain images anyhow)"
            )
        return self


class DistillationRecipe(_Recipe):
    """Training of a student of a guide.

    Attributes
    ----------
    teacher : str
        Name of the guide.
    field_um : float
        Its field, um: 256 times ``mpp``, so that its tokens and the student's are of one size
        (64 tokens a field, 4 px a token).
    every_way : bool
        The teacher encodes each image laid down in all eight ways (turned by quarters, mirrored),
        and crops are taken upright from them. A vision transformer's tokens do not turn with the
        tissue; without this they are turned with it, and the student learns their mean.
    student : StudentShape
        Size of the student.
    """

    kind: Literal["distillation"]
    teacher: str = "tinyvit-sam"
    field_um: PositiveFloat = 128.0
    every_way: bool = False
    student: StudentShape = StudentShape()

    @model_validator(mode="after")
    def _one_grid(self) -> Self:
        if not math.isclose(self.field_um, 256 * self.mpp, rel_tol=1e-6):
            raise ValueError(
                f"field_um is {self.field_um:g} at {self.mpp:g} um/px; expected 256 times mpp, "
                f"{256 * self.mpp:g}"
            )
        return self

    @model_validator(mode="after")
    def _every_way_is_upright(self) -> Self:
        if self.every_way and not self.augmentation.upright:
            raise ValueError(
                "every_way is true and augmentation.upright false; expected both, or the crops "
                "would be turned away from their tokens"
            )
        return self


Recipe = SegmentationRecipe | DistillationRecipe

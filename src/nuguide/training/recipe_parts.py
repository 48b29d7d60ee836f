"""What a recipe is made of: how crops are changed, what the loss weighs, how large a student is."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """A frozen value whose keys are all known, of the types that are said, with finite numbers."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


def _in_order(name: str, ends: tuple[float, float]) -> None:
    if ends[0] > ends[1]:
        raise ValueError(f"{name} is [{ends[0]:g}, {ends[1]:g}]; expected the smaller number first")


class Augmentation(Part):
    """How a training crop is drawn and changed.

    Attributes
    ----------
    scale : (float, float)
        Range of the zoom, log-uniform; 1 keeps the recipe's um/px.
    rotate : bool
        Any angle, not quarter turns alone.
    upright : bool
        Neither turned nor mirrored: for targets that know which way was up.
    elastic_px : float
        Standard deviation of a smooth random displacement, px; 0: none.
    stain : float
        Strength of the jitter of stain vectors and amounts; 0: none.
    other_stain, grey : float
        Probabilities of another second stain (brown, red, purple, green) in eosin's place, and
        of a grey picture.
    blur, noise, jpeg : float
        Probabilities of Gaussian blur, Gaussian noise and JPEG compression.
    """

    scale: tuple[PositiveFloat, PositiveFloat] = (0.75, 1.35)
    rotate: bool = True
    upright: bool = False
    elastic_px: NotNegative = 1.5
    stain: NotNegative = 1.0
    other_stain: Share = 0.25
    grey: Share = 0.05
    blur: Share = 0.15
    noise: Share = 0.15
    jpeg: Share = 0.2

    @model_validator(mode="after")
    def _one_way_up(self) -> Self:
        if self.upright and self.rotate:
            raise ValueError("upright and rotate are both true; expected one of them")
        return self

    @model_validator(mode="after")
    def _smaller_first(self) -> Self:
        _in_order("scale", self.scale)
        return self


class ReleasedAugmentation(Part):
    """How the published method sees an image whole and changes it.

    See ``nuguide.training.released_augmentation``.

    Attributes
    ----------
    mirror : float
        Probability of each mirror, left to right and top to bottom.
    rotate : bool
        By any whole number of degrees, cut to the largest square inside the turned image.
    zoom : (float, float)
        Range of the enlargement about the middle, uniform.
    noise, noise_share : float
        Probability of simplex noise, and its share where it is blended in.
    gamma : tuple of float
        Gammas of which one is drawn, each as likely as another; 1 changes nothing.
    """

    mirror: Share = 0.5
    rotate: bool = True
    zoom: tuple[Annotated[float, Field(ge=1)], Annotated[float, Field(ge=1)]] = (1.0, 2.0)
    noise: Share = 0.5
    noise_share: Share = 0.3
    gamma: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (1.0, 1.0, 1.5)

    @model_validator(mode="after")
    def _smaller_first(self) -> Self:
        _in_order("zoom", self.zoom)
        return self


class Losses(Part):
    """Weights of the terms of the loss; a term of weight 0 is not computed.

    Of a network that is supervised at several scales each term is its sum over them.

    Attributes
    ----------
    cross_entropy, focal, dice, released_dice, iou, ms_ssim : float
        Of the head ``nuclei``; the first two also of a network's own answer whether a crop holds
        any nucleus.
    boundary : float
        How much more a pixel between two nuclei that touch weighs in the cross-entropy; 0: all
        alike.
    distance : float
        Of the head ``distance``: squared error of the normalised distance.
    offsets : float
        Of the head ``offsets``: squared error of the offsets and of their derivatives.
    types : float
        Of the head ``types``: cross-entropy in nuclei whose type is known.
    tokens : float
        Of mode ``distil``: predicted against the guide's tokens.
    """

    cross_entropy: NotNegative = 1.0
    focal: NotNegative = 0.0
    dice: NotNegative = 1.0
    released_dice: NotNegative = 0.0
    iou: NotNegative = 0.0
    ms_ssim: NotNegative = 0.0
    boundary: NotNegative = 0.0
    distance: NotNegative = 2.0
    offsets: NotNegative = 1.0
    types: NotNegative = 1.0
    tokens: NotNegative = 0.0

    @model_validator(mode="after")
    def _boundary_weighs_something(self) -> Self:
        if self.boundary and not self.cross_entropy:
            raise ValueError(
                f"boundary is {self.boundary:g} and cross_entropy 0; expected a weight of the "
                "cross-entropy, whose pixels boundary weighs"
            )
        return self


class Start(Part):
    """What a training begins with; see ``nuguide.training.start``.

    Attributes
    ----------
    model : str
        Name or folder of a model, whose weights the network begins with. A head that the model does
        not have begins as any other training's.
    train : tuple of str
        Heads that are trained; all else stays as the model has it, its batch norm too. Empty:
        everything is trained.
    """

    model: Annotated[str, Field(min_length=1)]
    train: tuple[str, ...] = ()


class StudentShape(Part):
    """Size of a student; see ``nuguide.guides.student.StudentGuide``.

    Attributes
    ----------
    widths : four of int
        Channels at strides 2, 4, 8 and 16.
    blocks : int
        Residual blocks at each of strides 4, 8 and 16.
    """

    widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (24, 64, 96, 128)
    blocks: PositiveInt = 2

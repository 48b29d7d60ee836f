from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nuguide.datasets.base import Sample
from nuguide.errors import InputError
from nuguide.evaluation.controls import (
    ShuffledGuide,
    ZeroedGuide,
    controlled,
    under_control,
)
from nuguide.guides.base import Embedding
from nuguide.models.card import Card, NetworkSpec
from nuguide.models.model import Model

MPP = 0.5


class MeanGuide:
    """Tokens of 4 px that hold the image's mean brightness, 0..1, in every channel."""

    name, sha256, field_um = "mean", "0" * 64, None

    def encode(self, rgb: NDArray[np.uint8], mpp: float) -> Embedding:
        rows, columns = (-(-side // 4) for side in rgb.shape[1:3])
        values = torch.full((len(rgb), 256, rows, columns), float(rgb.mean()) / 255)
        return Embedding(values, 4 * mpp, self.name, self.sha256)


class TrustsItsGuide(torch.nn.Module):
    """Calls everything nucleus where the tokens are bright, nothing where they are dark."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(100.0))

    def forward(self, image: torch.Tensor, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        size = image.shape[-2:]
        bright = torch.nn.functional.interpolate(tokens[:, :1], size=size) - 0.5
        return {"nuclei": torch.cat([-bright, bright], dim=1) * self.gain}


@pytest.fixture
def model() -> Model:
    card = Card(
        name="trusting",
        version="0",
        description="believes its guide",
        licence="CC0-1.0",
        mpp=MPP,
        network=NetworkSpec(architecture="eunet3plus"),
        sha256="0" * 64,
    )
    return Model(TrustsItsGuide().eval(), MeanGuide(), card)


@pytest.fixture
def samples() -> list[Sample]:
    """A bright image and a dark one, neither of a single colour."""
    images = [np.full((64, 48, 3), value, np.uint8) for value in (220, 20)]
    for image in images:
        image[:8] = 128
    labels = np.ones((64, 48), np.int32)
    return [Sample(str(i), image, labels, MPP) for i, image in enumerate(images)]


def found(model: Model, control: str, samples: list[Sample]) -> list[bool]:
    predict = controlled(model, control, samples)  # type: ignore[arg-type]
    return [bool(predict(sample.image, sample.mpp).any()) for sample in samples]


def test_guided_runs_the_model_as_it_is(model: Model, samples: list[Sample]) -> None:
    assert found(model, "guided", samples) == [True, False]


def test_zeroed_tokens_know_nothing(model: Model, samples: list[Sample]) -> None:
    assert found(model, "zeroed", samples) == [False, False]
    assert not ZeroedGuide(MeanGuide()).encode(samples[0].image[None], MPP).values.any()


def test_shuffled_tokens_are_those_of_the_next_image(model: Model, samples: list[Sample]) -> None:
    assert found(model, "shuffled", samples) == [False, True]


def stand_in(side: int, mpp: float) -> Sample:
    """A square whose left half is black and whose right half is 102 bright."""
    image = np.zeros((side, side, 3), np.uint8)
    image[:, side // 2 :] = 102
    return Sample("other", image, np.zeros((side, side), np.int32), mpp)


def test_a_smaller_stand_in_is_mirrored_on_to_the_size_asked_for() -> None:
    guide = ShuffledGuide(MeanGuide(), stand_in(16, MPP))
    tokens = guide.encode(np.zeros((1, 64, 32, 3), np.uint8), MPP)
    assert tokens.values.shape == (1, 256, 16, 8)
    assert tokens.values.unique().tolist() == pytest.approx([0.2])


def test_a_stand_in_is_brought_to_the_scale_asked_for() -> None:
    shown = []

    class Watched(MeanGuide):
        def encode(self, rgb: NDArray[np.uint8], mpp: float) -> Embedding:
            shown.append((rgb[0, 0, :, 0].tolist(), mpp))
            return super().encode(rgb, mpp)

    ShuffledGuide(Watched(), stand_in(64, MPP / 2)).encode(np.zeros((1, 32, 32, 3), np.uint8), MPP)
    assert shown == [([0] * 16 + [102] * 16, MPP)]


def test_a_control_gives_every_sample_a_guide(samples: list[Sample]) -> None:
    guide = MeanGuide()
    assert under_control(guide, "guided", samples) == [guide, guide]
    zeroed = under_control(guide, "zeroed", samples)
    assert [type(each) for each in zeroed] == [ZeroedGuide, ZeroedGuide]
    shuffled = under_control(guide, "shuffled", samples, seed=3)
    assert [each.other.name for each in shuffled] == ["1", "0"]  # type: ignore[attr-defined]


def test_without_a_guide_or_a_second_image_there_is_no_control(
    model: Model, samples: list[Sample]
) -> None:
    with pytest.raises(InputError, match="has no guide"):
        controlled(replace(model, guide=None), "zeroed", samples)
    with pytest.raises(InputError, match="two or more"):
        controlled(model, "shuffled", samples[:1])

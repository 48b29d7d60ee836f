from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch

from nuguide.evaluation import prediction
from nuguide.evaluation.prediction import predictor
from nuguide.models.card import Card, Decoding, NetworkSpec
from nuguide.models.model import Model

CARD = Card(
    name="speckled",
    version="0",
    description="calls the red channel's bright pixels nucleus",
    licence="CC0-1.0",
    mpp=0.25,
    network=NetworkSpec(architecture="eunet3plus"),
    decoding=Decoding(foreground_threshold=0.9, min_area_um2=8.0),
    sha256="0" * 64,
)


class BrightIsNucleus(torch.nn.Module):
    """Logits that rise with the red channel; 0 at one half."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, image: torch.Tensor, tokens: None) -> dict[str, torch.Tensor]:
        bright = (image[:, :1] - 0.5) * self.gain
        return {"nuclei": torch.cat([-bright, bright], dim=1)}


def test_released_takes_the_argmax_of_every_pixel_whatever_its_scale():
    red = np.random.default_rng(0).integers(0, 256, (256, 256), np.uint8)
    rgb = np.stack([red, red, red], axis=2)
    model = Model(BrightIsNucleus().eval(), None, CARD)
    found = predictor(model, "released")(rgb, 1.0)
    # Single pixels count, which the model's own decoding would drop.
    assert np.array_equal(np.asarray(found) > 0, red > 127.5)
    assert not np.asarray(predictor(model)(rgb, 0.25).labels).any()


@pytest.mark.parametrize(
    ("classes", "types"), [(("nucleus",), None), (("epithelial", "lymphocyte"), [[0, 2, 2, 1, 0]])]
)
def test_types_are_numbered_as_the_card_lists_them(classes, types, monkeypatch):
    result = SimpleNamespace(
        labels=np.array([[0, 1, 1, 2, 3]]),
        nuclei=pa.table({"type": pa.array(["lymphocyte", "epithelial", None], pa.string())}),
        card=CARD.model_copy(update={"classes": classes}),
    )
    monkeypatch.setattr(prediction, "segment_array", lambda rgb, mpp, model: result)
    found = predictor(SimpleNamespace(card=result.card))(np.zeros((1, 5, 3), np.uint8), 0.25)
    assert np.array_equal(found.labels, result.labels)
    assert (found.types if types is None else found.types.tolist()) == types
    assert replace(found, types=None).types is None

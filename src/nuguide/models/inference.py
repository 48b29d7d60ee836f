"""How a loaded model computes: its network and its student folded for inference."""

from dataclasses import replace

from nuguide.guides.base import Guide
from nuguide.guides.student import StudentGuide
from nuguide.models.model import Model
from nuguide.networks.inference import InferenceNetwork, folded


def for_inference(model: Model) -> Model:
    """Return the model in its fast form: the same function, which can be neither trained nor saved.

    Parameters
    ----------
    model : Model
        As ``nuguide.models.checkpoint`` reads it; it is not changed.
    """
    return replace(model, network=InferenceNetwork(model.network), guide=_folded_guide(model.guide))


def _folded_guide(guide: Guide | None) -> Guide | None:
    if not isinstance(guide, StudentGuide):
        return guide
    # Its digest is that of the weights it was published with: taken before they change.
    _ = guide.sha256
    return folded(guide)

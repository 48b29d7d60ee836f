"""Another way to decode than a model's card has: what a user asks for, checked."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import ValidationError

from nuguide.errors import InputError
from nuguide.faults import first_fault
from nuguide.models.card import Decoding
from nuguide.models.model import Model

_NAMES = ", ".join(Decoding.model_fields)


def asked_decoding(texts: Sequence[str]) -> dict[str, float]:
    """Read what ``--decoding NAME=VALUE`` says, the last of a name wins.

    Raises
    ------
    InputError
        If one is not of that form.
    """
    asked = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            asked[name.strip()] = float(value)
        except ValueError:
            raise InputError(
                f"--decoding says {text!r}; expected NAME=NUMBER with one of {_NAMES}; write it "
                "such as --decoding min_area_um2=5"
            ) from None
    return asked


def with_decoding(model: Model, changes: Mapping[str, float]) -> Model:
    """Return a model that decodes otherwise than its card says.

    Parameters
    ----------
    model : Model
        Stays as it is.
    changes : mapping of str to float
        Values by the names of ``nuguide.models.card.Decoding``; what is left out stays.

    Raises
    ------
    InputError
        If a name is none of these, or a value is out of its range.

    Notes
    -----
    The calibration of the card stays too. It was fitted to nuclei of the card's own decoding.
    """
    if not changes:
        return model
    try:
        decoding = Decoding.model_validate(model.card.decoding.model_dump() | dict(changes))
    except ValidationError as fault:
        told = first_fault(fault, "decodings", model=Decoding)
        raise InputError(
            f"decoding cannot be changed ({told}); expected values of {_NAMES}; correct it"
        ) from fault
    return replace(model, card=model.card.model_copy(update={"decoding": decoding}))

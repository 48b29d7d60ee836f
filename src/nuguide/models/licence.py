"""What a licence says of commercial use, where that is known."""

from dataclasses import dataclass
from enum import StrEnum

from nuguide.errors import ModelError
from nuguide.guides.registry import GUIDES
from nuguide.models.card import Card

NOT_STATED = "not stated"
"""In place of a licence that nobody has named."""


class CommercialUse(StrEnum):
    """Whether a licence allows commercial use, in words for a person; the worst comes last."""

    ALLOWED = "allowed"
    NOT_STATED = "not stated"
    FORBIDDEN = "not allowed"


_ALLOWING = {
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "ISC",
    "MIT",
    "PDDL-1.0",
    "Unlicense",
    "Zlib",
}
"""SPDX identifiers of licences that allow commercial use, some under conditions of their own."""

_KNOWN = {name.casefold() for name in _ALLOWING}


def commercial_use(licence: str) -> CommercialUse:
    """Read what a licence says of commercial use.

    Parameters
    ----------
    licence : str
        An SPDX identifier in any case, with spaces or hyphens (``CC BY-NC-SA 4.0``); a remark in
        brackets behind it is not read.

    Returns
    -------
    CommercialUse
        ``NOT_STATED`` for whatever is not known here, and so not to be taken for allowed.
    """
    identifier = "-".join(licence.partition("(")[0].split()).casefold()
    if identifier in _KNOWN:
        return CommercialUse.ALLOWED
    if identifier.startswith("cc-by-nc"):
        return CommercialUse.FORBIDDEN
    return CommercialUse.NOT_STATED


@dataclass(frozen=True)
class Terms:
    """On what terms a model may be used.

    Attributes
    ----------
    licences : dict of str to str
        Licences by what is under them, in words: the weights, a named guide's, and all training
        data that the card names.
    """

    licences: dict[str, str]

    @property
    def commercial(self) -> CommercialUse:
        """What all of them allow together: the least of each."""
        uses = {commercial_use(licence) for licence in self.licences.values()}
        return max(uses, key=list(CommercialUse).index)

    @property
    def words(self) -> str:
        """That, and by which licences, in a few words."""
        deciding = [
            f"{what} under {licence}"
            for what, licence in self.licences.items()
            if commercial_use(licence) is self.commercial
        ]
        return f"{self.commercial} ({', '.join(deciding)})"


def terms_of(card: Card) -> Terms:
    """Gather the licences that a model's use depends on.

    A student lies in the model's own file, under its licence; a named guide has its own. What a
    card says of its weights does not outdo what it says, or leaves open, of the data that they have
    seen.
    """
    licences = {"weights": card.licence}
    if card.guide.kind == "named":
        entry = GUIDES.get(card.guide.name)
        licences[f"guide {card.guide.name}"] = entry.licence if entry else NOT_STATED
    for data in card.training_data:
        licences[f"training data {data.name}"] = data.licence
    return Terms(licences)


def require_commercial_use(card: Card) -> None:
    """Refuse a model that may not be used commercially, or of which that is not known.

    Raises
    ------
    ModelError
        Naming the licences that stand against it.
    """
    terms = terms_of(card)
    if terms.commercial is not CommercialUse.ALLOWED:
        raise ModelError(
            f"commercial use of {card.name} is {terms.words}; expected licences that allow "
            "it; choose one of nuguide models list --commercial-ok, or train your own"
        )

"""Models by name: those inside the package, and those in folders."""

from contextlib import ExitStack
from importlib.resources import as_file, files
from pathlib import Path

from nuguide.errors import ModelError, nearest_names
from nuguide.models.card import Card, read_card
from nuguide.models.checkpoint import (
    CARD_FILE,
    WEIGHTS_FILE,
    load_model_files,
    read_verified,
    refuse_existing,
    write_model_files,
)
from nuguide.models.inference import for_inference
from nuguide.models.model import Model

_EMBEDDED = files("nuguide.models") / "weights"


def embedded_models() -> tuple[str, ...]:
    """Return the names of the models inside the package, sorted."""
    names = (entry.name for entry in _EMBEDDED.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def load(model: str | Path | Model = "default") -> Model:
    """Load a model.

    Parameters
    ----------
    model : str, Path or Model
        A name out of ``embedded_models()``, the folder of a model, or a model, which is returned
        as it is. A folder that is called like an embedded model is given as ``./name``.

    Returns
    -------
    Model
        On the CPU, for inference: batch norms are folded into their convolutions, so it can be
        neither trained nor saved; ``nuguide.models.checkpoint.load_model_folder`` reads the plain
        form.

    Raises
    ------
    ModelError
        If there is no such model, or it is damaged (see ``nuguide.models.checkpoint``).
    """
    return model if isinstance(model, Model) else for_inference(load_plain(model))


def load_plain(model: str | Path) -> Model:
    """Load a model, named as for ``load``, in the form in which it can be trained and saved."""
    with ExitStack() as stack:
        return load_model_files(*_find(model, stack))


def refuse_embedded(model: str) -> None:
    """Refuse to change a model inside the package.

    Raises
    ------
    ModelError
        If ``model`` is one's name.
    """
    if model in embedded_models():
        raise ModelError(
            f"{model} lies inside the package; expected the folder of a model; make one with: "
            f"nuguide models export {model} -o FOLDER"
        )


def load_card(model: str | Path) -> Card:
    """Read the card of a model, named as for ``load``, without its weights."""
    with ExitStack() as stack:
        return read_card(_find(model, stack)[1])


def export_model(model: str | Path, folder: Path) -> None:
    """Copy a model, named as for ``load``, to a new folder.

    Raises
    ------
    ModelError
        If it is damaged.
    OutputError
        If the folder holds a model already or cannot be written.
    """
    refuse_existing(folder)
    with ExitStack() as stack:
        weights, card = _find(model, stack)
        described = read_card(card)
        read_verified(weights, described.sha256)
        write_model_files(weights.read_bytes(), described, folder)


def weight_bytes(model: str | Path) -> int:
    """Return the size of a model's weight file, named as for ``load``; 0 if it is missing."""
    with ExitStack() as stack:
        weights, _ = _find(model, stack)
        return weights.stat().st_size if weights.is_file() else 0


def _find(model: str | Path, stack: ExitStack) -> tuple[Path, Path]:
    """Return the paths of weights and card; ``stack`` keeps them readable."""
    if isinstance(model, str) and model in embedded_models():
        weights = stack.enter_context(as_file(_EMBEDDED / f"{model}.safetensors"))
        return weights, stack.enter_context(as_file(_EMBEDDED / f"{model}.toml"))
    path = Path(model)
    if path.is_dir():
        return path / WEIGHTS_FILE, path / CARD_FILE
    if path.is_file():
        raise ModelError(
            f"{path} is a file; expected a model's name or folder; turn a published checkpoint "
            "into a model with: nuguide models import FILE --config FILE -o FOLDER"
        )
    raise ModelError(
        f"no model {str(model)!r}; expected a name or a folder with {CARD_FILE}; "
        f"{nearest_names(str(model), embedded_models())}"
    )

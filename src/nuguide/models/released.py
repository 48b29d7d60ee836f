"""Published checkpoints of the guided eU-Net3+, rebuilt exactly on this package's modules.

Swain, Cheoi, Ko, "SAM Guided Task-Specific Enhanced Nuclei Segmentation in Digital Pathology",
MICCAI 2024, 10.1007/978-3-031-72114-4_52. Every one of their checkpoints has the keys of all
guidance blocks, used or not; which function it is, its configuration says.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from nuguide.errors import GuideError, ModelError
from nuguide.guides.weights import dense_tensors, read_pickled
from nuguide.models.card import Card, GuideSpec, NetworkSpec, Options
from nuguide.models.checkpoint import MAX_WEIGHT_BYTES, filled, refuse_nan
from nuguide.models.model import Model, NamedGuide
from nuguide.models.released_config import ReleasedConfig
from nuguide.networks.registry import build_network
from nuguide.networks.unet import LEVELS

MAX_WIDTH = 256
"""Widest network that is rebuilt; the published one has 32 channels."""

_WRAPPERS = ("model_state_dict", "state_dict", "model")
_GUIDANCE = ("squeeze_excite_h", "cross_attention_h5.", "deconv_for_h", "conv_for_h")

_CHOICES = (
    "expected SAM_Guided and advancedSAM_Guided (true and false: single-level, false and true: "
    "multi-level, both false: unguided) and use_maxblurpool (true or false); give the experiment's "
    "config.json, the repository's .sys file or these settings as config"
)


def load_released(path: Path | str, config: Mapping[str, Any] | Path | str | None = None) -> Model:
    """Rebuild a published checkpoint.

    Parameters
    ----------
    path : Path or str
        The published ``.pth`` (read as plain weights, never unpickled freely) or a safetensors file
        with its keys; the state may be wrapped (``model_state_dict``, ``state_dict``, ``model``)
        and its keys may begin with ``module.`` or ``state.``.
    config : mapping, Path or str, optional
        Its settings, a ``config.json`` or ``.sys`` file, or the path of one as text. Without it,
        the file's own metadata entry ``config``.

    Returns
    -------
    Model
        ``network(image, embedding)["nuclei"]`` gives logits (B, 2, H, W) for an image (B, 3, H, W)
        in 0..1, **BGR**, and the raw SAM embedding (B, 256, 64, 64) of a 256 x 256 tile. The
        published output is their sigmoid.

    Raises
    ------
    ModelError
        If the file cannot be read, says nothing of its configuration and none is given, or has
        other keys or shapes than the configuration asks for.
    """
    path = Path(path)
    state, embedded = _read(path)
    given = config if config is not None else embedded
    if given is None:
        raise ModelError(f"{path} does not say how it is guided; {_CHOICES}")
    if isinstance(config, str):
        given = Path(config)
    settings = ReleasedConfig.read(given, source=f"config of {path.name}")
    spec = NetworkSpec(architecture="eunet3plus", options=_options(state, settings, path))
    network = filled(
        lambda: build_network(spec.architecture, **spec.options),
        _mapped(state, settings, path),
        str(path),
    )
    refuse_nan(network.state_dict(), str(path))
    guide = NamedGuide("sam-vit-b", 64.0) if settings.guidance != "unguided" else None
    return Model(network=network, guide=guide, card=_card(path, settings, spec))


def key_pairs(settings: ReleasedConfig) -> Iterator[tuple[str, str]]:
    """Yield (published, ours): the module prefixes that hold the same weights."""
    for level in range(1, LEVELS + 1):
        for half in (1, 2):
            yield f"conv{level}.conv{half}", f"encoder.{level - 1}.{half - 1}"
    for level in range(1, LEVELS):
        ours = f"decoder.levels.{level - 1}"
        for source in range(1, LEVELS + 1):
            # A finer source is pooled first: its convolution and norm stand one place later.
            place = 1 if source < level else 0
            how = f"h{source}_Cat" if source == level else f"hd{source}_UT"
            theirs = f"{f'h{source}_PT' if source < level else how}_hd{level}"
            yield f"{theirs}_conv", f"{ours}.branches.{source - 1}.{place}"
            yield f"{theirs}_bn", f"{ours}.branches.{source - 1}.{place + 1}"
        yield f"conv{level}d_1", f"{ours}.join.0"
        yield f"bn{level}d_1", f"{ours}.join.1"
    yield "outconv1", "heads.nuclei"
    if settings.guidance == "single":
        yield "squeeze_excite_h5.1", "fuse.gate.squeeze"
        yield "squeeze_excite_h5.3", "fuse.gate.excite"
        yield "cross_attention_h5", "fuse.attention"
    if settings.guidance == "multi-level":
        bringers = ("deconv_for_h1", "deconv_for_h2", "conv_for_h3", "conv_for_h4")
        for index, theirs in enumerate(bringers):
            yield theirs, f"gates.bring.{index}"
        for level in range(1, LEVELS + 1):
            yield f"squeeze_excite_h{level}.1", f"gates.gate.{level - 1}.squeeze"
            yield f"squeeze_excite_h{level}.3", f"gates.gate.{level - 1}.excite"
        yield "cross_attention_h5", "fuse"


def _mapped(state: Mapping[str, Tensor], settings: ReleasedConfig, path: Path) -> dict[str, Tensor]:
    """Rename the published keys; guidance blocks that the configuration leaves idle are dropped."""
    pairs = dict(key_pairs(settings))
    renamed: dict[str, Tensor] = {}
    foreign = []
    for key, tensor in state.items():
        # The longest prefix that is known; what follows is the parameter within the module.
        parts = key.split(".")
        prefix = next(
            (p for n in range(len(parts), 0, -1) if (p := ".".join(parts[:n])) in pairs), None
        )
        if prefix is not None:
            renamed[pairs[prefix] + key.removeprefix(prefix)] = tensor
        elif not key.startswith(_GUIDANCE):
            foreign.append(key)
    if foreign:
        raise ModelError(
            f"{path} has keys of another network ({', '.join(sorted(foreign)[:3])}); expected "
            "those of the published eU-Net3+ (conv1.conv1.0.weight ... outconv1.bias); "
            "give one of its checkpoints"
        )
    return renamed


def _options(state: Mapping[str, Tensor], settings: ReleasedConfig, path: Path) -> Options:
    """Infer what the shapes tell and check it against the configuration."""
    try:
        width = state["h1_Cat_hd1_conv.weight"].shape[0]
        first = state["conv1.conv1.0.weight"].shape[0]
    except (KeyError, IndexError) as error:
        raise ModelError(
            f"{path} has no {error}; expected the keys of the published eU-Net3+; "
            "give one of its checkpoints"
        ) from error
    activation = "GLU" if first == 2 * width else "relu"
    for name, found, said in (
        ("channel", width, settings.channel),
        ("activation", activation, settings.activation),
    ):
        if said is not None and said != found:
            raise ModelError(
                f"{path} has {name} {found} by its shapes; the config says {said}; "
                "give the config that belongs to the checkpoint"
            )
    if not 1 <= width <= MAX_WIDTH:
        raise ModelError(
            f"{path} has {width} channels; expected 1 to {MAX_WIDTH}; "
            "give a checkpoint of the published eU-Net3+"
        )
    guided = settings.guidance != "unguided"
    return {
        "width": width,
        "fusion": "released" if guided else "none",
        "multi_level": settings.guidance == "multi-level",
        "activation": activation.lower(),
        "pooling": "max_blur" if settings.use_maxblurpool else "max",
        "dropout": settings.dropout,
    }


def _card(path: Path, settings: ReleasedConfig, spec: NetworkSpec) -> Card:
    guided = settings.guidance != "unguided"
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Card(
        name=f"released-{settings.guidance}",
        version="imported",
        description=f"Published eU-Net3+, {settings.guidance}, imported from {path.name}",
        licence="not stated for the weights; the code they came with is MIT",
        mpp=0.25,
        channel_order="bgr",
        tile_px=256,
        network=spec,
        guide=GuideSpec(kind="named", name="sam-vit-b", field_um=64.0) if guided else GuideSpec(),
        sha256=sha256,
        citation="Swain, Cheoi, Ko. SAM Guided Task-Specific Enhanced Nuclei Segmentation in "
        "Digital Pathology. MICCAI 2024. doi:10.1007/978-3-031-72114-4_52",
        notes=f"Imported from a file with sha256 {sha256}. Its training data, their licence and "
        "its scores are not in the file. It takes BGR, its guide RGB, as its own code feeds them.",
    )


def _read(path: Path) -> tuple[dict[str, Tensor], Any]:
    """Return the state with its published keys, and the configuration inside the file or None."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ModelError(
            f"no checkpoint at {path} ({error.strerror}); expected .pth or .safetensors; "
            "check the path"
        ) from error
    if size > MAX_WEIGHT_BYTES:
        raise ModelError(
            f"{path} has {size} bytes; expected at most {MAX_WEIGHT_BYTES}; "
            "give a checkpoint of the published eU-Net3+"
        )
    state, config = (_safetensors if path.suffix == ".safetensors" else _checkpoint)(path)
    if any(key.startswith("state.") for key in state):
        state = {key: value for key, value in state.items() if key.startswith("state.")}
    renamed = {key.removeprefix("state.").removeprefix("module."): x for key, x in state.items()}
    return renamed, config


def _safetensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, (  # noqa: SIM118
                file.metadata() or {}
            ).get("config")
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} is no safetensors file ({error}); expected named tensors; fetch it again"
        ) from error


def _checkpoint(path: Path) -> tuple[dict[str, Tensor], Any]:
    try:
        content = read_pickled(path, MAX_WEIGHT_BYTES)
    except GuideError as error:
        raise ModelError(str(error)) from error
    config = content.get("config") if isinstance(content, dict) else None
    config = config if isinstance(config, Mapping) else None
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    return dense_tensors(content), config

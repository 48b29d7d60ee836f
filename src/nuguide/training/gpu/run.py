"""One training whose schedule runs over its time or its steps, resumable."""

import copy
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nuguide.errors import RecipeError
from nuguide.guides.base import Guide
from nuguide.guides.student import StudentGuide
from nuguide.networks.registry import build_network
from nuguide.training import losses
from nuguide.training.gpu.augmentation import Draws, crop_tokens, draw_batch
from nuguide.training.gpu.scoring import Scorer, Scores, mean_of
from nuguide.training.gpu.state import StateFile
from nuguide.training.gpu.tissue import KnownTokens, Tissue, stacked, tokens_of
from nuguide.training.hardware import chosen_precision, in_precision, training_layout
from nuguide.training.schedule import rate

if TYPE_CHECKING:
    from nuguide.training.recipe import SegmentationRecipe

VALIDATIONS = 8
"""How often a run is validated."""

SAVE_SECONDS = 60.0
"""A run that is stopped loses at most so much."""

_LOOK_EVERY = 10  # steps; reading a loss waits for the device

State = dict[str, Tensor]


@dataclass
class Progress:
    """How far a run is.

    Attributes
    ----------
    step : int
        Steps done.
    seconds : float
        Time spent on training, validation beside it included, over all calls.
    losses : list
        (step, loss) now and then.
    history : list
        Of each validation: step, seconds and mean scores.
    images : list
        The scores of each image at the best validation.
    """

    step: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float]] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)
    images: list[dict[str, float | str]] = field(default_factory=list)

    @property
    def best_aji(self) -> float:
        """AJI of the best validation so far; -1 before the first."""
        return max((each["aji"] for each in self.history), default=-1.0)


class Run:
    """A network in training on one device.

    Parameters
    ----------
    recipe : SegmentationRecipe
        All choices; its ``steps`` count where there is no ``budget``.
    tissue : Tissue
        What it is fitted on.
    guide : Guide or None
        Of the recipe.
    scorer : Scorer
        Holds the images of validation.
    budget : float or None
        Seconds of training that the schedule runs over; None: it runs over the recipe's steps.
    state_file : StateFile
        Where the run is kept; if it is there, the run goes on from it.

    Attributes
    ----------
    best : dict or None
        Averaged weights of the best validation so far.

    Raises
    ------
    InputError, OutputError
        If the state is damaged, or that of another run.
    """

    def __init__(
        self,
        recipe: "SegmentationRecipe",
        tissue: Tissue,
        guide: Guide | None,
        scorer: Scorer,
        budget: float | None,
        state_file: StateFile,
    ):
        self.recipe, self.tissue, self.scorer = recipe, tissue, scorer
        self.budget, self.state_file = budget, state_file
        self.device = tissue.images.device
        torch.manual_seed(recipe.seed)
        network = build_network(recipe.network.architecture, **recipe.network.options)
        self.layout = training_layout(self.device)
        self.network = network.to(self.device).to(memory_format=self.layout)  # type: ignore[call-overload]
        self.precision = chosen_precision(recipe.precision, self.device)
        averaging = get_ema_multi_avg_fn(recipe.ema)  # type: ignore[no-untyped-call]
        self.averaged = AveragedModel(self.network, multi_avg_fn=averaging, use_buffers=True)
        # It is looked at in every step, and looking at a number on the device waits for all before.
        self.averaged.n_averaged = self.averaged.n_averaged.cpu()
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            fused=self.device.type == "cuda",
        )
        self.student = guide if isinstance(guide, StudentGuide) else None
        self.tokens, self.token_um = self._fit_tokens(guide)
        self.guides = self._validation_guides(guide)
        self.progress = Progress()
        self.best: State | None = None
        self._is_graph = False
        self._waiting: tuple[dict[str, float], State, list[Future[Scores]]] | None = None
        if state_file.is_there:
            self._resume()

    @property
    def share(self) -> float:
        """How much of the budget is used up; 1 and above: all."""
        if self.budget is None:
            return self.progress.step / self.recipe.steps
        return self.progress.seconds / self.budget

    @property
    def is_finished(self) -> bool:
        """Whether its budget is used up and its last validation done."""
        done = self.progress.history
        return self.share >= 1 and bool(done) and "last" in done[-1]

    def _fit_tokens(self, guide: Guide | None) -> tuple[Tensor | None, float]:
        if guide is None or self.student is not None:
            return None, 1.0
        sizes = self.tissue.sizes.int().tolist()
        images = [
            image[:, :height, :width].movedim(0, -1).cpu().numpy()
            for image, (height, width) in zip(self.tissue.images, sizes, strict=True)
        ]
        tokens, token_um = tokens_of(guide, images, self.tissue.mpp, self.recipe)
        return stacked(tokens), token_um

    def _validation_guides(self, guide: Guide | None) -> Sequence[Guide | None]:
        images = [image.rgb for image in self.scorer.images]
        if guide is None or not getattr(self.network, "reads_tokens", False):
            return [None] * len(images)
        if self.student is not None:
            return [self.student] * len(images)
        tokens, token_um = tokens_of(guide, images, self.recipe.mpp, self.recipe)
        return [KnownTokens(each, token_um, guide.name, guide.sha256) for each in tokens]

    def train(self, deadline: float) -> None:
        """Train until the budget is used up or ``time.monotonic()`` reaches ``deadline``.

        Raises
        ------
        RecipeError
            If the loss is no longer finite.
        """
        began, before, saved = time.monotonic(), self.progress.seconds, time.monotonic()
        draws = Draws(self.recipe.seed * 100_003 + self.progress.step, self.device)
        while self.share < 1 and time.monotonic() < deadline:
            loss = self._step(draws)
            if self.progress.step % _LOOK_EVERY == 0:
                self._look(float(loss))
            self.progress.seconds = before + time.monotonic() - began
            self._validate_when_due()
            if time.monotonic() - saved > SAVE_SECONDS:
                self._save()
                saved = time.monotonic()
        self._collect(wait=True)
        if self.share >= 1 and not self.is_finished:
            self._validate(last=True)
            self._collect(wait=True)
        self._save()

    def _step(self, draws: Draws) -> Tensor:
        recipe = self.recipe
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.learning_rate * rate(
                self.progress.step, self.share, recipe.warmup_steps
            )
        batch, which, coordinates = draw_batch(
            self.tissue,
            recipe.mpp,
            recipe.batch,
            recipe.crop_px,
            recipe.augmentation,
            getattr(self.network, "heads", ()),
            draws,
        )
        tokens = self._batch_tokens(batch["image"], which, coordinates)
        image = batch["image"].contiguous(memory_format=self.layout)
        outputs = self._outputs(image, tokens)
        terms = losses.terms(outputs, batch, tokens, recipe.losses)
        loss = torch.stack([getattr(recipe.losses, name) * x for name, x in terms.items()]).sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip)
        self.optimiser.step()
        if self.progress.step >= recipe.warmup_steps:
            self.averaged.update_parameters(self.network)
        self.progress.step += 1
        return loss.detach()

    def _outputs(self, image: Tensor, tokens: Tensor | None) -> dict[str, Tensor]:
        """Run the network in training mode; on a GPU as one graph, from its first batch on."""
        given = (image,) if tokens is None else (image, tokens)
        self.network.train()
        with in_precision(self.precision, self.device):
            if self.device.type == "cuda" and not self._is_graph:
                # Its thousand launches take as long as what they launch, and longer.
                torch.cuda.make_graphed_callables(self.network, given)
                # Its backward pass was recorded on a stream of its own, and is to be waited for.
                warnings.filterwarnings("ignore", message="The AccumulateGrad node's stream")
                self._is_graph = True
            outputs = self.network(*given)
        # A graph writes to the same place each time.
        return {name: x.float() for name, x in outputs.items()}

    def _batch_tokens(self, image: Tensor, which: Tensor, coordinates: Tensor) -> Tensor | None:
        if self.student is not None:
            with torch.no_grad():
                return self.student(image)
        if self.tokens is None:
            return None
        return crop_tokens(self.tokens, self.token_um, which, coordinates, self.tissue.mpp)

    def _look(self, loss: float) -> None:
        if not loss < float("inf"):
            raise RecipeError(
                f"{self.recipe.name}: the loss is {loss} after {self.progress.step} steps; "
                "expected a finite number; lower learning_rate, or raise warmup_steps"
            )
        if self.progress.step % (10 * _LOOK_EVERY) == 0:
            self.progress.losses.append((self.progress.step, loss))

    def _validate_when_due(self) -> None:
        self._collect(wait=False)
        due = (len(self.progress.history) + 1) / VALIDATIONS
        # The last one waits for the end of training.
        if self._waiting is None and due <= self.share < 1:
            self._validate(last=False)

    def _validate(self, last: bool) -> None:
        if not self.averaged.n_averaged:  # validated while still warming up
            self.averaged.update_parameters(self.network)
        network = self.averaged.module
        state = {key: value.detach().clone() for key, value in network.state_dict().items()}
        about = {"step": float(self.progress.step), "seconds": self.progress.seconds}
        futures = self.scorer.start(network, self.guides, self.recipe.decoding)
        self._waiting = (about | {"last": 1.0} if last else about, state, futures)

    def _collect(self, wait: bool) -> None:
        if self._waiting is None:
            return
        about, state, futures = self._waiting
        if not wait and not all(future.done() for future in futures):
            return
        images = self.scorer.collect(futures)
        scores = {name: mean_of(images, name) for name in images[0] if name != "name"}
        if scores["aji"] > self.progress.best_aji:
            self.best, self.progress.images = state, images
        self.progress.history.append(about | scores)
        self._waiting = None

    def _save(self) -> None:
        content: dict[str, Any] = {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best": self.best,
            "progress": copy.copy(self.progress).__dict__,
        }
        self.state_file.write(content)

    def _resume(self) -> None:
        content = self.state_file.read(self.device)
        try:
            self.network.load_state_dict(content["network"])
            self.averaged.load_state_dict(content["averaged"])
            self.optimiser.load_state_dict(content["optimiser"])
            self.best, self.progress = content["best"], Progress(**content["progress"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:  # of another version
            raise self.state_file.unreadable(error) from error

"""Lightning's trainer as a recipe asks for it: checkpoints, average, patience, processes."""

from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    ModelCheckpoint,
    Timer,
)
from lightning.pytorch.callbacks.progress import RichProgressBar
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.strategies import DDPStrategy

from nuguide.errors import InputError
from nuguide.files import make_folder, unwritable
from nuguide.training.checkpoint_file import write_checkpoint
from nuguide.training.finish import best_path, last_path
from nuguide.training.history import DrawCurve
from nuguide.training.log import open_log
from nuguide.training.recipe import DistillationRecipe, Recipe, SegmentationRecipe

_ADVICE = "make room, or give another --out, and train on"


def epochs(recipe: Recipe) -> int:
    """Return the whole epochs of a recipe."""
    return -(-recipe.steps // recipe.epoch_steps)


def chosen_by(recipe: Recipe) -> str:
    """Name what the best epoch of a training is chosen by, as its log does."""
    return _monitored(recipe, "aji")


def lost_patience(checkpoint: dict[str, Any]) -> bool:
    """Tell whether a training ended early at this checkpoint."""
    for name, state in checkpoint["callbacks"].items():
        if name.startswith(EarlyStopping.__name__):
            return bool(state["wait_count"] >= state["patience"])
    return False


def train(
    module: L.LightningModule,
    recipe: Recipe,
    out: Path,
    done: int,
    *,
    progress: bool,
    devices: int,
    nodes: int,
) -> None:
    """Train a module into a run's folder, from its last checkpoint where there is one.

    Parameters
    ----------
    module : LightningModule
        Of the recipe.
    recipe : Recipe
        All choices.
    out : Path
        The run's folder.
    done : int
        Steps that its last checkpoint has seen; 0 if there is none.
    progress, devices, nodes
        See ``nuguide.training.fit.fit``.
    """
    best, last = best_path(out), last_path(out)
    # Without counters: a run that goes on replaces the files of the one that was stopped. And two
    # of them: Lightning's own save_last would keep the last of those that were best.
    keep = [
        ModelCheckpoint(
            best.parent,
            best.stem,
            monitor=chosen_by(recipe),
            mode="max",
            enable_version_counter=False,
        ),
        ModelCheckpoint(last.parent, last.stem, enable_version_counter=False),
    ]
    trainer = L.Trainer(
        **_processes(devices, nodes),
        max_epochs=epochs(recipe),
        gradient_clip_val=recipe.clip or None,
        callbacks=[
            Timer(),
            *keep,
            *_averaging(recipe),
            *_patience(recipe),
            DrawCurve(out, chosen_by(recipe)),
            *_bar(progress),
        ],
        logger=open_log(out, done),
        plugins=[_WholeCheckpoints()],
        num_sanity_val_steps=0,
        enable_progress_bar=progress,
        enable_model_summary=False,
        log_every_n_steps=min(10, recipe.epoch_steps),
    )
    try:
        _fit(trainer, module, last if done else None, out)
    except SystemExit as end:
        # Lightning leaves so when Ctrl-C is pressed; the program has its own way to say it.
        if trainer.interrupted:
            raise KeyboardInterrupt from end
        raise


def _processes(devices: int, nodes: int) -> dict[str, Any]:
    """Choose Lightning's devices and strategy."""
    if devices * nodes == 1:
        return {"accelerator": "auto", "devices": 1}
    on_gpu, there = torch.cuda.is_available(), torch.cuda.device_count()
    if on_gpu and devices > there:
        raise InputError(
            f"{devices} devices were asked for; expected at most {there}, those of this machine; "
            "change --devices"
        )
    return {
        "accelerator": "gpu" if on_gpu else "cpu",
        "devices": devices,
        "num_nodes": nodes,
        # A head without a weight and a side output without a loss have parameters without gradient.
        "strategy": DDPStrategy(find_unused_parameters=True),
        "sync_batchnorm": on_gpu,
        "use_distributed_sampler": False,
    }


class _WholeCheckpoints(TorchCheckpointIO):  # type: ignore[misc]  # Lightning has no types here
    """Writes checkpoints as this package writes every file, and reads those of a moved run."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint, whole or not at all."""
        place = Path(path)
        make_folder(place.parent, _ADVICE)
        write_checkpoint(checkpoint, place, _ADVICE)

    def load_checkpoint(self, path: str | Path, *arguments: Any, **named: Any) -> dict[str, Any]:
        """Read a checkpoint as if its run had always lain where it lies now."""
        checkpoint: dict[str, Any] = super().load_checkpoint(path, *arguments, **named)
        for state in checkpoint["callbacks"].values():
            if "dirpath" in state:
                # From another folder Lightning would not take over which score was best.
                _move_to(state, Path(path).resolve().parent)
        return checkpoint


def _move_to(state: dict[str, Any], folder: Path) -> None:
    """Let the state of a ``ModelCheckpoint`` tell files of the same names in ``folder``."""

    def moved(file: str) -> str:
        return file and str(folder / Path(file).name)

    state["dirpath"] = str(folder)
    state["best_k_models"] = {moved(k): score for k, score in state["best_k_models"].items()}
    for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
        state[name] = moved(state[name])


def _fit(trainer: L.Trainer, module: L.LightningModule, last: Path | None, out: Path) -> None:
    try:
        trainer.fit(module, ckpt_path=last and str(last), weights_only=True)
    except OSError as fault:  # the log, on a full disk
        raise unwritable(Path(fault.filename or out), fault, _ADVICE) from fault


def _averaging(recipe: Recipe) -> list[Callback]:
    if not recipe.ema:
        return []
    start = min(recipe.warmup_steps, recipe.epoch_steps - 1)
    return [EMAWeightAveraging(decay=recipe.ema, update_starting_at_step=start)]


def _patience(recipe: Recipe) -> list[Callback]:
    if recipe.patience_epochs is None:
        return []
    stop_on = recipe.stop_on if isinstance(recipe, SegmentationRecipe) else ""
    stopping = EarlyStopping(
        _monitored(recipe, stop_on),
        mode="max",
        patience=recipe.patience_epochs,
        check_finite=False,  # a score that is no number is no better one, and may recover
    )
    return [stopping]


def _monitored(recipe: Recipe, score: str) -> str:
    """Name what a validation logs: a score of nuclei, or how near a student is to its teacher."""
    if isinstance(recipe, DistillationRecipe):
        return "validation_cosine_standardised"
    if recipe.trains_types_alone:
        return "validation_mpq_plus"
    return f"validation_{score}"


def _bar(progress: bool) -> list[Callback]:
    return [RichProgressBar(leave=True)] if progress else []

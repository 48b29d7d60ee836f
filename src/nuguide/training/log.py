"""The log of a run, kept over a stop, and what Lightning need not say in a terminal."""

import csv
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger

METRICS = Path("log") / "metrics.csv"
"""Where a run's folder has its log."""


def open_log(run: Path, steps: int) -> CSVLogger:
    """Open the log of a run for writing.

    Lightning's logger begins its file anew. Here the rows of the ``steps`` steps that the last
    checkpoint has seen stay; those of an epoch that was interrupted go, because it is run again.

    Parameters
    ----------
    run : Path
        The run's folder.
    steps : int
        Steps done by the last checkpoint; 0 for a new run.

    Returns
    -------
    CSVLogger
        Writes ``run/log/metrics.csv``.
    """
    kept = _rows_before(run / METRICS, steps)
    logger = CSVLogger(run, name="", version=METRICS.parent.name)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Experiment logs directory .* is not empty")
        writer = logger.experiment
    writer.metrics = kept
    writer.save()
    return logger


def _rows_before(path: Path, steps: int) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # A row that was being written when the power went has too few columns.
    whole = [row for row in rows if None not in row.values() and row.get("step", "").isdigit()]
    return [{k: v for k, v in row.items() if v} for row in whole if int(row["step"]) < steps]


@contextmanager
def without_noise() -> Iterator[None]:
    """Silence what Lightning tells about itself; all else is passed on."""
    source = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    source.addFilter(_is_of_use)
    try:
        with warnings.catch_warnings():
            # Crops are made in the training process: at two cores a worker would take from it.
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            # A run that goes on finds its own checkpoints.
            warnings.filterwarnings("ignore", message="Checkpoint directory .* is not empty")
            # A guide inside the network is frozen, and meant to be.
            warnings.filterwarnings("ignore", message="Found .* in eval mode at the start")
            # Lightning's own use of torch, newer than Lightning expects.
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
            yield
    finally:
        source.removeFilter(_is_of_use)


def _is_of_use(record: logging.LogRecord) -> bool:
    """Tell whether a line is worth reading: not advice to buy, nor that all epochs were done."""
    useless = ("Tip: For seamless cloud", "TPU available", "`Trainer.fit` stopped: `max_epochs")
    return not any(words in record.getMessage() for words in useless)

"""What is done of a slide: a ledger of its regions, and a Parquet file with the nuclei of each.

A region counts as done once its row is in the ledger, and its row is written only after its file
is whole and on the disk. So whatever ends a run, the next one goes on from the last whole region.
"""

import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from nuguide.errors import OutputError
from nuguide.files import make_folder, replacing, unwritable
from nuguide.nuclei.schema import with_later_columns
from nuguide.segmentation.record import REPLACE, RUN_FILE, Configuration, differences
from nuguide.segmentation.region import CLAIMED, Piece, no_nuclei

LEDGER_FILE = "ledger.sqlite"
FRAGMENTS_FOLDER = "fragments"

_TABLES = """
CREATE TABLE IF NOT EXISTS run (configuration TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS regions (
    region INTEGER PRIMARY KEY,
    nuclei INTEGER NOT NULL,
    bytes INTEGER NOT NULL,  -- of its file; 0: no nuclei and no file
    stages TEXT NOT NULL,    -- JSON: stage -> s
    wall REAL NOT NULL       -- s since the region before it was done
);
"""


@dataclass(frozen=True)
class Tally:
    """What the regions that are done add up to.

    Attributes
    ----------
    nuclei : int
        Claimed nuclei, before doubles are dropped.
    stages : dict
        Stage -> s, added up over threads and workers.
    wall : float
        Wall time, s, of all runs of the slide together.
    """

    nuclei: int
    stages: dict[str, float]
    wall: float


class Ledger:
    """The regions of one slide that are done, in its run folder; one process holds it.

    Its threads may read what is done while one of them adds to it.

    Parameters
    ----------
    folder : Path
        The run folder; made if missing.
    configuration : dict
        Everything that decides the result.
    anew : bool
        Whether what is done is forgotten, of whatever run it is.

    Raises
    ------
    OutputError
        If the folder cannot be written, another process is writing to it, or what lies there is
        another run or damaged and is not to be begun anew.
    """

    def __init__(self, folder: Path, configuration: Configuration, *, anew: bool = False) -> None:
        self._path = folder / LEDGER_FILE
        self._fragments = folder / FRAGMENTS_FOLDER
        self._one_at_a_time = threading.RLock()
        make_folder(self._fragments)
        with self._faults():
            try:
                self._connect(configuration, anew)
            except sqlite3.OperationalError:
                raise  # another run holds it, or it cannot be written
            except sqlite3.DatabaseError:
                if not anew:
                    raise
                remove_ledger(folder)  # no ledger: nobody can hold it
                make_folder(self._fragments)
                self._connect(configuration, anew)

    def _connect(self, configuration: Configuration, anew: bool) -> None:
        # Every statement is a transaction of its own.
        # Threads share it, one at a time.
        self._rows = sqlite3.connect(
            self._path, timeout=1.0, isolation_level=None, check_same_thread=False
        )
        try:
            self._lock()
            if anew:
                self._clear()
            self._open(configuration)
        except BaseException:
            self._rows.close()
            raise

    def _lock(self) -> None:
        # Exclusive before WAL: no shared memory is needed then, which file servers do not have.
        self._rows.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._rows.execute("PRAGMA journal_mode=WAL")
        self._rows.execute("BEGIN IMMEDIATE")
        self._rows.execute("COMMIT")

    def _clear(self) -> None:
        # The file stays: it is what others find locked.
        self._rows.executescript("DROP TABLE IF EXISTS run; DROP TABLE IF EXISTS regions;")
        try:
            shutil.rmtree(self._fragments)
        except OSError as fault:
            raise unwritable(self._fragments, fault) from fault
        make_folder(self._fragments)

    def _open(self, configuration: Configuration) -> None:
        self._rows.executescript(_TABLES)
        there = self._rows.execute("SELECT configuration FROM run").fetchone()
        if there is None:
            mine = json.dumps(configuration, sort_keys=True)
            self._rows.execute("INSERT INTO run VALUES (?)", (mine,))
        elif not isinstance(theirs := json.loads(there[0]), dict):
            raise ValueError("its configuration is no table")
        elif different := differences(theirs, configuration):
            raise OutputError(
                f"{self._path.parent} holds another run that is not finished "
                f"({'; '.join(different)}); expected an empty folder or the same run; {REPLACE}"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder; what is done stays done."""
        self._rows.close()

    def done(self) -> dict[int, int]:
        """Return the regions that are done, and how many nuclei each claims.

        A region whose file has gone, or is not as long as it was, is not done.
        """
        with self._faults():
            rows = self._rows.execute("SELECT region, nuclei, bytes FROM regions").fetchall()
        return {
            region: nuclei
            for region, nuclei, size in rows
            if not size or self._size(region) == size
        }

    def _size(self, region: int) -> int:
        try:
            return self._file(region).stat().st_size
        except OSError:
            return -1

    def add(self, region: int, piece: Piece, wall: float) -> None:
        """Keep what a region gives; ``wall`` s have passed since the one before it.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        size = self._write(region, piece.nuclei) if piece.nuclei.num_rows else 0
        row = (region, piece.nuclei.num_rows, size, json.dumps(piece.seconds), wall)
        with self._faults():
            self._rows.execute("INSERT OR REPLACE INTO regions VALUES (?, ?, ?, ?, ?)", row)

    def _write(self, region: int, nuclei: pa.Table) -> int:
        with replacing(self._file(region)) as aside, aside.open("wb") as file:
            # Read once, in full, and removed: fast matters more than small.
            pq.write_table(
                nuclei,
                file,
                compression="lz4",
                use_dictionary=False,
                write_statistics=False,
                write_page_checksum=True,
            )
            # On the disk before its name is, and its name before its row.
            file.flush()
            os.fsync(file.fileno())
            return os.fstat(file.fileno()).st_size

    def nuclei(self, region: int) -> pa.Table:
        """Return the nuclei that a region claims.

        Raises
        ------
        OutputError
            If its file has gone or is damaged.
        """
        path = self._file(region)
        with self._faults():
            (size,) = self._rows.execute(
                "SELECT bytes FROM regions WHERE region = ?", (region,)
            ).fetchone()
        if not size:
            return no_nuclei()
        try:
            with path.open("rb") as file:
                nuclei = pq.read_table(file, page_checksum_verification=True)
            return with_later_columns(nuclei, CLAIMED).cast(CLAIMED)
        except (OSError, pa.ArrowException, UnicodeDecodeError) as fault:
            raise OutputError(
                f"{path} cannot be read ({' '.join(str(fault).split())}); expected the nuclei of a "
                "region; remove that file and run the same command again"
            ) from fault

    def tally(self) -> Tally:
        """Add up what is done."""
        stages: dict[str, float] = {}
        with self._faults():
            rows = self._rows.execute("SELECT nuclei, stages, wall FROM regions").fetchall()
        for _, seconds, _ in rows:
            for stage, spent in json.loads(seconds).items():
                stages[stage] = stages.get(stage, 0.0) + spent
        return Tally(sum(row[0] for row in rows), stages, sum(row[2] for row in rows))

    def _file(self, region: int) -> Path:
        return self._fragments / f"{region:07d}.parquet"

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Word what SQLite complains of, of one thread at a time."""
        try:
            with self._one_at_a_time:
                yield
        except sqlite3.OperationalError as fault:
            if "locked" in str(fault):
                raise OutputError(
                    f"{self._path.parent} is being written by another run; expected one at a time; "
                    "wait for it, or name another folder"
                ) from fault
            raise unwritable(self._path, fault) from fault
        except (sqlite3.DatabaseError, ValueError) as fault:
            raise OutputError(
                f"{self._path} is damaged ({fault}); expected the ledger of a run; {REPLACE}"
            ) from fault


def sweep(folder: Path) -> None:
    """Remove what processes that were killed left half-written in a run folder."""
    for place in (folder, folder / FRAGMENTS_FOLDER):
        for part in place.glob(".*.part"):
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)


def is_run(folder: Path) -> bool:
    """Tell whether a run lies in a folder, finished or not."""
    return any((folder / name).exists() for name in (RUN_FILE, LEDGER_FILE))


def remove_ledger(folder: Path) -> None:
    """Remove the ledger and the fragments of a run folder, where there are any.

    Raises
    ------
    OutputError
        If they cannot be removed.
    """
    try:
        # The log before what it belongs to: a new ledger must not find an old one's log.
        for end in ("-wal", "-shm", ""):
            (folder / f"{LEDGER_FILE}{end}").unlink(missing_ok=True)
        if (folder / FRAGMENTS_FOLDER).is_dir():
            shutil.rmtree(folder / FRAGMENTS_FOLDER)
    except OSError as fault:
        raise unwritable(folder, fault) from fault

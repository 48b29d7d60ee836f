"""Nuclei come in pieces: however many there are, a writer holds a few thousand at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Queue

import pyarrow as pa


class _BrokenOffError(Exception):
    """There are no more pieces, though it is not the end."""


Writer = Callable[[Iterable[pa.Table]], None]

_AHEAD = 4
"""Pieces that wait for a writer, each of a region."""


def regrouped(pieces: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Cut and join tables of any length to tables of ``rows`` rows, in order; the last is shorter.

    So what a writer makes does not depend on how the nuclei came to it.
    """
    waiting: list[pa.Table] = []
    missing = rows
    for piece in pieces:
        rest = piece
        while rest.num_rows >= missing:
            yield pa.concat_tables([*waiting, rest.slice(0, missing)])
            rest, waiting, missing = rest.slice(missing), [], rows
        if rest.num_rows:
            waiting.append(rest)
            missing -= rest.num_rows
    if waiting:
        yield pa.concat_tables(waiting)


def write_together(
    pieces: Iterable[pa.Table],
    writers: Sequence[Writer],
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Give the same pieces to several writers, each in a thread of its own.

    Whatever one of them raises, or the pieces themselves, is raised here, and the others are told:
    no writer comes to a good end with some of the pieces. ``meanwhile`` is called when all have
    been handed over and the writers come to their ends.
    """
    feeds = [_Feed(writer) for writer in writers]
    with ThreadPoolExecutor(max(1, len(feeds)), thread_name_prefix="tables") as pool:
        writing = [pool.submit(feed.write) for feed in feeds]
        end: _BrokenOffError | None = _BrokenOffError()
        try:
            for piece in pieces:
                for feed in feeds:
                    feed.put(piece)
            end = None
        finally:
            for feed in feeds:
                feed.end(end)
        meanwhile()
    for each in writing:
        each.result()


class _Feed:
    """What one writer still has to write; it is never waited for in vain."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._waiting: Queue[pa.Table | _BrokenOffError | None] = Queue(_AHEAD)
        self._fault: BaseException | None = None

    def put(self, piece: pa.Table) -> None:
        """Hand over a piece, once there is room for it; raise what the writer raised, if it did."""
        if self._fault is not None:
            raise self._fault
        self._waiting.put(piece)

    def end(self, broken: _BrokenOffError | None) -> None:
        """Say that there are no more pieces, for whatever reason."""
        self._waiting.put(broken)

    def write(self) -> None:
        """Write all pieces."""
        pieces = self._taken()
        try:
            self._writer(pieces)
        except BaseException as fault:
            self._fault = fault
            # It still takes what comes, or whoever brings it would wait for ever.
            with suppress(_BrokenOffError):
                for _ in pieces:
                    pass
            raise

    def _taken(self) -> Iterator[pa.Table]:
        while (piece := self._waiting.get()) is not None:
            if isinstance(piece, _BrokenOffError):
                raise piece
            yield piece

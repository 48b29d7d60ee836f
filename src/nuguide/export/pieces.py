"""Nuclei come in pieces: however many there are, a writer holds a few thousand at a time."""

from collections.abc import Iterable, Iterator

import pyarrow as pa


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

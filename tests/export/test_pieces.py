from collections.abc import Iterable, Iterator

import pyarrow as pa
import pytest

from nuguide.export.pieces import Writer, regrouped, write_together


@pytest.mark.parametrize(
    "lengths", [[7, 7, 3], [17], [1] * 17, [0, 5, 0, 12, 0], [4, 4, 4, 5], [16, 1]]
)
def test_groups_do_not_depend_on_the_pieces(lengths: list[int]) -> None:
    whole = pa.table({"row": range(sum(lengths))})
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    pieces = (whole.slice(*piece) for piece in zip(starts, lengths, strict=True))
    groups = list(regrouped(pieces, 4))
    assert [group.num_rows for group in groups] == [4, 4, 4, 4, 1]
    assert pa.concat_tables(groups).equals(whole)


def test_no_rows_make_no_group() -> None:
    assert list(regrouped([pa.table({"row": pa.array([], pa.int64())})], 4)) == []


def rows(count: int) -> Iterator[pa.Table]:
    for row in range(count):
        yield pa.table({"row": [row]})


def kept_in(place: list[int], ends: list[str]) -> Writer:
    """Return a writer that keeps rows, and tells whether it came to a good end."""

    def write(pieces: Iterable[pa.Table]) -> None:
        try:
            place.extend(piece["row"][0].as_py() for piece in pieces)
        except BaseException:
            ends.append("bad")
            raise
        ends.append("good")

    return write


def failing_after(count: int) -> Writer:
    def write(pieces: Iterable[pa.Table]) -> None:
        for number, _ in enumerate(pieces, start=1):
            if number == count:
                raise OSError("disk full")

    return write


def test_every_writer_gets_all_pieces_in_order() -> None:
    one, other, ends = [], [], []
    write_together(rows(100), [kept_in(one, ends), kept_in(other, ends)])
    assert one == other == list(range(100))
    assert ends == ["good", "good"]
    write_together(rows(3), [])


def test_what_is_done_meanwhile_finds_all_pieces_handed_over() -> None:
    kept, ends, handed = [], [], []

    def counted() -> Iterator[pa.Table]:
        for piece in rows(10):
            handed.append(0)
            yield piece

    write_together(counted(), [kept_in(kept, ends)], lambda: ends.append(len(handed)))
    assert sorted(ends, key=str) == [10, "good"]

    def fails() -> None:
        raise ValueError("no room for labels")

    with pytest.raises(ValueError, match="no room"):
        write_together(rows(3), [kept_in(kept, ends)], fails)


@pytest.mark.parametrize("after", [1, 50, 100])
def test_a_writer_that_fails_is_heard_and_the_others_end_badly(after: int) -> None:
    kept, ends = [], []
    with pytest.raises(OSError, match="disk full"):
        write_together(rows(100), [failing_after(after), kept_in(kept, ends)])
    # One that failed at the last piece was heard when the other had its end.
    assert ends == (["bad"] if len(kept) < 100 else ["good"])


def test_pieces_that_break_off_leave_no_writer_content() -> None:
    def broken() -> Iterator[pa.Table]:
        yield from rows(5)
        raise ValueError("a region is damaged")

    kept, ends = [], []
    with pytest.raises(ValueError, match="a region is damaged"):
        write_together(broken(), [kept_in(kept, ends), kept_in([], ends)])
    assert ends == ["bad", "bad"]
    assert kept == [0, 1, 2, 3, 4]

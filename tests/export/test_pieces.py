import pyarrow as pa
import pytest

from nuguide.export.pieces import regrouped


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

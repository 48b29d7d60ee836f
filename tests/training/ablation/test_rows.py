import json
from multiprocessing import get_context
from pathlib import Path

import pytest

from nuguide.errors import InputError, OutputError
from nuguide.training.ablation.rows import Part, add_row, find_row, parts_of, read_rows

SCORED = Part(Path("replica"), "validation")


def test_rows_come_back_as_they_were_added(make_row, tmp_path: Path):
    file = tmp_path / "new" / "runs.jsonl"
    assert read_rows(file) == []
    added = [
        make_row("none", 0, [0.5, 0.6]),
        make_row("cross", 1, [0.6], controls={"zeroed": [0.1]}),
    ]
    for row in added:
        add_row(file, row)
    assert read_rows(file) == added
    lines = file.read_text().splitlines()
    assert [json.loads(line)["variant"] for line in lines] == ["none", "cross"]


def add_several(file: Path, row, count: int) -> None:
    for _ in range(count):
        add_row(file, row)


def test_a_row_has_a_line_of_its_own_behind_one_without_an_end(make_row, tmp_path: Path):
    file = tmp_path / "runs.jsonl"
    add_row(file, make_row("plain", 0, [0.5]))
    file.write_text(file.read_text(encoding="utf-8").rstrip("\n"), encoding="utf-8")
    add_row(file, make_row("plain", 1, [0.6]))
    assert [row.seed for row in read_rows(file)] == [0, 1]


def test_several_writers_lose_no_row(make_row, tmp_path: Path):
    """The file is written whole each time: without a lock a writer would undo another's row."""
    file, spawn = tmp_path / "runs.jsonl", get_context("fork")
    row = make_row("none", 0, [0.5])
    writers = [spawn.Process(target=add_several, args=(file, row, 20)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert len(read_rows(file)) == 60


def test_a_row_is_found_by_variant_seed_images_and_recipe(make_row, make_segmentation):
    recipe = make_segmentation(seed=1)
    rows = [make_row("none", seed, [0.5], recipe=recipe.model_dump(mode="json")) for seed in (0, 1)]
    assert find_row(rows, "none", recipe, SCORED) is rows[1]
    assert find_row(rows, "none", recipe, Part(SCORED.data, "test")) is None
    assert find_row(rows, "none", recipe, Part(Path("other"), "validation")) is None
    assert find_row(rows, "cross", recipe, SCORED) is None
    assert find_row(rows, "none", make_segmentation(seed=2), SCORED) is None


def test_data_sets_whose_rows_could_not_be_told_apart_are_refused(tmp_path: Path):
    one, other = tmp_path / "one" / "tissue", tmp_path / "other" / "tissue"
    assert parts_of(one, "test", [tmp_path]) == [Part(one, "test"), Part(tmp_path, "all")]
    for data, unseen in ((tmp_path, [one, other]), (one, [other]), (one, [one])):
        with pytest.raises(InputError, match=r"tissue and .*tissue are both called tissue in rows"):
            parts_of(data, "validation", unseen)


def test_a_row_of_before_a_new_key_is_still_that_recipes(make_row, make_segmentation):
    recipe = make_segmentation()
    old = recipe.model_dump(mode="json")
    del old["guide_control"], old["clip"]
    assert find_row([make_row("none", 0, [0.5], recipe=old)], "none", recipe, SCORED)


def test_a_row_of_another_budget_is_refused(make_row, make_segmentation):
    row = make_row("none", 0, [0.5], recipe=make_segmentation(steps=8).model_dump(mode="json"))
    with pytest.raises(OutputError, match="by another recipe; expected one"):
        find_row([row], "none", make_segmentation(), SCORED)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "line 2: "),
        (b'{"variant": "none"}', "line 2: seed: Field required"),
        (b"[]", "line 2: "),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_damaged_line_is_named(make_row, tmp_path: Path, content: bytes, said: str):
    file = tmp_path / "runs.jsonl"
    add_row(file, make_row("none", 0, [0.5]))
    file.write_bytes(file.read_bytes() + content + b"\n")
    with pytest.raises(InputError) as error:
        read_rows(file)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_written_is_refused(make_row, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="name another file with --runs"):
        add_row(tmp_path / "file" / "runs.jsonl", make_row("none", 0, [0.5]))

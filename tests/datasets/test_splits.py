from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from nuguide.datasets.base import Sample
from nuguide.datasets.collection import DataSet, Entry
from nuguide.datasets.splits import balanced, divide, select, stratified_folds, subset
from nuguide.errors import DataSetError


def never() -> Sample:
    raise AssertionError("no split decodes an image")


def entries(*layers: str, patients: str = "") -> list[Entry]:
    people = patients or [""] * len(layers)
    return [
        Entry(f"image-{i}", never, organ=layer, patient=person)
        for i, (layer, person) in enumerate(zip(layers, people, strict=True))
    ]


def data_set(found: list[Entry], **changes) -> DataSet:
    return DataSet("x", "X", "", Path("x"), tuple(found), **changes)


def test_without_official_parts_one_in_five_is_of_validation_and_none_of_test():
    data = data_set(entries(*"aaaaabbbbb"))
    parts = divide(data)
    assert Counter(parts) == {"fit": 8, "validation": 2}
    chosen = select(data, "validation")
    assert {entry.organ for entry in chosen} == {"a", "b"}
    with pytest.raises(DataSetError, match="no image of the split 'test'"):
        select(data, "test")


def test_images_of_one_patient_leave_none_to_fit_on_and_what_to_add_is_told():
    data = data_set(entries(*"aaaa", patients="PPPP"))
    assert set(divide(data)) == {"validation"}
    with pytest.raises(DataSetError, match=r"'fit'; .*add images of another patient or slide"):
        select(data, "fit")


def test_a_committed_validation_is_kept():
    found = [Entry("a", never, "train"), Entry("b", never, "validation"), Entry("c", never, "test")]
    assert divide(data_set(found)) == ["fit", "validation", "test"]
    assert [entry.name for entry in select(data_set(found), "train")] == ["a", "b"]


def test_validation_drawn_from_train_leaves_test_alone():
    found = [Entry(f"{i}", never, "train" if i < 10 else "test") for i in range(14)]
    parts = divide(data_set(found))
    assert Counter(parts) == {"fit": 8, "validation": 2, "test": 4}
    assert parts[10:] == ["test"] * 4


@pytest.mark.parametrize("what", ["patient", "slide"])
def test_what_lies_on_two_sides_divides_no_data_set(what: str):
    key = {"patient": "patient", "slide": "source"}[what]
    found = [
        Entry(name, never, part, **{key: one})
        for name, part, one in (("a", "validation", "P"), ("b", "test", "P"), ("c", "train", "Q"))
    ]
    for split in ("fit", "validation", "train", "test"):
        with pytest.raises(DataSetError, match=f"{what} P has images in test and validation"):
            select(data_set(found), split)
    assert select(data_set(found), "all") == found


def test_folds_balance_strata_and_keep_groups_whole():
    found = entries(*"aaaaaabbbbbb", patients="ppqqrrssttuu")
    numbers = stratified_folds(found, 3)
    for fold in range(3):
        members = [entry for entry, n in zip(found, numbers, strict=True) if n == fold]
        assert Counter(entry.organ for entry in members) == {"a": 2, "b": 2}
        assert len({entry.patient for entry in members}) == 2


def test_folds_do_not_depend_on_the_order_of_files():
    found = entries(*"aabbcc", *"aabbcc")
    forwards = dict(zip([e.name for e in found], stratified_folds(found, 4), strict=True))
    turned = found[::-1]
    assert forwards == dict(zip([e.name for e in turned], stratified_folds(turned, 4), strict=True))


def test_the_draw_is_the_committed_one():
    """A change of rule or seed changes every published split: this may not pass unseen."""
    assert stratified_folds(entries(*"aaaaabbbbb"), 5) == [2, 1, 3, 0, 4, 0, 2, 3, 1, 4]


def test_subsets_are_nested_and_share_out_organs():
    found = entries(*["liver"] * 12, *["colon"] * 6, *["skin"] * 2)
    names = {n: {entry.name for entry in subset(found, n)} for n in range(1, 21)}
    assert all(names[n] < names[n + 1] for n in range(1, 20))
    for n in (3, 6):
        assert set(Counter(entry.organ for entry in subset(found, n)).values()) == {n // 3}
    assert subset(found, 20) == found
    assert subset(found, 5, seed=1) != subset(found, 5)


@pytest.mark.parametrize("count", [0, 4])
def test_more_images_than_there_are_cannot_be_had(count: int):
    with pytest.raises(DataSetError, match="expected from 1 to 3"):
        subset(entries(*"abc"), count)


@pytest.mark.parametrize(("fold", "folds"), [(0, None), (4, None), (1, 4), (-1, 3)])
def test_a_fold_that_there_is_not_is_refused(fold: int, folds: int | None):
    data = data_set(entries(*"abcdef"), fold_counts=(3, 10))
    with pytest.raises(DataSetError, match=r"expected a fold from 1, of 3 or 10"):
        select(data, "test", fold, folds)


def test_official_parts_have_no_folds():
    data = data_set([Entry("a", never, "train"), Entry("b", never, "test")])
    with pytest.raises(DataSetError, match="its parts are official"):
        select(data, "test", fold=1)


def test_names_are_unique():
    with pytest.raises(DataSetError, match="2 images named a"):
        data_set([Entry("a", never), Entry("a", never)])


def test_small_strata_are_repeated_until_each_counts_as_much():
    found = entries(*"aaaaaabbc")
    repeated = balanced(found)
    assert Counter(entry.organ for entry in repeated) == {"a": 6, "b": 6, "c": 6}
    assert {entry.name for entry in repeated} == {entry.name for entry in found}


def test_small_data_sets_are_repeated_whatever_organs_they_have():
    sets = ["one"] * 7 + ["two"] * 3
    found = entries(*"aaaaaab", *"ccc")
    found = [replace(e, data_set=name) for e, name in zip(found, sets, strict=True)]
    repeated = balanced(found, sets=True)
    assert Counter(entry.data_set for entry in repeated) == {"one": 7, "two": 6}
    assert Counter(entry.organ for entry in repeated) == {"a": 6, "b": 1, "c": 6}


def test_nothing_is_repeated_or_lost_where_strata_are_alike():
    found = entries(*"aaaaabbbb")
    assert balanced(found) == found
    assert balanced([]) == []

import json
import math
from pathlib import Path

import numpy as np
import pytest

from nuguide.errors import InputError
from nuguide.evaluation.types import (
    definition_of,
    score_types,
    tally,
    type_intervals,
    type_scores,
    why_not_scored,
)

# Two images in a row: nuclei 1, 2, 3 of two pixels each.
LABELS = np.array([[1, 1, 0, 2, 2, 0, 3, 3]])


def typed(*types: int) -> np.ndarray:
    return np.array([0, *types])[LABELS]


def test_equals_the_conic_reference_implementation(shared: Path):
    oracle = json.loads((shared / "oracles/metrics.json").read_text())["multiclass"]
    with np.load(shared / "oracles/metrics_labels.npz") as maps:
        sides = [
            list(maps[name]) for name in ("truth", "prediction", "truth_class", "prediction_class")
        ]
    got = score_types(*sides, n_types=6)
    pq = [got[f"pq_{k}"] for k in range(1, 7)]
    assert pq == pytest.approx(oracle["per_class_pq_plus"], abs=1e-5)
    assert got["mpq_plus"] == pytest.approx(oracle["mpq_plus"], abs=1e-5)
    # The oracle's tallies give the true and predicted counts, hence R2.
    tally = np.array(oracle["per_image_tp_fp_fn_sumiou"])
    predicted, true = tally[..., 0] + tally[..., 1], tally[..., 0] + tally[..., 2]
    residual = ((true - predicted) ** 2).sum(0)
    r2 = 1 - residual / ((true - true.mean(0)) ** 2).sum(0)
    assert [got[f"r2_{k}"] for k in range(1, 7)] == pytest.approx(r2.tolist())
    assert got["r2"] == pytest.approx(r2.mean())


def test_a_nucleus_of_the_wrong_type_is_missed_and_false():
    got = score_types([LABELS], [LABELS], [typed(1, 1, 2)], [typed(1, 2, 2)], n_types=2)
    assert got["pq_1"] == pytest.approx(1 / 1.5)
    assert got["pq_2"] == pytest.approx(1 / 1.5)
    assert got["mpq_plus"] == pytest.approx(1 / 1.5)


def test_a_type_that_never_occurs_is_left_out_of_the_mean():
    got = score_types([LABELS], [LABELS], [typed(1, 1, 1)], [typed(1, 1, 1)], n_types=2)
    assert math.isnan(got["pq_2"])
    assert got["mpq_plus"] == got["pq_1"] == got["r2"] == 1


def test_the_commonest_type_of_a_nucleus_counts():
    labels = np.ones((1, 5), int)
    mixed = np.array([[2, 2, 1, 0, 0]])
    got = score_types([labels], [labels], [np.full((1, 5), 2)], [mixed], n_types=2)
    assert got["pq_2"] == 1
    assert math.isnan(got["pq_1"])


def test_an_ignored_nucleus_is_not_counted():
    ignore = LABELS == 3
    prediction = np.where(ignore, 0, LABELS)
    got = score_types(
        [LABELS], [prediction], [typed(1, 1, 1)], [typed(1, 1, 0)], n_types=1, ignores=[ignore]
    )
    assert got == {"pq_1": 1, "mpq_plus": 1, "r2_1": 1, "r2": 1}


def test_what_matches_a_true_nucleus_without_a_type_is_left_out():
    got = score_types([LABELS], [LABELS], [typed(1, 1, 0)], [typed(1, 1, 1)], n_types=2)
    assert (got["pq_1"], got["mpq_plus"], got["r2"]) == (1, 1, 1)
    missed = np.where(LABELS == 3, 0, LABELS)
    assert score_types([LABELS], [missed], [typed(1, 1, 0)], [typed(1, 1, 1)], 2)["pq_1"] == 1


def test_what_only_touches_a_true_nucleus_without_a_type_is_false():
    labels = np.array([[1, 1, 1, 2, 2, 2]])
    shifted = np.array([[1, 1, 1, 0, 2, 0]])
    truth, guess = np.where(labels == 1, 1, 0), np.where(shifted > 0, 1, 0)
    got = score_types([labels], [shifted], [truth], [guess], n_types=1)
    assert got["pq_1"] == pytest.approx(1 / 1.5)


def test_constant_counts_have_r2_zero_unless_all_agree():
    got = score_types([LABELS] * 2, [LABELS] * 2, [typed(1, 1, 2)] * 2, [typed(1, 1, 1)] * 2, 2)
    assert (got["r2_1"], got["r2_2"]) == (0, 0)


@pytest.mark.parametrize(
    ("types", "n_types", "complaint"),
    [
        ([typed(1, 1, 3)], 2, "types from 0 to 3; expected 0 to 2"),
        ([np.ones((1, 9), int)], 2, "truth_types holds int64 of shape"),
        ([], 2, r"hold \[1, 1, 0, 1, 1\] maps"),
    ],
)
def test_malformed_types_are_refused(types, n_types, complaint):
    with pytest.raises(InputError, match=complaint):
        score_types([LABELS], [LABELS], types, [typed(1, 1, 1)], n_types)


def tallies(n: int) -> list:
    """Return tallies of n images in which type 1 is always right, and type 2 in every other."""
    return [
        tally(LABELS, LABELS, typed(1, 2, 2), typed(1, 2 - i % 2, 2 - i % 2), None, n_types=2)
        for i in range(n)
    ]


def test_intervals_of_types_pool_what_was_drawn():
    found = type_intervals(tallies(40), [""] * 40)
    assert {name: each.mean for name, each in found.items()} == pytest.approx(
        type_scores(tallies(40))
    )
    # Half of the images are right in type 2: the share drawn decides, 0.5 +- 1.96 * 0.079.
    share = np.array([0.5 - 0.155, 0.5 + 0.155])
    pooled = 2 * share / (1 + share)
    assert (found["pq_2"].low, found["pq_2"].high) == pytest.approx(pooled, abs=0.03)
    assert found["pq_2"].n == 40
    together = type_intervals(tallies(40), [f"p{i // 20}" for i in range(40)])
    assert together["pq_2"].low == together["pq_2"].high


def test_a_type_that_never_occurs_has_no_interval():
    absent = [tally(LABELS, LABELS, typed(1, 1, 1), typed(1, 1, 1), None, n_types=2)]
    assert set(type_intervals(absent, [""])) == {"pq_1", "mpq_plus", "r2_1", "r2_2", "r2"}


def test_definitions_name_the_type():
    assert definition_of("pq_2", ("epithelial", "lymphocyte")).endswith("type 2: lymphocyte")
    assert "mPQ+" in definition_of("mpq_plus", ())


def test_lists_without_a_name_or_of_one_meaning_are_scored():
    assert why_not_scored(("a", "b"), ("b", "a")).startswith(
        "types are not scored: the model tells a"
    )
    for said, named in (((), ("a", "b")), (("a", "b"), ()), (("a", "b"), ("a", "b"))):
        assert why_not_scored(said, named) == ""

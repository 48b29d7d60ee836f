"""Scores of instances: whether each nucleus was found, and how well its outline fits."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nuguide.evaluation.overlap import Overlap

MATCH_IOU = 0.5
"""Two nuclei match when their IoU is greater; above one half at most one can."""

DEFINITIONS = {
    "aji": (
        "aggregated Jaccard index of one image, MoNuSeg definition: each true nucleus takes the "
        "predicted one of best IoU (which may be taken twice); shared pixels over united pixels, "
        "unmatched nuclei added to the latter"
    ),
    "aji_plus": "AJI of one image with one-to-one matching of greatest total IoU",
    "dq": (
        "detection quality of one image, the F1 of detection: TP/(TP+FP/2+FN/2), a match being "
        "IoU > 0.5"
    ),
    "sq": "segmentation quality of one image: mean IoU of the matched nuclei",
    "pq": "panoptic quality of one image: DQ*SQ",
    "dice2": (
        "ensemble Dice of one image (DICE2): shared pixels over mean area, summed over all "
        "overlapping pairs; nuclei that overlap nothing do not count"
    ),
}


def instance_scores(overlap: Overlap) -> dict[str, float]:
    """Return the scores of ``DEFINITIONS``, each within 0 to 1.

    Notes
    -----
    Where there is nothing to find and nothing was found every score is 1; where only one side
    holds nuclei every score is 0, and so is ``sq`` when no two match.

    References
    ----------
    AJI: Kumar et al., IEEE TMI 2017. AJI+: Graham et al., Medical Image Analysis 2019.
    DQ, SQ, PQ: Kirillov et al., CVPR 2019. DICE2: Vu et al., Frontiers in Bioengineering 2019.
    """
    if overlap.nothing_to_find:
        return dict.fromkeys(DEFINITIONS, 1.0)
    matched = overlap.iou > MATCH_IOU
    n_matched = int(matched.sum())
    missed = _left_over(overlap.truth_of[matched], overlap.truth_optional)
    false = _left_over(overlap.prediction_of[matched], overlap.prediction_optional)
    n_considered = n_matched + (missed.sum() + false.sum()) / 2
    # Overlapping optional nuclei that do not match leave nothing to detect.
    dq = n_matched / n_considered if n_considered else 1.0
    sq = float(overlap.iou[matched].mean()) if n_matched else 0.0
    return {
        "aji": _aggregated_jaccard(overlap, _best_pairs(overlap)),
        "aji_plus": _aggregated_jaccard(overlap, _one_to_one_pairs(overlap)),
        "dq": float(dq),
        "sq": sq,
        "pq": float(dq) * sq,
        "dice2": _ensemble_dice(overlap),
    }


def _left_over(taken: NDArray[np.int64], optional: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the nuclei that are neither taken nor optional."""
    left = ~optional
    left[taken] = False
    return left


def _aggregated_jaccard(overlap: Overlap, pairs: NDArray[np.int64]) -> float:
    """Return shared over united pixels of ``pairs`` and of all nuclei that are in none."""
    missed = _left_over(overlap.truth_of[pairs], overlap.truth_optional)
    false = _left_over(overlap.prediction_of[pairs], overlap.prediction_optional)
    united = (
        overlap.union[pairs].sum()
        + overlap.truth_area[missed].sum()
        + overlap.prediction_area[false].sum()
    )
    return float(overlap.intersection[pairs].sum() / united)


def _best_pairs(overlap: Overlap) -> NDArray[np.int64]:
    """Return, for every true nucleus that is touched, its pair of best IoU (the first on a tie)."""
    order = np.lexsort((overlap.prediction_of, -overlap.iou, overlap.truth_of))
    _, first = np.unique(overlap.truth_of[order], return_index=True)
    return order[first]


def _one_to_one_pairs(overlap: Overlap) -> NDArray[np.int64]:
    """Return the one-to-one matching of greatest total IoU, as places in the list of pairs.

    The overlap graph falls into small groups of touching nuclei; the assignment is solved group
    by group, and a pair that is alone in its group needs no solving, so that the cost grows with
    the number of nuclei and not with its cube.
    """
    n_truth, n_prediction = len(overlap.truth_area), len(overlap.prediction_area)
    nodes = n_truth + n_prediction
    edges = coo_array(
        (np.ones(overlap.iou.size), (overlap.truth_of, n_truth + overlap.prediction_of)),
        shape=(nodes, nodes),
    )
    _, group_of_node = connected_components(edges, directed=False)
    order = np.argsort(group_of_node[overlap.truth_of], kind="stable")
    group = group_of_node[overlap.truth_of[order]]
    chosen: list[NDArray[np.int64]] = []
    for members in np.split(order, np.flatnonzero(np.diff(group)) + 1):
        chosen.append(members if len(members) < 2 else _assign(overlap, members))
    return np.concatenate(chosen)


def _assign(overlap: Overlap, members: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return those of the pairs ``members`` that the Hungarian method keeps."""
    truths, row = np.unique(overlap.truth_of[members], return_inverse=True)
    predictions, column = np.unique(overlap.prediction_of[members], return_inverse=True)
    gain = np.zeros((len(truths), len(predictions)))
    gain[row, column] = overlap.iou[members]
    place = np.full(gain.shape, -1, np.int64)
    place[row, column] = members
    assigned = place[linear_sum_assignment(gain, maximize=True)]
    return assigned[assigned >= 0]


def _ensemble_dice(overlap: Overlap) -> float:
    """Return DICE2 over all overlapping pairs; 0 where none overlap."""
    if overlap.intersection.size == 0:
        return 0.0
    return float(2 * overlap.intersection.sum() / (overlap.union + overlap.intersection).sum())

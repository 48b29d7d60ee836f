"""What a run found, in a few numbers: nuclei, types, and how many are positive."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from nuguide.nuclei.positivity import labelling_of
from nuguide.segmentation.outputs import read_columns


def summary(
    folder: Path, types: Sequence[str] = (), positive: Sequence[float] = ()
) -> dict[str, Any]:
    """Return what a run folder holds.

    Parameters
    ----------
    folder : Path
        Holds ``NUCLEI_FILE``.
    types : sequence of str
        Those that the model tells apart, in its order.
    positive : sequence of float
        The run's thresholds, see ``nuguide.nuclei.positivity``.

    Returns
    -------
    dict
        How many nuclei there are, of each type, 0 too, their median area, um2; by a calibrated
        model the mean probability that one is true; and, where there are thresholds, how many are
        positive, of all and of each type that occurs.
    """
    nuclei = read_columns(folder, ["area_um2", "match_probability", "type", "positivity"])
    found: dict[str, Any] = {"nuclei": nuclei.num_rows}
    if nuclei.num_rows:
        found["median_area_um2"] = round(float(np.median(nuclei["area_um2"].to_numpy())), 2)
        worth = pc.mean(nuclei["match_probability"]).as_py()
        found |= {} if worth is None else {"match_probability": round(worth, 4)}
    occurring = Counter(nuclei["type"].drop_null().to_pylist())
    if types or occurring:
        found["types"] = dict.fromkeys(types, 0) | occurring
    if positive:
        found["positivity"] = labelling_of(nuclei["positivity"], positive).told()
        of_types = {}
        for name in occurring:
            classes = nuclei.filter(pc.equal(nuclei["type"], name))["positivity"]
            of_types[name] = labelling_of(classes, positive).told()
        found["positivity"] |= {"types": of_types} if of_types else {}
    return found

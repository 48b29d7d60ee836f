"""Take a measured speed to many slides: hours, storage and money, as docs/scaling.md derives them.

python benchmarks/scaling.py benchmarks/results/NAME.json --slides 1000 --cores 16 ...
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Inputs:
    """What the estimate stands on.

    Attributes
    ----------
    s_per_mm2 : float
        Measured, with ``threads`` cores.
    threads, cores : int
        Cores of the measurement and of the cluster.
    slides : int
        How many.
    tissue_mm2, nuclei_per_mm2, bytes_per_nucleus : float
        Of a slide; bytes of all files together.
    price_per_core_hour : float
        In any currency.
    efficiency : float
        Share of a core's speed that is left when all cores work.
    """

    s_per_mm2: float
    threads: int
    cores: int
    slides: int
    tissue_mm2: float
    nuclei_per_mm2: float
    bytes_per_nucleus: float
    price_per_core_hour: float
    efficiency: float


def estimate(inputs: Inputs) -> dict[str, float]:
    """Return hours, terabytes and money; the formulas of docs/scaling.md."""
    core_hours = (
        inputs.slides * inputs.tissue_mm2 * inputs.s_per_mm2 * inputs.threads / inputs.efficiency
    ) / 3600
    written = inputs.slides * inputs.tissue_mm2 * inputs.nuclei_per_mm2 * inputs.bytes_per_nucleus
    return {
        "core_hours": core_hours,
        "hours": core_hours / inputs.cores,
        "terabytes": written / 1e12,
        "money": core_hours * inputs.price_per_core_hour,
        "money_per_slide": core_hours * inputs.price_per_core_hour / inputs.slides,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("measured", type=Path, help="written by pipeline.py --json")
    parser.add_argument("--slides", type=int, required=True)
    parser.add_argument("--cores", type=int, required=True)
    parser.add_argument("--tissue-mm2", type=float, required=True)
    parser.add_argument("--nuclei-per-mm2", type=float, required=True)
    parser.add_argument("--bytes-per-nucleus", type=float, required=True)
    parser.add_argument("--price-per-core-hour", type=float, required=True)
    parser.add_argument("--efficiency", type=float, default=1.0)
    chosen = vars(parser.parse_args())
    measured = json.loads(chosen.pop("measured").read_text())
    inputs = Inputs(
        s_per_mm2=measured["default_s_per_mm2"], threads=measured["machine"]["threads"], **chosen
    )
    for name, value in (vars(inputs) | estimate(inputs)).items():
        print(f"{name:<20} {value:,.4g}")


if __name__ == "__main__":
    main()

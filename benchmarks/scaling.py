"""Take a measured speed to many slides: hours, storage and money, as docs/scaling.md derives them.

    python benchmarks/scaling.py benchmarks/results/NAME.json --slides 1000 --cores 16 ...
    python benchmarks/scaling.py          # the tables of docs/scaling.md, out of benchmarks/results

The tables are made of what `pipeline.py --growth --full --json benchmarks/results/growth.json`,
`slide.py` and `export.py` have written.
"""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pages import as_table, with_table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
RESULTS = Path(__file__).resolve().parent / "results"
TISSUE_MM2, PRICE = 100.0, 0.04
"""Of the page's example: assumed, and said so there."""


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


def updated(text: str, results: Path) -> str:
    """Return the page's text with the tables of these results."""
    growth, slide, workers, export = (
        json.loads((results / f"{name}.json").read_text())
        for name in ("growth", "slide-memory-default", "slide-workers-default", "export")
    )
    text = with_table(text, growth_table(growth), "growth", "scaling.py")
    example = example_table(example_of(slide, workers, export))
    return with_table(text, example, "example", "scaling.py")


def growth_table(found: dict[str, Any]) -> str:
    """Return the table of seconds against area, and the exponent of its fit."""
    rows = [["tissue, mm2", "s", "s/mm2"]]
    for point in found["growth"]["points"]:
        mm2, seconds = point["mm2"], point["s"]
        rows.append([f"{mm2:.2f}", f"{seconds:.1f}", f"{seconds / mm2:.1f}"])
    exponent = found["growth"]["exponent"]
    return as_table(rows) + f"\nThe fit: k = {exponent:.2f}.\n"


def example_of(slide: dict[str, Any], workers: dict[str, Any], export: dict[str, Any]) -> Inputs:
    """Return the inputs that were measured, for one slide on one core."""
    whole = slide["rows"][0]
    one, two = (row["seconds"] for row in workers["rows"][-2:])
    files = [e["file_mib"] for e in export["exports"] if not e["file"].endswith(".csv")]
    return Inputs(
        s_per_mm2=whole["seconds"] / whole["tissue_mm2"],
        threads=2,
        cores=1,
        slides=1,
        tissue_mm2=TISSUE_MM2,
        nuclei_per_mm2=whole["nuclei"] / whole["tissue_mm2"],
        bytes_per_nucleus=sum(files) * 2**20 / export["nuclei"],
        price_per_core_hour=PRICE,
        efficiency=one / two / 2,
    )


def example_table(inputs: Inputs) -> str:
    """Return the table of the example: its inputs, then two studies."""
    rows = [
        ["input", "value", "from"],
        ["`s`, `t`", f"{inputs.s_per_mm2:.1f} s/mm2, {inputs.threads} threads", "measured"],
        ["`e`", f"{inputs.efficiency:.2f}", "measured: two workers of one thread over one"],
        ["`d`", f"{inputs.nuclei_per_mm2:,.0f} nuclei a mm2", "that slide's; yours will differ"],
        ["`b`", f"{inputs.bytes_per_nucleus:,.0f} bytes a nucleus", "measured: GeoJSON and table"],
        ["`A`", f"{inputs.tissue_mm2:g} mm2 of tissue a slide", "assumed"],
        ["`p`", f"{inputs.price_per_core_hour:g} a core's hour", "assumed"],
    ]
    studies = [["slides", "cores", "core hours", "hours", "TB", "money", "money a slide"]]
    for slides, cores in ((1_000, 16), (1_000_000, 2_000)):
        found = estimate(replace(inputs, slides=slides, cores=cores))
        studies.append(
            [
                f"{slides:,}",
                f"{cores:,}",
                f"{found['core_hours']:,.0f}",
                f"{found['hours']:,.0f}",
                f"{found['terabytes']:.1f}",
                f"{found['money']:,.0f}",
                f"{found['money_per_slide']:.3f}",
            ]
        )
    return f"{as_table(rows)}\n{as_table(studies)}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("measured", type=Path, nargs="?", help="written by pipeline.py --json")
    parser.add_argument("--slides", type=int, default=1000)
    parser.add_argument("--cores", type=int, default=16)
    parser.add_argument("--tissue-mm2", type=float, default=TISSUE_MM2)
    parser.add_argument("--nuclei-per-mm2", type=float, default=5000.0)
    parser.add_argument("--bytes-per-nucleus", type=float, default=1300.0)
    parser.add_argument("--price-per-core-hour", type=float, default=PRICE)
    parser.add_argument("--efficiency", type=float, default=1.0)
    chosen = vars(parser.parse_args())
    file = chosen.pop("measured")
    if file is None:
        PAGE.write_text(updated(PAGE.read_text(encoding="utf-8"), RESULTS), encoding="utf-8")
        print(PAGE)
        return
    measured = json.loads(file.read_text())
    inputs = Inputs(
        s_per_mm2=measured["default_s_per_mm2"], threads=measured["machine"]["threads"], **chosen
    )
    for name, value in (vars(inputs) | estimate(inputs)).items():
        print(f"{name:<20} {value:,.4g}")


if __name__ == "__main__":
    main()

"""Scores as one HTML page that needs nothing else: no network, no script, figures inside."""

from pathlib import Path

from jinja2 import Environment

from nuguide.evaluation import agreement
from nuguide.evaluation.compare import Comparison, reading_line
from nuguide.evaluation.drawing import AMBIGUOUS, COLOURS, FALSE, MATCHED, MISSED, Worst
from nuguide.evaluation.figures import distribution, forest, png
from nuguide.evaluation.protocols import UNMASKED, ProtocolName
from nuguide.evaluation.record import Scores
from nuguide.evaluation.table import interval_line, rule_line, spread_of, title_of
from nuguide.export.page import as_base64, page_templates, write_page

_ADVICE = "name another file with --html"
_OF_NUCLEI = {
    MATCHED: "found, IoU > 0.5 with the true one; the predicted outline",
    FALSE: "predicted, no true one matches",
    MISSED: "true, not found; the true outline",
    AMBIGUOUS: "unmatched under the ignore mask (paler), not counted",
}
_OF_PIXELS = {
    MATCHED: "pixels of nuclei in both",
    FALSE: "in the prediction alone",
    MISSED: "in the truth alone",
}


def watcher(protocol: ProtocolName) -> Worst:
    """Return what has to watch an evaluation whose report is to be written."""
    pixels = protocol == "released"
    return Worst("dice_weighted" if pixels else "aji", pixels)


def write_report(scores: Scores, worst: Worst, path: Path) -> None:
    """Write the page of one evaluation.

    Parameters
    ----------
    scores : Scores
        What was found.
    worst : Worst
        That watched the evaluation, see ``watcher``.
    path : Path
        The file.

    Raises
    ------
    OutputError
        If the place cannot be written.
    """
    columns = list(scores.images[0].scores)
    unmasked = [name for name in columns if name.endswith(UNMASKED)]
    seen = {verdict for drawing in worst.drawings for verdict, n in drawing.counts.items() if n}
    page = _environment().get_template("report.html")
    text = page.render(
        scores=scores,
        plain=[name for name in columns if name not in unmasked],
        unmasked=unmasked,
        agreement=[name for name in scores.summaries if name in agreement.DEFINITIONS],
        typed=[
            name
            for name in scores.summaries
            if name not in columns and name not in agreement.DEFINITIONS
        ],
        columns=[name for name in columns if name not in unmasked],
        images=sorted(scores.images, key=lambda image: image.scores[worst.score]),
        ranked_by=worst.score,
        worst=worst.drawings,
        legend=[
            (verdict, "rgb({}, {}, {})".format(*COLOURS[verdict]), meaning)
            for verdict, meaning in (_OF_PIXELS if worst.pixels else _OF_NUCLEI).items()
            if verdict != AMBIGUOUS or AMBIGUOUS in seen
        ],
        distribution=as_base64(png(distribution(scores))),
        rule_line=rule_line(scores),
        interval_line=interval_line(scores),
        spread_of=spread_of,
    )
    write_page(text, path, _ADVICE)


def write_comparison_page(comparison: Comparison, path: Path) -> None:
    """Write the page of a comparison.

    Raises
    ------
    OutputError
        If the place cannot be written.
    """
    page = _environment().get_template("comparison.html")
    text = page.render(
        comparison=comparison,
        reference=comparison.reference,
        forest=as_base64(png(forest(comparison))),
        rule_line=rule_line(comparison.reference),
        reading_line=reading_line(comparison),
    )
    write_page(text, path, _ADVICE)


def _environment() -> Environment:
    environment = page_templates("nuguide.evaluation")
    environment.filters["title_of"] = title_of
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    return environment

"""Tables of README and pages that are made of committed results: they stand between two marks."""

from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"


def as_table(rows: list[list[str]]) -> str:
    """Return a Markdown table; the first row is its head."""
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines).replace(" --- ", "---") + "\n"


def with_table(text: str, made: str, name: str, script: str) -> str:
    """Return ``text`` with the table of a name replaced by what its script has made.

    Raises
    ------
    SystemExit
        If the text lacks the two marks.
    """
    begin = f"<!-- {name}: made by benchmarks/{script}, do not edit -->\n"
    end = f"<!-- {name}: end -->"
    before, _, rest = text.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise SystemExit(f"there is no {begin.strip()} ... {end}; put the two marks in again")
    return f"{before}{begin}{made}{mark}{after}"

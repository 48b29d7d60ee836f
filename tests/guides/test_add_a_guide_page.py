import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/add-a-guide.md"


def test_the_page_s_example_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 1
    exec(compile(blocks[0], str(PAGE), "exec"), {"__name__": "page"})

"""The page on clusters: its Python compiles, its names exist, its options are the program's."""

import ast
import importlib
import inspect
import re
from pathlib import Path

from distributed import SpecCluster

from nuguide.cli.segment import segment

PAGE = (Path(__file__).resolve().parents[2] / "docs/cluster.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_names_it_imports_exist() -> None:
    found = 0
    for node in ast.walk(ast.parse("\n".join(BLOCKS))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("nuguide"):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, name.name) for name in node.names)
            found += 1
    assert found == 6


def test_the_options_it_shows_are_the_programs() -> None:
    shown = set(re.findall(r"nuguide segment [^\n]*?--([a-z]+)", PAGE))
    assert {"workers", "scheduler"} == shown
    assert shown <= set(inspect.signature(segment).parameters)


def test_its_last_block_defines_what_it_says() -> None:
    defined: dict[str, object] = {}
    exec(compile(BLOCKS[-1], "cluster.md", "exec"), defined)
    assert callable(defined["segment_all"])


def test_a_queue_is_waited_for_before_the_command_that_does_not() -> None:
    (slurm,) = (block for block in BLOCKS if "SLURMCluster(" in block)
    asked = re.findall(r"cluster\.(\w+)", slurm)
    assert all(hasattr(SpecCluster, name) for name in asked)
    assert slurm.index("wait_for_workers") < slurm.index("subprocess.run")
